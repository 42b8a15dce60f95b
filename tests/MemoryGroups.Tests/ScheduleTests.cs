// The protocol under every order of small cases and under many orders of larger ones.
namespace MemoryGroups.Tests;

public sealed class ScheduleTests(ITestOutputHelper output)
{
    // Every order of the first twelve choices, in each of the small cases.
    [Theory]
    [Requirement("S000-7")]
    [Requirement("S000-17")]
    [MemberData(nameof(SmallCaseNames))]
    public void Small_case_ends_well_in_every_order(string name)
    {
        using var scheduler = new Scheduler();
        var choices = new Choices { MaxDepth = 12 };
        var watch = System.Diagnostics.Stopwatch.StartNew();
        while (choices.MoveNext())
        {
            try
            {
                SmallCases.Run(name, scheduler, choices);
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"{name}, choices {choices}: {error.Message}", error);
            }
        }

        output.WriteLine($"{name}: {choices.Runs} orders, {choices.Runs / watch.Elapsed.TotalSeconds:F0}/s");
        Assert.True(choices.Runs > 1000, $"only {choices.Runs} orders");
    }

    public static TheoryData<string> SmallCaseNames() => [.. SmallCases.Names];

    [Theory]
    [InlineData(1, 20000)]
    [InlineData(2, 20000)]
    public void Random_orders_of_a_tree_lose_no_wake(int firstSeed, int count)
    {
        using var scheduler = new Scheduler();
        long steps = 0;
        long handOvers = 0;
        var watch = System.Diagnostics.Stopwatch.StartNew();
        for (int seed = firstSeed * 1_000_000; seed < (firstSeed * 1_000_000) + count; seed++)
        {
            var dice = new Dice(seed);
            try
            {
                RunTree(scheduler, new SeededChooser(dice), dice);
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"seed {seed}: {error.Message}", error);
            }

            steps += scheduler.Steps;
            handOvers += scheduler.HandOvers;
        }

        output.WriteLine(
            $"{count / watch.Elapsed.TotalSeconds:F0}/s, {steps / count} steps, {handOvers * 1.0 / count:F1} hand-overs");
    }

    // Two tenants below one parent whose limit is less than both together; chargers in all three groups.
    private static void RunTree(Scheduler scheduler, Chooser choose, Dice random)
    {
        using var scheduled = new ScheduledCase(scheduler, choose);
        MemoryGroup parent = scheduled.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1500 });
        bool whole = random.Next(4) == 0;
        scheduled.KillsFreely = whole;
        MemoryGroup[] groups =
        [
            parent,
            parent.CreateGroup("a", new MemoryGroupOptions { Max = 1000 }),
            parent.CreateGroup("b", new MemoryGroupOptions { Max = 1000, KillWholeGroup = whole }),
        ];
        MemoryMember hog = scheduled.Obedient(groups[1 + random.Next(2)], "hog");
        Assert.True(hog.TryCharge(800));
        for (int i = 0; i < 2 + random.Next(3); i++)
        {
            MemoryMember member = scheduled.Obedient(groups[random.Next(3)], $"charger{i}");
            scheduled.ChargeAndReturn(member, 100 + random.Next(700));
        }

        if (random.Next(2) == 0)
        {
            scheduled.Actor(() => hog.Uncharge(400));
        }

        scheduled.Run();
    }
}
