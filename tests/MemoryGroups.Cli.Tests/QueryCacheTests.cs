// The cache's books: every kept byte is charged, and what a reclaimer says it gave is gone when it says so.

namespace MemoryGroups.Cli.Tests;

public sealed class QueryCacheTests
{
    private static readonly byte[] Answer = [.. Enumerable.Range(0, 1000).Select(n => (byte)(n % 256))];

    [Fact]
    public void Kept_answer_is_charged_found_and_freed_at_the_end()
    {
        using var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 1L << 20 });
        using MemoryMember member = root.CreateMember("answers");
        using (var cache = new QueryCache(member, 10_000))
        {
            cache.Keep("a", Answer);

            Assert.Equal(1000, member.Usage);
            Assert.Equal(Answer, cache.Find("a"));
            Assert.Null(cache.Find("b"));
        }

        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Full_cache_drops_the_least_recently_used()
    {
        using var cache = new QueryCache(member: null, 3_000);
        foreach (string key in (string[])["a", "b", "c"]) cache.Keep(key, Answer);
        cache.Find("a");

        cache.Keep("d", Answer);

        string[] keys = ["a", "b", "c", "d"];
        Assert.Equal([true, false, true, true], keys.Select(key => cache.Find(key) is not null));
    }

    [Fact]
    public void Answer_that_does_not_fit_the_budget_is_not_kept()
    {
        using var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 900, MinWatermarkBytes = 0 });
        using MemoryMember member = root.CreateMember("answers");
        using var cache = new QueryCache(member, 10_000);

        cache.Keep("a", Answer);

        Assert.Null(cache.Find("a"));
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public async Task Charge_that_does_not_fit_takes_the_answers()
    {
        using var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 10_000, MinWatermarkBytes = 0 });
        using MemoryMember member = root.CreateMember("answers");
        using var cache = new QueryCache(member, 10_000);
        using IDisposable registration = root.AddReclaimer(cache);
        foreach (string key in (string[])["a", "b", "c", "d"]) cache.Keep(key, Answer);
        using MemoryMember query = root.CreateMember("query");

        await query.ChargeAsync(9_500, cancellationToken: TestContext.Current.CancellationToken);

        Assert.Equal(9_500, query.Usage);
        Assert.Equal(0, member.Usage);
        Assert.Equal(4_000, cache.GivenBackBytes);
    }

    [Fact]
    public async Task Parachute_is_given_up_when_the_root_is_exhausted_and_packed_again_only_if_it_fits()
    {
        using var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 10_000, MinWatermarkBytes = 0 });
        using MemoryMember reserve =
            root.CreateMember("reserve", new MemoryMemberOptions { OomScoreAdjustment = -1000 });
        using var parachute = new Parachute(reserve, 4_000);
        using IDisposable registration = root.AddLastResortReclaimer(parachute);
        using MemoryMember query = root.CreateMember("query");

        await query.ChargeAsync(2_000, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(4_000, reserve.Usage);
        for (int n = 0; n < 7; n++)
            await query.ChargeAsync(1_000, cancellationToken: TestContext.Current.CancellationToken);
        parachute.Pack();

        Assert.Equal(1, parachute.Openings);
        Assert.Equal(0, reserve.Usage);
        Assert.False(query.IsKilled);

        query.Uncharge(9_000);
        parachute.Pack();
        Assert.Equal(4_000, reserve.Usage);
    }
}
