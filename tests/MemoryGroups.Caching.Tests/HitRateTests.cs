// What is kept: exactly what S3-FIFO keeps, and more of what is asked for than least recently used would keep.

namespace MemoryGroups.Caching.Tests;

public sealed class HitRateTests
{
    private const int EntryBytes = 1000;

    [Theory]
    [InlineData(1, 1.0, 1000)]
    [InlineData(2, 1.0, 10_000)]
    [InlineData(3, 0.7, 1000)]
    [InlineData(4, 1.3, 100)]
    [InlineData(5, 1.0, 1)]
    [InlineData(6, 1.0, 7)]
    public void Every_request_is_answered_as_by_the_reference(int seed, double alpha, int entries)
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes, (long)entries * EntryBytes);
        var reference = new ReferenceS3Fifo(entries);
        int[] trace = Traces.WithScans(Traces.Zipf(seed, alpha, requests: 300_000), 20_000, 1500);

        for (int i = 0; i < trace.Length; i++)
        {
            bool expected = reference.Request(trace[i]);
            Assert.True(expected == Request(cache, trace[i]), $"seed {seed}: request {i} is a {expected} hit");
        }

        Assert.All(reference.Keys, key => Assert.True(cache.TryGet(key, out _)));
        Assert.Equal(reference.Keys.Count(), cache.Count);
        Assert.Equal(cache.Count * (long)EntryBytes, cache.Bytes);
    }

    // The margins are what these traces give, less a little; docs/caches.md has the rates.
    [Theory]
    [InlineData(1.0, 1000, false, 0.08)]
    [InlineData(1.0, 10_000, false, 0.04)]
    [InlineData(1.0, 1000, true, 0.06)]
    [InlineData(1.0, 10_000, true, 0.05)]
    [InlineData(0.8, 1000, false, 0.1)]
    public void Misses_are_fewer_than_those_of_least_recently_used(
        double alpha, int entries, bool scans, double margin)
    {
        int[] trace = Traces.Zipf(seed: 11, alpha);
        trace = scans ? Traces.WithScans(trace, every: 50_000, length: 20_000) : trace;
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes, (long)entries * EntryBytes);
        var lru = new ReferenceLru(entries);

        int lruHits = 0;
        foreach (int key in trace)
        {
            Request(cache, key);
            lruHits += lru.Request(key) ? 1 : 0;
        }

        ChargedCacheStatistics seen = cache.Statistics;
        double lruRate = (double)lruHits / trace.Length;
        Assert.Equal(trace.Length, seen.Hits + seen.Misses);
        Assert.True(
            seen.HitRate > lruRate + margin, $"hit rate {seen.HitRate:0.0000}, least recently used {lruRate:0.0000}");
    }

    [Fact]
    public void Scan_leaves_what_is_proven_where_it_is()
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes, 100 * EntryBytes);
        CacheScene.Fill(cache, 80);
        for (int i = 0; i < 160; i++)
        {
            Assert.True(cache.TryGet(i % 80, out _));
        }

        CacheScene.Fill(cache, 10_000, from: 1000);

        Assert.Equal(80, Enumerable.Range(0, 80).Count(key => cache.TryGet(key, out _)));
    }

    [Fact]
    public void Key_that_comes_back_soon_is_kept_among_the_proven_ones()
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes, 100 * EntryBytes);
        CacheScene.Fill(cache, 101);
        Assert.False(cache.TryGet(0, out _));
        CacheScene.Fill(cache, 1);

        CacheScene.Fill(cache, 500, from: 1000);

        Assert.True(cache.TryGet(0, out _));
        Assert.Equal(1, Enumerable.Range(0, 101).Count(key => cache.TryGet(key, out _)));
    }

    // Written anew when it is among the proven ones already: the ghost it came back by is gone by then.
    [Fact]
    public void Proven_key_that_is_written_again_stays_proven()
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes, 100 * EntryBytes);
        CacheScene.Fill(cache, 101);
        CacheScene.Fill(cache, 1);
        CacheScene.Fill(cache, 1);

        CacheScene.Fill(cache, 500, from: 1000);

        Assert.True(cache.TryGet(0, out _));
    }

    // What came back would be among the proven ones, and survive the 500.
    [Fact]
    public void Cleared_cache_has_forgotten_what_it_had_evicted()
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes, 100 * EntryBytes);
        CacheScene.Fill(cache, 101);

        cache.Clear();
        CacheScene.Fill(cache, 1);
        CacheScene.Fill(cache, 500, from: 1000);

        Assert.False(cache.TryGet(0, out _));
    }

    // A tenth of so few bytes is nothing, and nothing is what an empty queue holds.
    [Fact]
    public void Entries_of_few_bytes_are_evicted_from_the_queue_they_are_in()
    {
        var fifo = new S3Fifo();
        var nodes = Enumerable.Range(0, 3).Select(static i => new CacheNode<int, int>(i, i, 1, i)).ToList();
        nodes.ForEach(node => fifo.Add(node, isProven: true));

        Assert.Same(nodes[0], fifo.Evict(1, out long freed));

        Assert.Equal((1, 2), (freed, fifo.Count));
    }

    private static bool Request(ChargedCache<int, int> cache, int key)
    {
        if (cache.TryGet(key, out int value))
        {
            Assert.Equal(key, value);
            return true;
        }

        Assert.True(cache.Set(key, key));
        return false;
    }
}
