// MemoryCache under a group: its sizes are charged, Compact gives bytes back before the reclaimer answers, and the
// callbacks that come later find nothing left to return.

using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Primitives;
using static MemoryGroups.Caching.Tests.MemoryCaches;

namespace MemoryGroups.Caching.Tests;

public sealed class ChargedMemoryCacheTests
{
    [Fact]
    public void Entries_are_charged_by_their_size_until_they_leave()
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewCache(scene);

        Set(cache, "a", 1000);
        Set(cache, "b", 500);
        Set(cache, "b", 700);

        Assert.Equal((1700, 1700), (cache.Bytes, scene.Group.Usage));
        Assert.Equal("value of a", cache.Get("a"));
        cache.Remove("a");
        Assert.Equal((700, 700), (cache.Bytes, scene.Group.Usage));
        Assert.False(cache.TryGetValue("a", out _));
    }

    [Theory]
    [InlineData(1, 1000)]
    [InlineData(5000, 5000)]
    [InlineData(5001, 6000)]
    [InlineData(1_000_000, 10_000)]
    public async Task Answer_is_what_was_uncharged_and_later_callbacks_return_nothing_more(long asked, long expected)
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewCache(scene);
        var evicted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int left = (int)(expected / 1000);
        for (int i = 0; i < 10; i++)
        {
            using ICacheEntry entry = cache.CreateEntry(i);
            entry.Value = i;
            entry.Size = 1000;
            entry.RegisterPostEvictionCallback((_, _, _, _) =>
            {
                if (Interlocked.Decrement(ref left) == 0)
                {
                    evicted.SetResult();
                }
            });
        }

        long given = await scene.Group.ReclaimAsync(asked);

        Assert.Equal((expected, 10_000 - expected), (given, scene.Group.Usage));
        await evicted.Task.WaitAsync(CacheScene.Deadline, TimeProvider.System);
        Assert.Equal((10_000 - expected, 10_000 - expected), (cache.Bytes, scene.Group.Usage));
    }

    // Nobody calls the cache when a token fires: only its callback returns the bytes.
    [Fact]
    public async Task Entry_that_expires_by_itself_returns_its_bytes()
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewCache(scene);
        using var expiry = new CancellationTokenSource();
        var seen = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        Set(cache, "stays", 500);
        using (ICacheEntry entry = cache.CreateEntry("goes"))
        {
            entry.Value = "value";
            entry.Size = 1000;
            entry.AddExpirationToken(new CancellationChangeToken(expiry.Token));
            entry.RegisterPostEvictionCallback((_, _, _, _) => seen.SetResult(scene.Group.Usage));
        }

        Assert.Equal(1500, scene.Group.Usage);
        await expiry.CancelAsync();

        Assert.Equal(500, await seen.Task.WaitAsync(CacheScene.Deadline, TimeProvider.System));
    }

    [Fact]
    public void Charge_that_meets_the_limit_gets_its_bytes_from_the_cache()
    {
        using var scene = new CacheScene(max: 100_000);
        using ChargedMemoryCache cache = NewCache(scene);
        Fill(cache, 100);

        scene.Group.CreateMember("query").Charge(9500);

        Assert.Equal((90_000, 99_500), (cache.Bytes, scene.Group.Usage));
    }

    // Half of the entries have nearly all of the bytes, and those go last.
    [Fact]
    public async Task Small_entries_that_go_first_are_followed_by_large_ones()
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewCache(scene);
        for (int i = 0; i < 20; i++)
        {
            using ICacheEntry entry = cache.CreateEntry(i);
            entry.Value = i;
            entry.Size = i < 10 ? 10 : 1000;
            entry.Priority = i < 10 ? CacheItemPriority.Low : CacheItemPriority.High;
        }

        long given = await scene.Group.ReclaimAsync(3000);

        Assert.InRange(given, 3000, 8100);
        Assert.Equal(10_100 - given, scene.Group.Usage);
    }

    [Fact]
    public void Cache_in_a_protected_group_keeps_what_is_protected()
    {
        using var root = new MemoryRoot();
        MemoryGroup parent = root.CreateGroup("parent", new MemoryGroupOptions { Max = 200_000, BatchBytes = 1 });
        MemoryGroup kept = parent.CreateGroup("kept", new MemoryGroupOptions { Min = 60_000 });
        using ChargedMemoryCache cache = NewMemoryCache().ChargeTo(kept.CreateMember("cache"));
        Fill(cache, 100);

        MemoryMember query = parent.CreateGroup("queries").CreateMember("query");
        query.Charge(140_000);

        Assert.Equal((60_000, 200_000), (kept.Usage, parent.Usage));
        Assert.Throws<MemoryLimitExceededException>(() => query.Charge(1000));
        Assert.Equal(60_000, kept.Usage);
    }

    [Fact]
    public void Entry_without_room_is_not_kept_and_neither_is_what_it_replaces()
    {
        using var scene = new CacheScene(max: 10_000);
        using ChargedMemoryCache cache = NewCache(scene);
        Set(cache, "a", 100);

        Set(cache, "a", 50_000);

        Assert.False(cache.TryGetValue("a", out _));
        Assert.Equal((0, 0), (cache.Bytes, scene.Group.Usage));
    }

    [Fact]
    public void Full_group_has_the_cache_evict_its_own_entries_first()
    {
        using var scene = new CacheScene(max: 10_000);
        using ChargedMemoryCache cache = NewCache(scene);
        for (int i = 0; i < 100; i++)
        {
            Set(cache, i, 1000);
            Assert.True(cache.TryGetValue(i, out _), $"entry {i} was not kept");
        }

        Assert.Equal(10_000, scene.Group.Usage);
    }

    [Fact]
    public void Cache_stops_growing_at_High()
    {
        using var scene = new CacheScene(high: 5000);
        using ChargedMemoryCache cache = NewCache(scene);
        Fill(cache, 100);

        Assert.Equal((5000, 0), (scene.Group.Usage, scene.Group.Events.Current.High));
    }

    // Refused by the cache's own limit, after it was charged.
    [Fact]
    public void Entry_larger_than_the_cache_is_charged_nothing()
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewMemoryCache(sizeLimit: 1000).ChargeTo(scene.Member);

        Set(cache, "a", 1001);

        Assert.Equal((0, 0), (cache.Bytes, scene.Group.Usage));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Cache_is_emptied_for_good_when_its_member_is_killed_or_exits(bool isKilled)
    {
        using var scene = new CacheScene();
        Task ended = CacheScene.AfterAsync(isKilled ? scene.Member.Killed : scene.Member.Exited);
        using ChargedMemoryCache cache = NewCache(scene);
        Set(cache, "a", 1000);

        if (isKilled)
        {
            scene.Member.Kill("test");
        }
        else
        {
            scene.Member.Dispose();
        }

        Set(cache, "b", 1000);
        await ended;

        Assert.False(cache.TryGetValue("a", out _) || cache.TryGetValue("b", out _));
        Assert.Equal((0, 0), (cache.Bytes, scene.Group.Usage));
    }

    [Fact]
    public void Cache_begins_anew_in_the_group_that_its_member_moves_to()
    {
        using var scene = new CacheScene();
        MemoryGroup other = scene.Root.CreateGroup("other", new MemoryGroupOptions { Max = 3000, BatchBytes = 1 });
        using ChargedMemoryCache cache = NewCache(scene);
        Set(cache, "a", 1000);

        Assert.True(scene.Member.MoveTo(other));
        Set(cache, "b", 2000);

        Assert.Equal((0, 2000), (scene.Group.Usage, other.Usage));
        other.CreateMember("query").Charge(2000);
        Assert.Equal(2000, other.Usage);
    }

    [Fact]
    public void Disposed_cache_returns_everything_and_is_asked_no_more()
    {
        using var scene = new CacheScene(max: 10_000);
        MemoryCache inside = NewMemoryCache();
        ChargedMemoryCache cache = inside.ChargeTo(scene.Member);
        Set(cache, "a", 1000);
        ICacheEntry late = cache.CreateEntry("late");
        late.Value = "late";
        late.Size = 1000;

        cache.Dispose();
        cache.Dispose();
        late.Dispose();

        Assert.Equal((0, 0), (cache.Bytes, scene.Group.Usage));
        Assert.Throws<ObjectDisposedException>(() => cache.TryGetValue("a", out _));
        Assert.Throws<ObjectDisposedException>(() => inside.TryGetValue("a", out _));
    }

    [Fact]
    public void Cache_inside_that_somebody_disposed_harms_nobody()
    {
        using var scene = new CacheScene(max: 10_000);
        MemoryCache inside = NewMemoryCache();
        ChargedMemoryCache cache = inside.ChargeTo(scene.Member);
        Set(cache, "a", 1000);

        inside.Dispose();
        cache.Dispose();

        Assert.Equal(0, scene.Group.Usage);
    }

    [Fact]
    public void Entry_without_size_or_value_is_treated_as_by_the_cache_inside()
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewCache(scene);

        cache.CreateEntry("nothing").Dispose();
        Assert.Throws<InvalidOperationException>(() => cache.Set("a", "no size"));

        Assert.Throws<ArgumentOutOfRangeException>(() => cache.CreateEntry("a").Size = -1);
        Assert.Throws<ArgumentNullException>(() => cache.CreateEntry(null!));
        Assert.False(cache.TryGetValue("nothing", out _) || cache.TryGetValue("a", out _));
        Assert.Equal(0, scene.Group.Usage);
    }

    [Fact]
    public void Settings_of_an_entry_reach_the_cache_inside()
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewCache(scene);
        var options = new MemoryCacheEntryOptions
        {
            Size = 100,
            Priority = CacheItemPriority.NeverRemove,
            AbsoluteExpiration = DateTimeOffset.MaxValue,
            AbsoluteExpirationRelativeToNow = TimeSpan.FromDays(1),
            SlidingExpiration = TimeSpan.FromHours(1),
        };
        ICacheEntry entry = cache.CreateEntry("a").SetOptions(options).SetValue("value");

        Assert.Equal(
            ("a", "value", options.Size, options.Priority),
            (entry.Key, entry.Value, entry.Size, entry.Priority));
        Assert.Equal(
            (options.AbsoluteExpiration, options.AbsoluteExpirationRelativeToNow, options.SlidingExpiration),
            (entry.AbsoluteExpiration, entry.AbsoluteExpirationRelativeToNow, entry.SlidingExpiration));
        entry.Dispose();
        entry.Dispose();
        Assert.Equal(100, cache.Bytes);
    }

    [Fact]
    public void Caches_that_cannot_be_charged_are_refused()
    {
        using var scene = new CacheScene();
        using var unlimited = new MemoryCache(new MemoryCacheOptions { TrackStatistics = true });
        using var silent = new MemoryCache(new MemoryCacheOptions { SizeLimit = 1000 });
        using MemoryCache used = NewMemoryCache();
        used.Set("a", "a", new MemoryCacheEntryOptions { Size = 1 });
        using MemoryCache good = NewMemoryCache();

        Assert.Throws<ArgumentException>(() => unlimited.ChargeTo(scene.Member));
        Assert.Throws<ArgumentException>(() => silent.ChargeTo(scene.Member));
        Assert.Throws<ArgumentException>(() => used.ChargeTo(scene.Member));
        Assert.Throws<ArgumentException>(() => good.ChargeTo(scene.Member, " "));
        Assert.Throws<ArgumentNullException>(() => good.ChargeTo(null!));
        Assert.Throws<ArgumentNullException>(() => MemoryCacheCharging.ChargeTo(null!, scene.Member));
        scene.Member.Dispose();
        Assert.Throws<ObjectDisposedException>(() => good.ChargeTo(scene.Member));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Books_are_exact_whatever_threads_do(int seed)
    {
        using var root = new MemoryRoot();
        MemoryGroup group = root.CreateGroup("tenant", new MemoryGroupOptions { Max = 150_000 });
        MemoryCache inside = NewMemoryCache(sizeLimit: 100_000);
        using ChargedMemoryCache cache = inside.ChargeTo(group.CreateMember("cache"));
        MemoryMember query = group.CreateMember("query");
        Parallel.For(0, 4, new ParallelOptions { MaxDegreeOfParallelism = 4 }, worker =>
        {
            var random = new Random((seed * 100) + worker);
            for (int i = 0; i < 3000; i++)
            {
                int key = (random.Next(100) * 4) + worker;
                switch (random.Next(10))
                {
                    case < 6:
                        Set(cache, key, random.Next(1, 3000));
                        break;
                    case < 9:
                        cache.TryGetValue(key, out _);
                        break;
                    default:
                        cache.Remove(key);
                        break;
                }

                if (worker == 0 && i % 100 == 0)
                {
                    query.Charge(60_000);
                    query.Uncharge(60_000);
                }
            }
        });

        // Above its own limit the cache inside still evicts on the thread pool, and somebody may be returning that.
        bool IsSettled()
        {
            cache.Settle();
            long kept = inside.GetCurrentStatistics()!.CurrentEstimatedSize!.Value;
            return (cache.Bytes, cache.Member.Usage) == (kept, kept);
        }

        bool settles = SpinWait.SpinUntil(IsSettled, CacheScene.Deadline);
        Assert.True(settles, $"seed {seed}: charged {cache.Bytes}, used {cache.Member.Usage}");
        inside.Clear();
        settles = SpinWait.SpinUntil(IsSettled, CacheScene.Deadline);
        Assert.True(settles && cache.Bytes == 0, $"seed {seed}: charged {cache.Bytes}, used {cache.Member.Usage}");
        Assert.True(root.BooksErrorCount == 0, root.FirstBooksError);
    }
}
