// Members that are killed, exit or move: what becomes of the cache that they pay for.

namespace MemoryGroups.Caching.Tests;

public sealed class EndingTests
{
    private const int EntryBytes = 1000;

    [Fact]
    public async Task Kill_of_the_member_empties_the_cache_for_good()
    {
        using var scene = new CacheScene();
        Task killed = CacheScene.AfterAsync(scene.Member.Killed);
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        CacheScene.Fill(cache, 10);

        scene.Member.Kill("test");
        Assert.False(cache.Set(20, 20));
        await killed;

        Assert.Equal((0, 0, 0), (cache.Count, cache.Bytes, scene.Group.Usage));
        Assert.Equal(10, cache.Statistics.Emptied);
        Assert.Equal(7, cache.GetOrAdd(7, static key => key, out bool isKept));
        Assert.False(isKept || cache.TryGet(7, out _));
    }

    [Fact]
    public async Task Exit_of_the_member_empties_the_cache_for_good()
    {
        using var scene = new CacheScene();
        Task exited = CacheScene.AfterAsync(scene.Member.Exited);
        ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        CacheScene.Fill(cache, 10);

        scene.Member.Dispose();
        Assert.Equal(0, scene.Group.Usage);
        Assert.False(cache.Set(20, 20));
        await exited;

        Assert.Equal((0, 0), (cache.Count, cache.Bytes));
        Assert.False(cache.Set(21, 21) || cache.TryGet(1, out _));
        cache.Dispose();
        Assert.Equal(0, scene.Root.BooksErrorCount);
    }

    [Fact]
    public void Cache_that_is_disposed_before_its_member_charges_nothing_later()
    {
        using var scene = new CacheScene();
        ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        CacheScene.Fill(cache, 10);

        cache.Dispose();

        Assert.False(cache.Set(1, 1));
        Assert.Equal((0, 0), (cache.Bytes, scene.Member.Usage));
        cache.Clear();
        Assert.False(cache.Remove(1));
    }

    [Fact]
    public void Cache_begins_anew_in_the_group_that_its_member_moves_to()
    {
        using var scene = new CacheScene();
        MemoryGroup other = scene.Root.CreateGroup(
            "other", new MemoryGroupOptions { Max = 10_000, BatchBytes = 1 });
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        CacheScene.Fill(cache, 10);

        Assert.True(scene.Member.MoveTo(other));
        Assert.True(cache.TryGet(3, out _));
        CacheScene.Fill(cache, 8, from: 100);

        Assert.Equal((0, 8000), (scene.Group.Usage, other.Usage));
        Assert.Equal((8, 10), (cache.Count, cache.Statistics.Emptied));
        other.CreateMember("query").Charge(5000);
        Assert.Equal((3000, 8000), (cache.Bytes, other.Usage));
    }

    [Fact]
    public async Task Group_that_the_member_has_left_still_gets_its_bytes_back()
    {
        using var scene = new CacheScene();
        MemoryGroup other = scene.Root.CreateGroup("other");
        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);
        CacheScene.Fill(cache, 10);
        Assert.True(scene.Member.MoveTo(other));

        Assert.Equal(4000, await scene.Group.ReclaimAsync(4000));

        Assert.Equal((6000, 6), (scene.Group.Usage, cache.Count));
    }

    [Fact]
    public void Member_that_is_gone_gets_no_cache()
    {
        using var scene = new CacheScene();
        scene.Member.Dispose();

        Assert.Throws<ObjectDisposedException>(() => scene.NewCache(EntryBytes));
        Assert.Throws<ArgumentNullException>(() => new ChargedCache<int, int>(null!));
    }

    [Fact]
    public void Killed_member_gets_a_cache_that_keeps_nothing()
    {
        using var scene = new CacheScene();
        scene.Member.Kill("test");

        using ChargedCache<int, int> cache = scene.NewCache(EntryBytes);

        Assert.False(cache.Set(1, 1));
        Assert.Equal(0, scene.Group.Usage);
    }
}
