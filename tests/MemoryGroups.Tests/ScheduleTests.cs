// The protocol under every interleaving of small cases and many of larger ones.
namespace MemoryGroups.Tests;

public sealed class ScheduleTests(ITestOutputHelper output)
{
    // Two chargers and a hog that one of them has killed: every order of their steps, to a depth.
    [Fact]
    [Requirement("S000-7")]
    [Requirement("S000-17")]
    public void Two_chargers_and_a_victim_end_in_every_order()
    {
        var choices = new Choices { MaxDepth = 10 };
        while (choices.MoveNext())
        {
            try
            {
                RunOneGroup(choices.Choose, chargers: 2, withRelease: false);
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"choices {choices}: {error.Message}", error);
            }
        }

        output.WriteLine($"{choices.Runs} runs");
        Assert.True(choices.Runs > 1000, "too few runs to mean anything");
    }

    [Theory]
    [InlineData(1, 300)]
    [InlineData(2, 300)]
    public void Random_orders_of_a_tree_lose_no_wake(int firstSeed, int count)
    {
        for (int seed = firstSeed * 1_000_000; seed < (firstSeed * 1_000_000) + count; seed++)
        {
            var random = new Random(seed);
            try
            {
                RunTree(random.Next, random);
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"seed {seed}: {error.Message}", error);
            }
        }
    }

    private static void RunOneGroup(Func<int, int> choose, int chargers, bool withRelease)
    {
        using var scheduled = new ScheduledCase(choose);
        MemoryGroup group = scheduled.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = scheduled.Obedient(group, "hog");
        Assert.True(hog.TryCharge(900));
        for (int i = 0; i < chargers; i++)
        {
            scheduled.ChargeAndReturn(scheduled.Obedient(group, $"charger{i}"), 200);
        }

        if (withRelease)
        {
            scheduled.Actor(() => hog.Uncharge(300));
        }

        scheduled.Run();
    }

    // Two tenants below one parent whose limit is less than both together; chargers in all three groups.
    private static void RunTree(Func<int, int> choose, Random random)
    {
        using var scheduled = new ScheduledCase(choose);
        MemoryGroup parent = scheduled.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1500 });
        MemoryGroup[] groups =
        [
            parent,
            parent.CreateGroup("a", new MemoryGroupOptions { Max = 1000 }),
            parent.CreateGroup("b", new MemoryGroupOptions { Max = 1000, KillWholeGroup = random.Next(4) == 0 }),
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
