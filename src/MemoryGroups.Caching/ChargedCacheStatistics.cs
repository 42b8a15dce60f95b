// One cache at one moment, and why entries have left it.
namespace MemoryGroups.Caching;

/// <summary>A snapshot of a <see cref="ChargedCache{TKey, TValue}"/>.</summary>
/// <remarks>Counters only rise; each is exact, their sums are of one moment only when nobody uses the cache. Thread
/// safety: immutable.</remarks>
/// <param name="Entries">How many entries there are.</param>
/// <param name="Bytes">What is charged for them, in bytes.</param>
/// <param name="Hits">How often a key was found.</param>
/// <param name="Misses">How often it was not.</param>
/// <param name="EvictedByMaxBytes">Entries that made room for others within the cache's own limit.</param>
/// <param name="EvictedByRefusal">Entries that made room for others because the group had none.</param>
/// <param name="EvictedByReclaim">Entries that were given back because the group was asked for memory.</param>
/// <param name="Replaced">Entries that were written anew.</param>
/// <param name="Removed">Entries that the caller removed, one by one or all at once.</param>
/// <param name="Emptied">Entries that left because the cache was disposed, or its member was killed, exited or
/// moved.</param>
/// <param name="NotKept">Values that were not taken: no room in the group, or larger than the whole cache.</param>
/// <param name="FailedDisposals">Values whose <c>Dispose</c> threw; the exception is lost.</param>
public readonly record struct ChargedCacheStatistics(
    long Entries,
    long Bytes,
    long Hits,
    long Misses,
    long EvictedByMaxBytes,
    long EvictedByRefusal,
    long EvictedByReclaim,
    long Replaced,
    long Removed,
    long Emptied,
    long NotKept,
    long FailedDisposals)
{
    /// <summary>Hits of all lookups, 0 to 1; 0 when there was none.</summary>
    public double HitRate => Hits + Misses == 0 ? 0 : (double)Hits / (Hits + Misses);
}

internal enum Leaving
{
    MaxBytes,
    Refusal,
    Reclaim,
    Replaced,
    Removed,
    Emptied,
}
