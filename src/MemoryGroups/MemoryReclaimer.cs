// The contract of those who can give memory back: caches, pools, spillable work.
namespace MemoryGroups;

/// <summary>Why memory is asked back.</summary>
/// <remarks>Thread safety: a value, immutable.</remarks>
public enum ReclaimReason
{
    /// <summary>A charge met a Max.</summary>
    Max,

    /// <summary>A charge met High.</summary>
    High,

    /// <summary>The root's capacity is exhausted, or its free bytes fell below the LOW watermark.</summary>
    Capacity,

    /// <summary>A limit was set below the usage.</summary>
    LimitLowered,

    /// <summary>Somebody called <see cref="MemoryGroup.ReclaimAsync"/>.</summary>
    Requested,

    /// <summary>The last attempt before a global kill.</summary>
    LastResort,
}

/// <summary>What a reclaimer is asked for.</summary>
/// <remarks>Thread safety: immutable.</remarks>
/// <param name="Group">The group to give memory back in: the one the reclaimer is registered on.</param>
/// <param name="Bytes">How much is wanted, in bytes, at least 1. Giving less, or nothing, is allowed.</param>
/// <param name="Reason">Why.</param>
public readonly record struct ReclaimRequest(MemoryGroup Group, long Bytes, ReclaimReason Reason);

/// <summary>Gives memory back when a group is full. Registered by <see cref="MemoryGroup.AddReclaimer"/>.</summary>
/// <remarks>
/// <para>An implementer MUST:</para>
/// <list type="number">
/// <item>uncharge before it returns, and return what it uncharged: freeing first, then answering;</item>
/// <item>give back about what was asked for, not everything it has, unless that is what was asked for;</item>
/// <item>charge nothing in the group being reclaimed, except with <see cref="ChargeFlags.FromReclaim"/> (memory needed
/// to free more, such as a spill buffer);</item>
/// <item>not wait for work that may itself wait for memory of that group: it will be late, reported and left
/// behind;</item>
/// <item>be quick: it has <see cref="MemoryRootOptions.ReclaimDeadline"/> for one step, after which it counts as late
/// and is not called again until that step has ended.</item>
/// </list>
/// <para>
/// It is never called twice at the same time, and never under a lock of this library. Thread safety: called from any
/// thread.
/// </para>
/// </remarks>
public abstract class MemoryReclaimer
{
    private bool _busy;

    /// <summary>Makes a reclaimer.</summary>
    /// <param name="name">Its name in reports. Not empty.</param>
    /// <exception cref="ArgumentException"><paramref name="name"/> is null or white space.</exception>
    protected MemoryReclaimer(string name)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        Name = name;
    }

    /// <summary>Its name in reports.</summary>
    public string Name { get; }

    /// <summary>Cheaper ones are asked first; reclaimers of equal cost share. Any number; default 0.</summary>
    public virtual int Cost => 0;

    /// <summary>Gives memory back.</summary>
    /// <param name="request">How much, for which group, and why.</param>
    /// <param name="cancellationToken">Cancelled when the deadline of this step has passed.</param>
    /// <returns>The bytes that were uncharged before returning, 0 or more.</returns>
    public abstract ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken);

    // A claim is added to others and decides only whether to go on: one that nobody can have given must not overflow.
    internal static long Believable(long claim) => Math.Clamp(claim, 0, 1L << 50);

    internal bool TryBegin() => !Interlocked.Exchange(ref _busy, true);

    internal void End() => Volatile.Write(ref _busy, false);
}
