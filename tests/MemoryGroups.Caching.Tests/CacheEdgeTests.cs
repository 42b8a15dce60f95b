// One cache at its edges: an entry as large as possible, a cache as small as possible, an entry that takes the place of
// itself where nothing is free, keys of one hash code, and what the options say.

namespace MemoryGroups.Caching.Tests;

public sealed class CacheEdgeTests
{
    private const int EntryBytes = 1000;

    [Fact]
    public void Entry_larger_than_all_others_together_is_kept_where_the_group_has_room()
    {
        using var scene = new CacheScene();
        using ChargedCache<int, string> cache = NewCache(scene, maxBytes: 10_000);
        Assert.True(cache.Set(1, "small", 4000 - ChargedCache<int, string>.EntryOverheadBytes));

        Assert.True(cache.Set(2, "large", 9000 - ChargedCache<int, string>.EntryOverheadBytes));

        Assert.False(cache.TryGet(1, out _));
        Assert.Equal((1, 9000, 9000), (cache.Count, cache.Bytes, scene.Group.Usage));
    }

    [Theory]
    [InlineData(10_000, long.MaxValue)]
    [InlineData(MemoryMember.MaxChargeBytes, 10_000)]
    public void Entry_written_again_where_nothing_is_free_takes_its_own_place(long maxBytes, long max)
    {
        using var scene = new CacheScene(max);
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes, maxBytes);
        CacheScene.Fill(cache, 10);

        CacheScene.Fill(cache, 10);

        Assert.Equal((10, 10), (cache.Count, cache.Statistics.Replaced));
        Assert.Equal(0, cache.Statistics.EvictedByMaxBytes + cache.Statistics.EvictedByRefusal);
        Assert.Equal((10_000, 0), (scene.Group.Usage, scene.Group.RefusalCount));
    }

    [Fact]
    public void Value_that_is_measured_replaces_the_older_one_of_its_key()
    {
        using var scene = new CacheScene();
        using var cache = new ChargedCache<int, string>(
            scene.Member, new ChargedCacheOptions<int, string> { SizeOf = static (_, _) => 1 });

        Assert.True(cache.Set(1, "old") && cache.Set(1, "new"));

        Assert.Equal("new", cache.GetOrAdd(1, static _ => "made"));
    }

    [Fact]
    public void Largest_size_there_is_may_be_measured_and_is_just_not_kept()
    {
        using var scene = new CacheScene(max: 1 << 20);
        using ChargedCache<int, int> cache = scene.NewCache(0);
        using var measuring = new ChargedCache<int, int>(scene.Member, new ChargedCacheOptions<int, int>
        {
            SizeOf = static (_, _) => MemoryMember.MaxChargeBytes - ChargedCache<int, int>.EntryOverheadBytes,
        });

        Assert.False(measuring.Set(1, 1));
        Assert.Throws<InvalidOperationException>(() => cache.Set(1, 1));
    }

    [Fact]
    public void Smallest_cache_there_is_keeps_nothing_and_one_of_an_entry_keeps_one()
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> none = scene.NewCache(EntryBytes, maxBytes: 1);
        using ChargedCache<int, int> one = scene.NewCache(EntryBytes, maxBytes: EntryBytes);

        Assert.False(none.Set(1, 1));
        Assert.True(one.Set(1, 1) && one.Set(2, 2));

        Assert.Equal((0, 1), (none.Count, one.Count));
    }

    [Fact]
    public void Keys_of_one_hash_code_are_told_apart()
    {
        using var scene = new CacheScene();
        using var cache = new ChargedCache<string, string>(
            scene.Member,
            new ChargedCacheOptions<string, string> { SizeOf = static (_, _) => 1, Comparer = new OneHash() });

        Assert.True(cache.Set("a", "of a") && cache.Set("b", "of b") && cache.Set("c", "of c"));

        Assert.Equal(["of a", "of b", "of c"], new[] { "a", "b", "c" }.Select(
            key => cache.TryGet(key, out string? value) ? value : "none"));
        Assert.False(cache.TryGet("d", out _));
        Assert.True(cache.Remove("b") && cache.TryGet("a", out _) && cache.TryGet("c", out _));
    }

    // Replaced between the lookup and the gate: the comparer runs in between.
    [Fact]
    public void Key_that_is_replaced_while_it_is_removed_is_removed_all_the_same()
    {
        using var scene = new CacheScene();
        var comparer = new OneHash();
        using var cache = new ChargedCache<string, string>(
            scene.Member, new ChargedCacheOptions<string, string> { SizeOf = static (_, _) => 1, Comparer = comparer });
        Assert.True(cache.Set("a", "old"));
        comparer.Before(1, () => Assert.True(cache.Set("a", "new")));

        Assert.True(cache.Remove("a"));

        Assert.False(cache.TryGet("a", out _));
        Assert.Equal((0, 0, 1, 1), (cache.Count, cache.Bytes, cache.Statistics.Replaced, cache.Statistics.Removed));
        Assert.False(cache.Remove("a"));
    }

    // Paid for, not in yet: then the member moves, and the cache begins anew.
    [Fact]
    public void Entry_on_its_way_in_when_the_member_moves_is_not_charged_to_the_group_that_was_left()
    {
        using var scene = new CacheScene();
        var comparer = new OneHash();
        using var cache = new ChargedCache<string, string>(
            scene.Member, new ChargedCacheOptions<string, string> { SizeOf = static (_, _) => 1, Comparer = comparer });
        MemoryGroup next = scene.Root.CreateGroup("next", new MemoryGroupOptions { BatchBytes = 1 });
        Assert.True(cache.Set("there", "before"));
        comparer.Before(2, () => Assert.True(scene.Member.MoveTo(next) && cache.Set("there", "after")));

        cache.Set("a", "on its way");

        Assert.Equal("after", cache.GetOrAdd("there", static _ => "none"));
        Assert.Equal((0, cache.Bytes), (scene.Group.Usage, next.Usage));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Made_value_that_cannot_be_measured_is_disposed_with_the_others_or_not_at_all(bool disposes)
    {
        using var scene = new CacheScene();
        using var cache = new ChargedCache<int, Value>(
            scene.Member, new ChargedCacheOptions<int, Value>
            {
                SizeOf = static (_, _) => throw new FormatException(),
                DisposesValues = disposes,
            });
        Value one = new();
        Value other = new();
        Value kept = new();

        Assert.Throws<FormatException>(() => cache.GetOrAdd(1, _ => one));
        await Assert.ThrowsAsync<FormatException>(
            async () => await cache.GetOrAddAsync(1, (_, _) => ValueTask.FromResult(other)));
        Assert.Throws<FormatException>(() => cache.Set(1, kept));

        Assert.Equal((disposes, disposes, false), (one.IsDisposed, other.IsDisposed, kept.IsDisposed));
    }

    [Fact]
    public void Hit_rate_of_no_request_is_none()
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);

        Assert.Equal(0, cache.Statistics.HitRate);
        Assert.True(cache.Set(1, 1) && cache.TryGet(1, out _) && !cache.TryGet(2, out _));
        Assert.Equal(0.5, cache.Statistics.HitRate);
    }

    // The second one's factory waits until the first one's value is in.
    [Fact]
    public async Task Value_that_is_awaited_and_comes_second_replaces_nothing()
    {
        using var scene = new CacheScene();
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);

        int got = await cache.GetOrAddAsync(1, async (_, _) =>
        {
            await Task.Yield();
            Assert.True(cache.Set(1, 7));
            return 8;
        });

        Assert.Equal((7, 7, 0), (got, cache.GetOrAdd(1, static _ => 9), cache.Statistics.Replaced));
    }

    // Whichever was made first.
    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    public async Task Cheaper_one_of_two_caches_is_asked_first(int costOfFirst, int costOfSecond)
    {
        using var scene = new CacheScene();
        using ChargedCache<int, string> first = NewCache(scene, costOfFirst);
        using ChargedCache<int, string> second = NewCache(scene, costOfSecond);
        Assert.True(first.Set(1, "one", 1) && second.Set(1, "one", 1));

        await scene.Group.ReclaimAsync(1);

        Assert.Equal((costOfFirst, costOfSecond), (first.Count, second.Count));
    }

    [Fact]
    public void Cache_goes_by_the_name_of_its_options()
    {
        using var scene = new CacheScene();
        using var named = new ChargedCache<int, int>(
            scene.Member, new ChargedCacheOptions<int, int> { Name = "page cache" });
        using var unnamed = new ChargedCache<int, int>(scene.Member);

        Assert.StartsWith("The page cache does not know how large an entry is: give it SizeOf in its options, or",
            Assert.Throws<InvalidOperationException>(() => named.Set(1, 1)).Message, StringComparison.Ordinal);
        Assert.StartsWith("The cache of root/tenant/cache does not know",
            Assert.Throws<InvalidOperationException>(() => unnamed.Set(1, 1)).Message, StringComparison.Ordinal);
    }

    private static ChargedCache<int, string> NewCache(
        CacheScene scene, int cost = 0, long maxBytes = MemoryMember.MaxChargeBytes) =>
        new(scene.Member, new ChargedCacheOptions<int, string> { MaxBytes = maxBytes, ReclaimCost = cost });

    private sealed class Value : IDisposable
    {
        internal bool IsDisposed { get; private set; }

        public void Dispose() => IsDisposed = true;
    }

    private sealed class OneHash : IEqualityComparer<string>
    {
        private Action? _action;
        private int _left;

        // Runs an action before the nth comparison from now on.
        internal void Before(int nth, Action action) => (_left, _action) = (nth, action);

        public bool Equals(string? x, string? y)
        {
            if (_left > 0 && --_left == 0)
            {
                _action!();
            }

            return string.Equals(x, y, StringComparison.Ordinal);
        }

        public int GetHashCode(string obj) => 1;
    }
}
