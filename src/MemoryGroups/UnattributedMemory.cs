// What the process uses and nobody declared, at one moment, as plain data.
namespace MemoryGroups;

/// <summary>
/// What was measured of the whole process, set against what was declared; see <see cref="MemoryRoot.Unattributed"/>.
/// </summary>
/// <remarks>Thread safety: immutable.</remarks>
public readonly record struct UnattributedMemory
{
    /// <summary>
    /// Measured and not declared, in bytes: the runtime, plain managed objects, libraries. Negative when more was
    /// declared than is in use, as by pages that are charged and not touched yet.
    /// </summary>
    public long Bytes => MeasuredBytes - DeclaredBytes;

    /// <summary>
    /// What the process uses, in bytes: the usage of the container's memory group, without cached files, when that
    /// group is limited; else the larger of what is resident and what the garbage collector has committed.
    /// </summary>
    public long MeasuredBytes { get; init; }

    /// <summary>The usage of the root at that moment, stock included, in bytes.</summary>
    public long DeclaredBytes { get; init; }

    /// <summary>
    /// Of <see cref="Bytes"/>, what counts against the capacity now: 0 when it is not to count
    /// (<see cref="MemoryRootOptions.CountUnattributed"/>), negative, or was found stale by who was refused. Follows in
    /// steps of 1/512 of the capacity.
    /// </summary>
    public long CountedBytes { get; init; }

    /// <summary>The limit of the container, in bytes; null when there is none.</summary>
    public long? ContainerLimitBytes { get; init; }

    /// <summary>How old the measurement is.</summary>
    public TimeSpan Age { get; init; }

    /// <summary>
    /// True when it is older than <see cref="MemoryRootOptions.GaugeStaleAfter"/>, or there never was one: it refuses
    /// nobody.
    /// </summary>
    public bool IsStale { get; init; }

    /// <summary>Garbage collections that were forced because the root was short of room.</summary>
    public long Collections { get; init; }

    /// <summary>Measurements that failed, since the root was made.</summary>
    public long Failures { get; init; }
}
