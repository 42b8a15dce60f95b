// Caches in groups that are short of memory: what they give, what they keep, and that nobody is pushed by them.

namespace MemoryGroups.Caching.Tests;

public sealed class ReclaimTests
{
    private const int EntryBytes = 1000;

    [Fact]
    public void Charge_that_meets_the_limit_gets_its_bytes_from_the_cache()
    {
        using var scene = new CacheScene(max: 100_000);
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        CacheScene.Fill(cache, 100);
        MemoryMember query = scene.Group.CreateMember("query");

        query.Charge(9500);

        Assert.Equal((90_000, 90), (cache.Bytes, cache.Count));
        Assert.Equal(99_500, scene.Group.Usage);
        Assert.Equal(10, cache.Statistics.EvictedByReclaim);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(999, 1)]
    [InlineData(1000, 1)]
    [InlineData(1001, 2)]
    [InlineData(100_000, 100)]
    [InlineData(long.MaxValue, 100)]
    public async Task Answer_is_what_was_uncharged_and_as_much_as_was_asked_for(long asked, int evicted)
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        CacheScene.Fill(cache, 100);

        long given = await scene.Group.ReclaimAsync(asked);

        Assert.Equal(evicted * EntryBytes, given);
        Assert.Equal(100_000 - given, scene.Group.Usage);
        Assert.Equal((100_000 - given, 100 - evicted), (cache.Bytes, cache.Count));
    }

    [Fact]
    public async Task Shrunk_cache_keeps_what_is_used_and_grows_again()
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        CacheScene.Fill(cache, 100);
        foreach (int hot in (int[])[3, 3, 97, 97])
        {
            Assert.True(cache.TryGet(hot, out _));
        }

        Assert.Equal(95_000, await scene.Group.ReclaimAsync(95_000));

        Assert.True(cache.TryGet(3, out _) && cache.TryGet(97, out _));
        CacheScene.Fill(cache, 100, from: 1000);
        Assert.Equal(105, cache.Count);
    }

    // The parent is short; both caches could give everything, one of them is protected.
    [Theory]
    [InlineData(60_000, 0)]
    [InlineData(0, 60_000)]
    public void Cache_in_a_protected_group_keeps_what_is_protected(long min, long low)
    {
        using var root = new MemoryRoot();
        MemoryGroup parent = root.CreateGroup("parent", new MemoryGroupOptions { Max = 200_000, BatchBytes = 1 });
        MemoryGroup kept = parent.CreateGroup("kept", new MemoryGroupOptions { Min = min, Low = low });
        MemoryGroup open = parent.CreateGroup("open");
        ChargedCacheOptions<int, int> options = new()
        {
            SizeOf = (_, _) => EntryBytes - ChargedCache<int, int>.EntryOverheadBytes,
        };
        using var keptCache = new ChargedCache<int, int>(kept.CreateMember("cache"), options);
        using var openCache = new ChargedCache<int, int>(open.CreateMember("cache"), options);
        CacheScene.Fill(keptCache, 100);
        CacheScene.Fill(openCache, 100);
        MemoryMember query = parent.CreateGroup("queries").CreateMember("query");

        for (int i = 0; i < 14; i++)
        {
            query.Charge(10_000);
            Assert.InRange(kept.Usage, 60_000, 100_000);
        }

        Assert.Equal(140_000, query.Usage);
        Assert.Equal(60_000, kept.Usage);
        Assert.Equal(0, open.Usage);
        if (min > 0)
        {
            Assert.Throws<MemoryLimitExceededException>(() => query.Charge(10_000));
            Assert.Equal(60, keptCache.Count);
        }
    }

    [Fact]
    public void Full_group_keeps_the_cache_at_its_size_and_pushes_nobody()
    {
        using var scene = new CacheScene(max: 100_000);
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        MemoryMember query = scene.Group.CreateMember("query");
        Assert.True(query.TryCharge(50_000));
        CacheScene.Fill(cache, 50);

        CacheScene.Fill(cache, 500, from: 1000);

        Assert.Equal((50_000, 50_000), (query.Usage, cache.Bytes));
        Assert.Equal((50, 500), (cache.Count, cache.Statistics.EvictedByRefusal));
        Assert.Equal(0, scene.Group.Events.Current.Oom);
    }

    // Every refusal takes back the stock of the whole group.
    [Fact]
    public void Full_group_is_seldom_asked_for_more_and_grown_into_when_it_has_room()
    {
        using var scene = new CacheScene(max: 100_000);
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        MemoryMember query = scene.Group.CreateMember("query");
        Assert.True(query.TryCharge(50_000));

        CacheScene.Fill(cache, 50 + 650);
        Assert.InRange(scene.Group.RefusalCount, 10, 11);
        query.Uncharge(20_000);
        CacheScene.Fill(cache, 64 + 20, from: 1000);

        Assert.Equal(70, cache.Count);
    }

    [Fact]
    public void Value_that_does_not_fit_is_returned_and_not_kept()
    {
        using var scene = new CacheScene(max: 10_000);
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        MemoryMember query = scene.Group.CreateMember("query");
        Assert.True(query.TryCharge(9900));

        Assert.Equal(7, cache.GetOrAdd(7, static key => key, out bool isKept));

        Assert.False(isKept || cache.Set(8, 8));
        Assert.Equal((0, 0, 2), (cache.Count, cache.Bytes, cache.Statistics.NotKept));
        Assert.Equal(9900, scene.Group.Usage);
    }

    [Fact]
    public void Cache_is_not_emptied_for_an_entry_that_would_be_refused_all_the_same()
    {
        using var scene = new CacheScene(max: 10_000);
        using var cache = new ChargedCache<int, string>(scene.Member);
        MemoryMember query = scene.Group.CreateMember("query");
        Assert.True(cache.Set(1, "small", 100));
        Assert.True(query.TryCharge(9000));

        Assert.False(cache.Set(2, "large", 5000));

        Assert.True(cache.TryGet(1, out _));
    }

    [Fact]
    public void Refused_write_leaves_no_older_value_behind()
    {
        using var scene = new CacheScene(max: 10_000);
        using var cache = new ChargedCache<int, string>(scene.Member);
        Assert.True(cache.Set(1, "old", 100));

        Assert.False(cache.Set(1, "new", 50_000));

        Assert.False(cache.TryGet(1, out _));
        Assert.Equal(0, scene.Group.Usage);
    }

    [Fact]
    public void Cache_stops_growing_at_High_of_any_group_above_it()
    {
        using var scene = new CacheScene(high: 50_000);
        MemoryMember member = scene.Group.CreateGroup("below").CreateMember("cache");
        using var cache = new ChargedCache<int, string>(member);

        for (int key = 0; key < 100; key++)
        {
            Assert.True(cache.Set(key, "value", EntryBytes - ChargedCache<int, string>.EntryOverheadBytes));
        }

        Assert.Equal((50_000, 50), (scene.Group.Usage, cache.Count));
        Assert.Equal(0, scene.Group.Events.Current.High);
    }

    [Fact]
    public void Disposed_cache_is_asked_no_more()
    {
        using var scene = new CacheScene(max: 10_000);
        ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        CacheScene.Fill(cache, 10);

        cache.Dispose();
        cache.Dispose();

        Assert.Equal((0, 0), (cache.Count, scene.Group.Usage));
        MemoryMember query = scene.Group.CreateMember("query");
        Assert.True(query.TryCharge(10_000));
        MemoryLimitExceededException refused = Assert.Throws<MemoryLimitExceededException>(() => query.Charge(1));
        Assert.DoesNotContain("cache of", refused.Message, StringComparison.Ordinal);
    }
}
