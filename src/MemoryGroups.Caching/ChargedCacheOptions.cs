// How a charged cache is to be: what bounds it besides its group, what an entry weighs, who owns the values.
namespace MemoryGroups.Caching;

/// <summary>How a <see cref="ChargedCache{TKey, TValue}"/> is to be.</summary>
/// <remarks>Thread safety: immutable.</remarks>
/// <typeparam name="TKey">What entries are found by.</typeparam>
/// <typeparam name="TValue">What is kept.</typeparam>
public sealed record ChargedCacheOptions<TKey, TValue>
    where TKey : notnull
{
    /// <summary>Its name in reports of reclaim; null, the default, is "cache of" and the member's path.</summary>
    public string? Name { get; init; }

    /// <summary>
    /// The most its entries may take, overhead included, in bytes, 1 to <see cref="MemoryMember.MaxChargeBytes"/>,
    /// which is the default: then only its group bounds it. What was evicted is charged until it is disposed.
    /// </summary>
    public long MaxBytes { get; init; } = MemoryMember.MaxChargeBytes;

    /// <summary>
    /// What key and value take, in bytes, 0 or more; the overhead of an entry is added. Null, the default: bytes are
    /// given with each entry, and <c>GetOrAdd</c> cannot be used. Called under no lock.
    /// </summary>
    public Func<TKey, TValue, long>? SizeOf { get; init; }

    /// <summary>Tells keys apart; null is the default of the key's type. It must not use the cache.</summary>
    public IEqualityComparer<TKey>? Comparer { get; init; }

    /// <summary>
    /// True, the default, when values that are <see cref="IDisposable"/> belong to the cache: they are disposed when
    /// they leave it, although a reader may have got one a moment before.
    /// </summary>
    public bool DisposesValues { get; init; } = true;

    /// <summary>
    /// Where it stands among the reclaimers of its group: cheaper ones are asked first. Any number; default 0.
    /// </summary>
    public int ReclaimCost { get; init; }

    internal ChargedCacheOptions<TKey, TValue> Checked()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxBytes, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(MaxBytes, MemoryMember.MaxChargeBytes);
        return Name is null || !string.IsNullOrWhiteSpace(Name)
            ? this
            : throw new ArgumentException("The name of a cache must not be empty.", nameof(Name));
    }
}
