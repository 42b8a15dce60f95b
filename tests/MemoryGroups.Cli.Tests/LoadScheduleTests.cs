// The schedule is the claim "the same load in both phases": a function of seed, tenant, length and budget alone.

namespace MemoryGroups.Cli.Tests;

public sealed class LoadScheduleTests
{
    private const long Budget = 64L << 20;
    private static readonly TimeSpan Length = TimeSpan.FromSeconds(20);
    private static readonly TenantProfile Alpha = TenantProfile.All[0];
    private static readonly TenantProfile Greedy = TenantProfile.All[2];

    [Fact]
    public void Same_seed_gives_the_same_load()
    {
        Assert.Equal(Small(seed: 5), Small(seed: 5));
        Assert.Equal(Big(seed: 5), Big(seed: 5));
    }

    [Fact]
    public void Another_seed_gives_another_load()
    {
        Assert.NotEqual(Small(seed: 5), Small(seed: 6));
        Assert.NotEqual(Big(seed: 5), Big(seed: 6));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(77)]
    public void Everyday_queries_are_steady_and_of_every_kind(int seed)
    {
        Arrival[] load = LoadSchedule.Small(Alpha, seed, Length);

        Assert.InRange(load.Length, 270, 330);
        Assert.Equal(load.OrderBy(a => a.Due), load);
        Assert.All(load, a => Assert.InRange(a.Due, TimeSpan.Zero, Length - TimeSpan.FromTicks(1)));
        Assert.Equal(
            [QueryKind.Point, QueryKind.Aggregate, QueryKind.Sort, QueryKind.Join],
            load.Select(a => a.Query.Kind).Distinct().Order());
    }

    [Fact]
    public void Polite_tenants_ask_nothing_big() => Assert.Empty(LoadSchedule.Big(Alpha, 1, Length, Budget));

    [Theory]
    [InlineData(5)]
    [InlineData(20)]
    [InlineData(600)]
    public void Nothing_big_is_due_in_the_quiet_tail(int seconds)
    {
        TimeSpan length = TimeSpan.FromSeconds(seconds);
        Arrival[] load = LoadSchedule.Big(Greedy, 1, length, Budget);

        Assert.True(load.Length >= 2, $"{load.Length} big queries");
        Assert.All(load, a => Assert.True(a.Query.IsBig && a.Due < length - LoadSchedule.BigQuietTail));
    }

    [Theory]
    [InlineData(32L << 20)]
    [InlineData(Budget)]
    [InlineData(DemoOptions.MostBudgetBytes)]
    public void Big_queries_ask_for_several_budgets_of_text(long budget)
    {
        Arrival[] load = LoadSchedule.Big(Greedy, 1, Length, budget);
        DemoQuery query = load.First(a => a.Query.Kind == QueryKind.BigConcat).Query;

        // The notes add about 20 bytes to the padding of each row.
        long rows = (long)query.Parameters.Single(p => p.Name == "$rows").Value;
        int padding = ((string)query.Parameters.Single(p => p.Name == "$padding").Value).Length;
        Assert.InRange(rows * (padding + 20), QueryMix.Appetite * budget / 2 - budget / 4, QueryMix.Appetite * budget);
    }

    private static string Small(int seed) => Describe(LoadSchedule.Small(Alpha, seed, Length));

    private static string Big(int seed) => Describe(LoadSchedule.Big(Greedy, seed, Length, Budget));

    private static string Describe(Arrival[] load) =>
        string.Join('\n', load.Select(a => $"{a.Due.Ticks} {a.Query.Key}"));
}
