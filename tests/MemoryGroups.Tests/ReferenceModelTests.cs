// Random operations on the real tree and on the model, compared after each. FsCheck makes the lists and makes a list
// that fails smaller; the failure shows the smallest list, the first disagreement, and the seed of the list.
using FsCheck;
using FsCheck.Fluent;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;

namespace MemoryGroups.Tests;

public sealed class ReferenceModelTests(ITestOutputHelper output)
{
    private const int Length = 400;

    [Fact]
    public void Random_operations_do_to_the_tree_what_they_do_to_the_model()
    {
        var statistics = new ModelStatistics();
        Check(ModelCase.Arbitrary(Length), statistics, cases: 6800, seed: new Rnd(20, 1));
        output.WriteLine(statistics.ToString());

        // A walk in which nothing happens agrees with everything.
        Assert.True(statistics.Operations >= 1_000_000, statistics.ToString());
        Assert.All(Enum.GetValues<ModelVerb>(), verb => Assert.True(statistics.Of(verb) >= 100, $"{verb} is rare"));
        foreach ((string what, long atLeast) in ((string, long)[])[
            ("granted", 100_000), ("killed", 10_000), ("OOM kills", 10_000), ("TimedOut", 3000), ("cancelled", 1000),
            ("closed", 3000), ("Impossible", 5000), ("Costly", 3000), ("Gate", 2000), ("NoVictim", 2000),
            ("KillerDisabled", 2000), ("event Wait", 10_000), ("event Oom", 5000), ("event High", 2000),
            ("event Low", 70), ("event OomGroupKill", 500), ("aged requests", 10), ("reclaimed", 200),
            ("moved", 10_000), ("moved while it waits", 1000), ("stays because it dies", 2000),
            ("bytes in groups that were left", 5000), ("bytes in three groups", 150),
            ("a lease of two groups", 10)])
        {
            Assert.True(statistics[what] >= atLeast, $"'{what}' happened {statistics[what]} times only; {statistics}");
        }
    }

    [Fact]
    [Requirement("M11")]
    public void With_stocks_the_same_is_granted_and_usage_stays_within_the_published_bound()
    {
        var statistics = new ModelStatistics();
        Check(ModelCase.Arbitrary(Length, scale: 1024), statistics, cases: 1000, seed: new Rnd(21, 1));
        output.WriteLine(statistics.ToString());

        foreach ((string what, long atLeast) in ((string, long)[])[
            ("granted", 10_000), ("OOM kills", 1000), ("TimedOut", 200), ("event Wait", 1000),
            ("idle stock seen", 10_000)])
        {
            Assert.True(statistics[what] >= atLeast, $"'{what}' happened {statistics[what]} times only; {statistics}");
        }
    }

    [Theory]
    [InlineData(ModelMistake.OfEqualsTheEarlierDies, 12)]
    [InlineData(ModelMistake.TheYoungestIsWokenFirst, 12)]
    [InlineData(ModelMistake.AnExitWakesNobody, 8)]
    [InlineData(ModelMistake.BytesMoveWithTheirMember, 8)]
    [InlineData(ModelMistake.TheNewestGroupIsRelievedFirst, 8)]
    internal void A_wrong_rule_in_the_model_is_found_and_shrinks_to_a_few_operations(ModelMistake mistake, int atMost)
    {
        var found = Assert.Throws<ModelDisagreementException>(() => Check(
            ModelCase.Arbitrary(Length, mistake), new ModelStatistics(), cases: 300, seed: new Rnd(1, 1)));
        output.WriteLine(found.Message);
        Assert.InRange(found.Smallest.Operations.Length, 3, atMost);
    }

    private static void Check(Arbitrary<ModelCase> lists, ModelStatistics statistics, int cases, Rnd seed) =>
        Prop.ForAll(lists, one => ModelRun.Check(one, statistics)).Check(Config.Quick
            .WithMaxTest(cases).WithReplay(new Replay(seed, null)).WithRunner(new ThrowingRunner()));

    // FsCheck's own message would also show the list before it was made smaller: hundreds of lines.
    private sealed class ThrowingRunner : IRunner
    {
        public void OnStartFixture(Type fixture)
        {
        }

        public void OnArguments(
            int test, FSharpList<object> args, FSharpFunc<int, FSharpFunc<FSharpList<object>, string>> every)
        {
        }

        public void OnShrink(FSharpList<object> args, FSharpFunc<FSharpList<object>, string> everyShrink)
        {
        }

        public void OnFinished(string name, FsCheck.TestResult result)
        {
            if (result is FsCheck.TestResult.Failed failed)
            {
                throw new ModelDisagreementException((ModelCase)failed.Item3.Head, failed.Item6);
            }
        }
    }
}

internal sealed class ModelDisagreementException(ModelCase smallest, Rnd seed) : Exception(
    $"{First(smallest)}\nThe smallest list that shows it: {smallest}\n"
    + $"Seed of the list: cases: 1, seed: new Rnd({seed.Seed}, {seed.Gamma})")
{
    public ModelCase Smallest { get; } = smallest;

    private static string First(ModelCase smallest)
    {
        try
        {
            ModelRun.Check(smallest, new ModelStatistics());
            return "It agrees when it is run again: something here is not deterministic.";
        }
        catch (Exception disagreement)
        {
            return disagreement.Message;
        }
    }
}
