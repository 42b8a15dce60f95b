// A MemoryCache below a group, and entries of so many bytes in it.

using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Internal;

namespace MemoryGroups.Caching.Tests;

internal static class MemoryCaches
{
    internal static MemoryCache NewMemoryCache(long sizeLimit = long.MaxValue, ISystemClock? clock = null) =>
        new(new MemoryCacheOptions { SizeLimit = sizeLimit, TrackStatistics = true, Clock = clock });

    internal static ChargedMemoryCache NewCache(CacheScene scene, int cost = 0) =>
        NewMemoryCache().ChargeTo(scene.Member, reclaimCost: cost);

    internal static void Set(
        ChargedMemoryCache cache, object key, long bytes, CacheItemPriority priority = CacheItemPriority.Normal) =>
        cache.Set(key, $"value of {key}", new MemoryCacheEntryOptions { Size = bytes, Priority = priority });

    // Of a thousand bytes each.
    internal static void Fill(ChargedMemoryCache cache, int count)
    {
        for (int key = 0; key < count; key++)
        {
            Set(cache, key, 1000);
        }
    }
}
