// The way from a MemoryCache to one that is charged.
using Microsoft.Extensions.Caching.Memory;

namespace MemoryGroups.Caching;

/// <summary>Puts a <see cref="MemoryCache"/> under a memory group.</summary>
/// <remarks>Thread safety: static, from any thread.</remarks>
public static class MemoryCacheCharging
{
    /// <summary>
    /// Charges what is added to this cache to a member, by its size in bytes, and registers it as a reclaimer of the
    /// member's group.
    /// </summary>
    /// <param name="cache">
    /// An empty cache with <see cref="MemoryCacheOptions.SizeLimit"/> and
    /// <see cref="MemoryCacheOptions.TrackStatistics"/> set: its own sum of sizes says what has left it.
    /// </param>
    /// <param name="member">Who is charged; best one that has nothing else to do.</param>
    /// <param name="name">Its name in reports of reclaim; null is "memory cache of" and the member's path.</param>
    /// <param name="reclaimCost">
    /// Where it stands among the reclaimers of its group: cheaper ones are asked first. Any number; default 0.
    /// </param>
    /// <returns>
    /// The cache to use from now on. It owns the one given: disposing it empties that one, returns the bytes, and
    /// disposes it.
    /// </returns>
    /// <exception cref="ArgumentNullException">The cache or the member is null.</exception>
    /// <exception cref="ArgumentException">
    /// The cache has no size limit, tracks no statistics, or is not empty; or the name is empty.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    public static ChargedMemoryCache ChargeTo(
        this MemoryCache cache, MemoryMember member, string? name = null, int reclaimCost = 0)
    {
        ArgumentNullException.ThrowIfNull(cache);
        ArgumentNullException.ThrowIfNull(member);
        if (name is not null)
        {
            ArgumentException.ThrowIfNullOrWhiteSpace(name);
        }

        return cache.GetCurrentStatistics() is not { CurrentEstimatedSize: not null } statistics
            ? throw new ArgumentException(
                "The cache does not say how much it holds: set SizeLimit and TrackStatistics in its options.",
                nameof(cache))
            : statistics.CurrentEntryCount > 0
            ? throw new ArgumentException(
                $"The cache holds {statistics.CurrentEntryCount} entries that nobody is charged for; charge it while "
                + "it is empty.",
                nameof(cache))
            : new ChargedMemoryCache(cache, member, name, reclaimCost);
    }
}
