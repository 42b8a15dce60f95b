// Each rule of the verdict turned red by itself, at its boundary, and everything else green.

namespace MemoryGroups.Cli.Tests;

public sealed class DemoVerdictTests
{
    private static KillRow Kill => Outcomes.Good.Kills[0];

    [Fact]
    public void Good_run_passes_whatever_became_of_the_ungoverned_phase()
    {
        Assert.True(Judge(Outcomes.Good).Pass);
        Assert.True(DemoVerdict.Judge(Outcomes.Options, Outcomes.Died, Outcomes.Good).Pass);
    }

    [Fact]
    public void Phase_that_died_fails() =>
        AssertOnlyRed(Outcomes.Good with { EndedByItself = false, Exit = "exit code 1" }, "reached its end");

    [Theory]
    [InlineData(1000, 998)]
    [InlineData(999, 998)]
    [InlineData(0, 0)]
    public void Polite_tenant_below_999_of_1000_fails(int tried, int succeeded) =>
        AssertOnlyRed(
            Outcomes.With("beta", t => t with { Small = Outcomes.Counts(tried, succeeded) }), "beta: at least 99.9 %");

    [Fact]
    public void Big_query_that_succeeds_fails() =>
        AssertOnlyRed(
            Outcomes.With("greedy", t => t with { Big = Outcomes.Counts(10, 1) with { Killed = 9 } }),
            "killed or refused");

    [Fact]
    public void Big_query_that_never_ended_fails() =>
        AssertOnlyRed(
            Outcomes.With("greedy", t => t with { Big = Outcomes.Counts(10, 0) with { Killed = 9, Unfinished = 1 } }),
            "killed or refused");

    [Fact]
    public void No_big_query_at_all_fails() =>
        AssertOnlyRed(Outcomes.With("greedy", t => t with { Big = QueryCounts.None }), "killed or refused");

    [Fact]
    public void Greedy_small_queries_below_95_percent_fail() =>
        AssertOnlyRed(Outcomes.With("greedy", t => t with { Small = Outcomes.Counts(100, 94) }), "small queries");

    [Fact]
    public void No_kill_fails() => AssertOnlyRed(Outcomes.Good with { Kills = [] }, "says why");

    [Fact]
    public void Kill_without_a_reason_fails() =>
        AssertOnlyRed(Outcomes.Good with { Kills = [Kill with { Reason = string.Empty }] }, "says why");

    [Fact]
    public void Polite_victim_fails() =>
        AssertOnlyRed(
            Outcomes.Good with { Kills = [Kill, Kill with { Group = "service/tenants/alpha" }] }, "says why");

    [Fact]
    public void Usage_one_byte_above_budget_and_bound_fails()
    {
        PhaseEnd end = Outcomes.Good.End!;
        long most = Outcomes.Budget + end.BoundBytes;

        Assert.True(Judge(Outcomes.Good with { End = end with { PeakChargedBytes = most } }).Pass);
        AssertOnlyRed(Outcomes.Good with { End = end with { PeakChargedBytes = most + 1 } }, "never above");
    }

    [Fact]
    public void Bytes_left_in_the_books_fail_and_are_named()
    {
        PhaseEnd end = Outcomes.Good.End! with { BooksZero = false, BooksLeft = ["service/tenants/alpha: 7 bytes"] };

        DemoVerdict verdict = AssertOnlyRed(Outcomes.Good with { End = end }, "books");

        Assert.Contains(verdict.Rules, r => r.Found == "service/tenants/alpha: 7 bytes");
    }

    [Fact]
    public void Phase_without_an_end_fails_what_only_the_end_can_tell()
    {
        DemoVerdict verdict = Judge(Outcomes.Good with { End = null });

        Assert.Equal(2, verdict.Rules.Count(r => !r.Held));
    }

    private static DemoVerdict Judge(PhaseOutcome governed) => DemoVerdict.Judge(Outcomes.Options, null, governed);

    private static DemoVerdict AssertOnlyRed(PhaseOutcome governed, string rule)
    {
        DemoVerdict verdict = Judge(governed);
        Assert.False(verdict.Pass);
        DemoRule red = Assert.Single(verdict.Rules, r => !r.Held);
        Assert.Contains(rule, red.Name, StringComparison.Ordinal);
        return verdict;
    }
}
