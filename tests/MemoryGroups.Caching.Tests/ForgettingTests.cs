// What has left a cache, and a cache that is over, are collected while the member and its group live on.
//
// Many of each kind, one after the other: a handful may be alive at the end (in a pool, or in what a thread remembers),
// never a number that grows with those that were made.

using System.Runtime.CompilerServices;
using MemoryGroups.Tests;
using Microsoft.Extensions.Caching.Memory;
using static MemoryGroups.Caching.Tests.MemoryCaches;

namespace MemoryGroups.Caching.Tests;

public sealed class ForgettingTests
{
    private const int Caches = 250;
    private const int Entries = 1000;
    private const int MostAlive = 8;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private static readonly Dictionary<string, Func<CacheScene, object[]>> Kinds = new()
    {
        ["cache"] = static scene =>
        {
            var value = new object();
            var cache = new ChargedCache<int, object>(scene.Member);
            Assert.True(cache.Set(1, value, 100));
            Assert.True(Now(scene.Group.ReclaimAsync(1)) > 0);
            Assert.True(cache.Set(1, value, 100) && cache.TryGet(1, out _));
            cache.Dispose();
            return [cache, value];
        },
        ["cache whose member exited"] = static scene =>
        {
            MemoryMember member = scene.Group.CreateMember("query");
            var value = new object();
            var cache = new ChargedCache<int, object>(member);
            Assert.True(cache.Set(1, value, 100));
            member.Dispose();
            return [cache, value, member];
        },
        ["cache whose member moved"] = static scene =>
        {
            var value = new object();
            MemoryMember member = scene.Group.CreateMember("query");
            var cache = new ChargedCache<int, object>(member);
            Assert.True(cache.Set(1, value, 100) && member.MoveTo(scene.Root) && cache.Set(2, value, 100));
            cache.Dispose();
            return [cache, value];
        },
        ["memory cache"] = static scene =>
        {
            var value = new object();
            MemoryCache inside = NewMemoryCache();
            ChargedMemoryCache cache = inside.ChargeTo(scene.Member);
            Set(cache, value);
            Assert.Equal(100, Now(scene.Group.ReclaimAsync(1)));
            Set(cache, value);
            Assert.True(cache.TryGetValue("key", out _));
            cache.Dispose();
            return [cache, value, inside];
        },
        ["memory cache whose member exited"] = static scene =>
        {
            MemoryMember member = scene.Group.CreateMember("query");
            var value = new object();
            MemoryCache inside = NewMemoryCache();
            ChargedMemoryCache cache = inside.ChargeTo(member);
            Set(cache, value);
            member.Dispose();
            cache.Dispose();
            return [cache, value, inside, member];
        },
    };

    public static TheoryData<string> Names => [.. Kinds.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Cache_that_is_over_is_collected_while_its_group_lives(string kind)
    {
        using var scene = new CacheScene();
        Func<CacheScene, object[]> makeAndEnd = Kinds[kind];

        AssertForgotten([.. Enumerable.Range(0, Caches).Select(_ => Weakly(makeAndEnd, scene))]);

        Assert.True(SpinWait.SpinUntil(() => scene.Group.Usage == 0, CacheScene.Deadline), "bytes are left");
    }

    // What is not charged any more must not be there any more: also not by way of the entries that stay.
    [Theory]
    [InlineData("removed")]
    [InlineData("replaced")]
    [InlineData("reclaimed")]
    public void Value_that_left_is_collected_while_others_stay(string how)
    {
        using var scene = new CacheScene();
        using var cache = new ChargedCache<int, object>(scene.Member);
        var random = new Random(6301);
        int[] keys = [.. Enumerable.Range(0, Entries).Select(_ => random.Next())];
        WeakReference[] values = [.. keys.Select(key => Add(cache, key))];

        for (int i = 0; i < Entries; i++)
        {
            if (i % 4 != 0 && how == "removed")
            {
                Assert.True(cache.Remove(keys[i]));
            }
            else if (i % 4 != 0 && how == "replaced")
            {
                Assert.True(cache.Set(keys[i], keys, 100));
            }
        }

        if (how == "reclaimed")
        {
            Now(scene.Group.ReclaimAsync(cache.Bytes * 3 / 4));
        }

        Assert.Equal(how == "replaced" ? Entries : Entries / 4, cache.Count);
        WeakReference[][] left =
            [.. values.Where((_, i) => how == "reclaimed" || i % 4 != 0).Select(static one => new[] { one })];
        AssertForgotten(left, besides: how == "reclaimed" ? cache.Count : 0);
    }

    private static void AssertForgotten(WeakReference[][] made, int besides = 0)
    {
        int[] alive = Survivors.Count(made, besides + MostAlive, Patience);
        Assert.All(alive, count => Assert.InRange(count, besides, besides + MostAlive));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference[] Weakly(Func<CacheScene, object[]> makeAndEnd, CacheScene scene) =>
        [.. makeAndEnd(scene).Select(static thing => new WeakReference(thing))];

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference Add(ChargedCache<int, object> cache, int key)
    {
        var value = new object();
        Assert.True(cache.Set(key, value, 100));
        return new WeakReference(value);
    }

    private static void Set(ChargedMemoryCache cache, object value) =>
        cache.Set("key", value, new MemoryCacheEntryOptions { Size = 100 });

    private static long Now(ValueTask<long> reclaim)
    {
        Task<long> running = reclaim.AsTask();
        Assert.True(running.Wait(CacheScene.Deadline, TestContext.Current.CancellationToken), "it does not end");
        return running.Result;
    }
}
