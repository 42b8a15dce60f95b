// MemoryCache under a group at its edges: entries that weigh nothing, that may not go, that never get a value, and that
// are larger than what could be evicted for them.

using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Internal;
using static MemoryGroups.Caching.Tests.MemoryCaches;

namespace MemoryGroups.Caching.Tests;

public sealed class ChargedMemoryCacheEdgeTests
{
    [Fact]
    public async Task Entries_that_may_not_go_are_not_given_and_the_reclaim_ends()
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewCache(scene);
        Set(cache, "a", 1000, CacheItemPriority.NeverRemove);

        Assert.Equal(0, await scene.Group.ReclaimAsync(500));

        Assert.Equal((1000, 1000), (cache.Bytes, scene.Group.Usage));
    }

    // The clock is read when the cache has been asked to evict and has not begun: the other is there first.
    [Fact]
    public async Task What_others_return_during_a_reclaim_is_its_answer()
    {
        using var scene = new CacheScene();
        var clock = new HookedClock();
        using ChargedMemoryCache cache = NewMemoryCache(clock: clock).ChargeTo(scene.Member);
        Set(cache, "a", 1000);
        clock.OnRead = () => cache.Remove("a");

        Assert.Equal(1000, await scene.Group.ReclaimAsync(1000));

        Assert.Equal((0, 0), (cache.Bytes, scene.Group.Usage));
    }

    [Fact]
    public async Task Entries_that_weigh_nothing_are_not_evicted_for_bytes()
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewCache(scene);
        Set(cache, "a", 0);
        using MemoryMember query = scene.Group.CreateMember("query");
        query.Charge(1000);

        Assert.Equal(0, await scene.Group.ReclaimAsync(500));

        Assert.True(cache.TryGetValue("a", out _));
    }

    [Fact]
    public void Cache_is_not_emptied_for_an_entry_that_would_be_refused_all_the_same()
    {
        using var scene = new CacheScene(max: 10_000);
        using ChargedMemoryCache cache = NewCache(scene);
        Set(cache, "small", 100);
        Assert.True(scene.Group.CreateMember("query").TryCharge(9000));

        Set(cache, "large", 5000);

        Assert.True(cache.TryGetValue("small", out _));
        Assert.False(cache.TryGetValue("large", out _));
    }

    [Fact]
    public void Large_entry_takes_the_place_of_as_many_small_ones_as_it_needs()
    {
        using var scene = new CacheScene(max: 10_000);
        using ChargedMemoryCache cache = NewCache(scene);
        Fill(cache, 10);

        Set(cache, "large", 3000);

        Assert.True(cache.TryGetValue("large", out _));
        Assert.Equal((10_000, 10_000), (cache.Bytes, scene.Group.Usage));
    }

    [Fact]
    public void Refused_entry_takes_nothing_from_what_others_are_charged()
    {
        using var scene = new CacheScene(max: 10_000);
        using ChargedMemoryCache cache = NewCache(scene);
        Set(cache, "other", 700);
        Set(cache, "a", 100);

        Set(cache, "a", 50_000);

        Assert.False(cache.TryGetValue("a", out _));
        Assert.Equal((700, 700), (cache.Bytes, scene.Group.Usage));
    }

    [Fact]
    public void Entry_that_never_gets_a_value_leaves_the_older_one_of_its_key()
    {
        using var scene = new CacheScene(max: 10_000);
        using ChargedMemoryCache cache = NewCache(scene);
        Set(cache, "a", 100);

        using (ICacheEntry entry = cache.CreateEntry("a"))
        {
            entry.Size = 50_000;
        }

        Assert.Equal("value of a", cache.Get("a"));
        Assert.Equal((100, 0), (scene.Group.Usage, scene.Group.RefusalCount));
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    public async Task Cheaper_one_of_two_caches_is_asked_first(int costOfFirst, int costOfSecond)
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache first = NewCache(scene, costOfFirst);
        using ChargedMemoryCache second = NewCache(scene, costOfSecond);
        Set(first, "a", 100);
        Set(second, "a", 100);

        await scene.Group.ReclaimAsync(100);

        Assert.Equal((100 * costOfFirst, 100 * costOfSecond), (first.Bytes, second.Bytes));
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(1 << 20)]
    public void Entry_larger_than_any_charge_can_be_is_just_not_kept(long high)
    {
        using var scene = new CacheScene(high: high);
        using ChargedMemoryCache cache = NewCache(scene);
        Set(cache, "a", 100);

        Set(cache, "a", long.MaxValue);
        Set(cache, "b", MemoryMember.MaxChargeBytes + 1);

        Assert.False(cache.TryGetValue("a", out _) || cache.TryGetValue("b", out _));
        Assert.Equal((0, 0), (cache.Bytes, scene.Group.Usage));
    }

    [Fact]
    public void Entry_as_large_as_a_charge_can_be_is_kept_where_nothing_limits_it()
    {
        using var scene = new CacheScene();
        using ChargedMemoryCache cache = NewCache(scene);

        Set(cache, "a", MemoryMember.MaxChargeBytes);

        Assert.True(cache.TryGetValue("a", out _));
        Assert.Equal(MemoryMember.MaxChargeBytes, cache.Bytes);
    }

    // The clock is read when the entry has been paid for and is not in the cache yet.
    [Fact]
    public void Entry_on_its_way_in_when_the_member_moves_is_not_charged_to_the_group_that_was_left()
    {
        using var scene = new CacheScene();
        var clock = new HookedClock();
        using ChargedMemoryCache cache = NewMemoryCache(clock: clock).ChargeTo(scene.Member);
        MemoryGroup next = scene.Root.CreateGroup("next", new MemoryGroupOptions { BatchBytes = 1 });
        clock.OnRead = () =>
        {
            Assert.Equal(1000, scene.Group.Usage);
            Assert.True(scene.Member.MoveTo(next));
            Set(cache, "b", 100);
        };

        Set(cache, "a", 1000);

        Assert.Null(clock.OnRead);
        Assert.Equal((0, cache.Bytes), (scene.Group.Usage, next.Usage));
    }

    private sealed class HookedClock : ISystemClock
    {
        internal Action? OnRead { get; set; }

        public DateTimeOffset UtcNow
        {
            get
            {
                Action? hook = OnRead;
                OnRead = null;
                hook?.Invoke();
                return DateTimeOffset.UnixEpoch;
            }
        }
    }
}
