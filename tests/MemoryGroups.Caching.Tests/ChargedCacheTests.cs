// One cache by itself: what it answers, what it charges, whose the values are, and what it refuses to be told.

namespace MemoryGroups.Caching.Tests;

public sealed class ChargedCacheTests
{
    private static readonly int Overhead = ChargedCache<string, Value>.EntryOverheadBytes;

    [Fact]
    public void Entry_is_found_and_charged_with_its_overhead_until_it_is_removed()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene);
        var value = new Value();

        Assert.True(cache.Set("a", value, 100));
        Assert.True(cache.TryGet("a", out Value? found));

        Assert.Same(value, found);
        Assert.Equal((100 + Overhead, 100 + Overhead, 1), (cache.Bytes, scene.Group.Usage, cache.Count));
        Assert.True(cache.Remove("a"));
        Assert.False(cache.Remove("a") || cache.TryGet("a", out _));
        Assert.Equal((0, 0, 1), (cache.Bytes, scene.Group.Usage, value.Disposals));
        Assert.Equal((1, 1, 1), (cache.Statistics.Hits, cache.Statistics.Misses, cache.Statistics.Removed));
    }

    [Fact]
    public void Entry_written_again_is_charged_by_its_new_size_and_goes_later()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene, maxBytes: 11 * (100 + Overhead));
        Value[] values = [.. Enumerable.Range(0, 14).Select(static _ => new Value())];
        for (int i = 0; i < 10; i++)
        {
            Assert.True(cache.Set($"{i}", values[i], 100));
        }

        Assert.True(cache.Set("0", values[10], 50));

        Assert.Equal((1, 0), (values[0].Disposals, values[10].Disposals));
        Assert.Equal((10 * (100 + Overhead)) - 50, cache.Bytes);
        Assert.Equal((10, 1), (cache.Count, cache.Statistics.Replaced));
        Assert.True(cache.Set("11", values[11], 100) && cache.Set("12", values[12], 100));
        Assert.False(cache.TryGet("1", out _));
        Assert.True(cache.TryGet("2", out _) && cache.TryGet("0", out _));
    }

    [Fact]
    public void Entry_written_again_and_again_is_proven()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene, maxBytes: 10 * (100 + Overhead));
        for (int i = 0; i < 3; i++)
        {
            Assert.True(cache.Set("often", new Value(), 100));
        }

        for (int i = 0; i < 100; i++)
        {
            Assert.True(cache.Set($"{i}", new Value(), 100));
        }

        Assert.True(cache.TryGet("often", out _));
    }

    [Fact]
    public async Task GetOrAdd_makes_a_value_once_and_gives_it_to_all_later_callers()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene);
        int made = 0;

        Value first = cache.GetOrAdd("a", _ => Made());
        Value second = cache.GetOrAdd("a", _ => Made(), out bool isKept);
        Value third = await cache.GetOrAddAsync("a", (_, _) => ValueTask.FromResult(Made()));
        Value other = await cache.GetOrAddAsync("b", async (_, _) =>
        {
            await Task.Yield();
            return Made();
        });

        Assert.True(isKept && first == second && second == third && other != first);
        Assert.Equal((2, 2, 0), (made, cache.Count, first.Disposals));

        Value Made()
        {
            made++;
            return new Value();
        }
    }

    // The second one's factory runs while the first one's value comes in.
    [Fact]
    public void Value_that_comes_second_is_disposed_and_its_bytes_are_returned()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene);
        Value first = new(), second = new();

        Value got = cache.GetOrAdd("a", key =>
        {
            Assert.Same(first, cache.GetOrAdd(key, _ => first));
            return second;
        });

        Assert.Same(first, got);
        Assert.Equal((0, 1), (first.Disposals, second.Disposals));
        Assert.Equal((1, 100 + Overhead), (cache.Count, scene.Group.Usage));
    }

    [Fact]
    public void Values_are_disposed_once_when_they_leave_whatever_the_way()
    {
        using var scene = new CacheScene();
        ChargedCache<string, Value> cache = NewCache(scene, maxBytes: 5 * (100 + Overhead));
        Value[] values = [.. Enumerable.Range(0, 20).Select(static _ => new Value())];
        for (int i = 0; i < 10; i++)
        {
            cache.Set($"{i}", values[i], 100);
        }

        Assert.Equal(5, values.Count(static value => value.Disposals == 1));
        cache.Clear();
        Assert.Equal(10, values.Count(static value => value.Disposals == 1));
        Assert.Equal((0, 0), (cache.Bytes, scene.Group.Usage));
        for (int i = 10; i < 15; i++)
        {
            cache.Set($"{i}", values[i], 100);
        }

        cache.Dispose();

        Assert.All(values[..15], static value => Assert.Equal(1, value.Disposals));
        Assert.All(values[15..], static value => Assert.Equal(0, value.Disposals));
        Assert.Equal((5, 5, 5), (
            cache.Statistics.EvictedByMaxBytes, cache.Statistics.Removed, cache.Statistics.Emptied));
    }

    [Fact]
    public void Value_written_again_under_its_key_is_still_in_use()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene);
        var value = new Value();

        Assert.True(cache.Set("a", value, 100) && cache.Set("a", value, 300));

        Assert.Equal((0, 300 + Overhead), (value.Disposals, cache.Bytes));
    }

    [Fact]
    public void Values_of_the_caller_are_left_alone()
    {
        using var scene = new CacheScene();
        var cache = new ChargedCache<string, Value>(
            scene.Member, new ChargedCacheOptions<string, Value> { DisposesValues = false });
        var value = new Value();
        cache.Set("a", value, 100);

        cache.Dispose();

        Assert.Equal(0, value.Disposals);
    }

    [Fact]
    public void Dispose_of_a_value_that_throws_is_counted_and_harms_nobody()
    {
        using var scene = new CacheScene(max: 1000);
        using ChargedCache<string, Value> cache = NewCache(scene);
        cache.Set("a", new Value { OnDispose = static () => throw new InvalidOperationException("no") }, 500);

        scene.Group.CreateMember("query").Charge(900);

        Assert.Equal((0, 1), (cache.Count, cache.Statistics.FailedDisposals));
    }

    // Another thread gets through while the value is being disposed.
    [Fact]
    public async Task Values_are_disposed_under_no_lock()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene);
        bool isKept = false;
        cache.Set("a", new Value
        {
            OnDispose = () =>
            {
                var other = new Thread(() => isKept = cache.Set("b", new Value(), 1));
                other.Start();
                other.Join(CacheScene.Deadline);
            },
        }, 100);

        await scene.Group.ReclaimAsync(1);

        Assert.True(isKept && cache.TryGet("b", out _));
    }

    [Fact]
    public void Cache_that_another_thread_is_ending_is_empty_when_Dispose_returns()
    {
        using var scene = new CacheScene();
        ChargedCache<string, Value> cache = NewCache(scene);
        using var disposing = new ManualResetEventSlim();
        using var done = new ManualResetEventSlim();
        cache.Set("a", new Value
        {
            OnDispose = () =>
            {
                disposing.Set();
                done.Wait(CacheScene.Deadline);
            },
        }, 100);
        var other = new Thread(cache.Dispose);
        other.Start();
        Assert.True(disposing.Wait(CacheScene.Deadline));

        cache.Dispose();

        Assert.Equal((0, 0, 0), (cache.Count, cache.Bytes, scene.Member.Usage));
        done.Set();
        Assert.True(other.Join(CacheScene.Deadline));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(long.MinValue)]
    [InlineData(MemoryMember.MaxChargeBytes)]
    [InlineData(long.MaxValue)]
    public void Size_out_of_range_is_refused_and_changes_nothing(long bytes)
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene);
        using var measuring = new ChargedCache<string, Value>(
            scene.Member, new ChargedCacheOptions<string, Value> { SizeOf = (_, _) => bytes });

        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Set("a", new Value(), bytes));
        Assert.Throws<InvalidOperationException>(() => measuring.Set("a", new Value()));
        Assert.Throws<InvalidOperationException>(() => measuring.GetOrAdd("a", static _ => new Value()));

        Assert.Equal((0, 0), (cache.Count + measuring.Count, scene.Group.Usage));
    }

    [Fact]
    public void Size_of_nothing_is_the_overhead_and_the_largest_is_just_not_kept()
    {
        using var scene = new CacheScene(max: 1 << 20);
        using ChargedCache<string, Value> cache = NewCache(scene);

        Assert.True(cache.Set("nothing", new Value(), 0));
        Assert.False(cache.Set("huge", new Value(), MemoryMember.MaxChargeBytes - Overhead));

        Assert.Equal((1, Overhead), (cache.Count, cache.Bytes));
    }

    [Fact]
    public async Task Arguments_that_make_no_sense_are_refused()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene);
        using var unsized = new ChargedCache<string, Value>(scene.Member);

        Assert.Throws<ArgumentNullException>(() => cache.TryGet(null!, out _));
        Assert.Throws<ArgumentNullException>(() => cache.Set(null!, new Value()));
        Assert.Throws<ArgumentNullException>(() => cache.Set(null!, new Value(), 1));
        Assert.Throws<ArgumentNullException>(() => cache.Remove(null!));
        Assert.Throws<ArgumentNullException>(() => cache.GetOrAdd("a", null!));
        Assert.Throws<ArgumentNullException>(() => cache.GetOrAdd(null!, static _ => new Value()));
        await Assert.ThrowsAsync<ArgumentNullException>(async () => await cache.GetOrAddAsync("a", null!));
        var missing = Assert.Throws<InvalidOperationException>(() => unsized.Set("a", new Value()));
        Assert.Contains("SizeOf", missing.Message, StringComparison.Ordinal);
        Assert.Equal(0, scene.Group.Usage);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(MemoryMember.MaxChargeBytes + 1)]
    public void Options_out_of_range_make_no_cache(long maxBytes)
    {
        using var scene = new CacheScene();

        Assert.Throws<ArgumentOutOfRangeException>(() => NewCache(scene, maxBytes));
        Assert.Throws<ArgumentException>(() => new ChargedCache<string, Value>(
            scene.Member, new ChargedCacheOptions<string, Value> { Name = " " }));
        Assert.Equal(0, scene.Member.Usage);
    }

    [Fact]
    public void Factory_that_throws_leaves_nothing_behind()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene);

        Assert.Throws<TimeoutException>(() => cache.GetOrAdd("a", static _ => throw new TimeoutException()));

        Assert.Equal((0, 0), (cache.Count, scene.Group.Usage));
    }

    [Fact]
    public void Comparer_of_the_options_tells_keys_apart()
    {
        using var scene = new CacheScene();
        using var cache = new ChargedCache<string, Value>(
            scene.Member,
            new ChargedCacheOptions<string, Value> { Comparer = StringComparer.OrdinalIgnoreCase });

        Assert.True(cache.Set("a", new Value(), 1) && cache.TryGet("A", out _) && cache.Remove("A"));
    }

    [Fact]
    public void Hit_allocates_nothing()
    {
        using var scene = new CacheScene();
        using ChargedCache<string, Value> cache = NewCache(scene);
        using var numbers = new ChargedCache<long, long>(scene.Member);
        cache.Set("a", new Value(), 1);
        cache.TryGet("a", out _);
        numbers.Set(1, 1, 1);
        numbers.TryGet(1, out _);

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            cache.TryGet("a", out _);
            cache.TryGet("b", out _);
            numbers.TryGet(1, out _);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    // The entry and, the table being grown from its smallest, about twice its place in that.
    [Fact]
    public void Overhead_covers_what_an_entry_allocates()
    {
        const int Entries = 20_000;
        using var scene = new CacheScene();
        using var cache = new ChargedCache<long, long>(
            scene.Member, new ChargedCacheOptions<long, long> { SizeOf = static (_, _) => 0 });
        Fill();
        cache.Clear();

        long before = GC.GetAllocatedBytesForCurrentThread();
        Fill();
        double allocated = (double)(GC.GetAllocatedBytesForCurrentThread() - before) / Entries;

        Assert.InRange(allocated, ChargedCache<long, long>.EntryOverheadBytes * 0.6,
            ChargedCache<long, long>.EntryOverheadBytes);

        void Fill()
        {
            for (long key = 0; key < Entries; key++)
            {
                cache.Set(key, key);
            }
        }
    }

    private static ChargedCache<string, Value> NewCache(
        CacheScene scene, long maxBytes = MemoryMember.MaxChargeBytes) =>
        new(
            scene.Member,
            new ChargedCacheOptions<string, Value> { SizeOf = static (_, _) => 100, MaxBytes = maxBytes });

    internal sealed class Value : IDisposable
    {
        public int Disposals { get; private set; }

        public Action? OnDispose { get; init; }

        public void Dispose()
        {
            Disposals++;
            OnDispose?.Invoke();
        }
    }
}
