// Whole scenarios of a group's OOM, from the full group to what is left behind.
namespace MemoryGroups.Tests;

public sealed class GroupOomTests
{
    [Fact]
    [Requirement("T34")]
    public void Single_grower_is_killed_once_and_its_group_is_empty()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 30_000 });
        MemoryMember grower = group.CreateMember("grower");
        Pending last = world.Charge(grower, 1000);
        for (int i = 1; i < 100 && last.Granted; i++)
        {
            last = world.Charge(grower, 1000);
        }

        last.Failed<OomKilledException>();
        Assert.True(grower.IsKilled);
        grower.Dispose();
        world.Run();

        Assert.Empty(group.Members);
        Assert.Equal(1, group.Events.Current.Oom);
        Assert.Equal(1, group.Events.Current.OomKill);
        world.AssertQuiet();
    }

    [Fact]
    [Requirement("T46")]
    public void Nobody_eligible_ends_in_a_refusal_and_the_group_works_on()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        var immortal = new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill };
        MemoryMember hog = group.CreateMember("hog", immortal);
        MemoryMember asker = group.CreateMember("asker", immortal);
        Assert.True(world.Charge(hog, 1000).Granted);

        Pending asking = world.Charge(asker, 100);

        Assert.Equal(ChargeRefusal.NoVictim, asking.Failed<MemoryLimitExceededException>().Reason);
        Assert.False(asker.IsKilled);
        Assert.Single(world.Trace, ProbePoint.BeforeKillLock);
        Assert.Equal(1, group.Events.Current.Oom);
        Assert.Equal(0, group.Events.Current.OomKill);
        hog.Uncharge(100);
        Assert.True(world.Charge(asker, 100).Granted);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    public void Disabled_killer_of_the_root_refuses_instead_of_waiting()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        Assert.True(world.Await(world.Root.OomKiller.DisableAsync(TimeSpan.Zero)));

        Pending asking = FullGroup.Ask(world, group, 100);

        Assert.Equal(ChargeRefusal.KillerDisabled, asking.Failed<MemoryLimitExceededException>().Reason);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    public void Who_comes_while_a_victim_is_on_its_way_out_sleeps_without_another_oom()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending first = FullGroup.Ask(world, group, 100);
        Assert.True(hog.IsKilled);

        List<Pending> others = [.. Enumerable.Range(0, 5).Select(_ => FullGroup.Ask(world, group, 100))];

        Assert.Equal(1, group.Events.Current.Oom);
        Assert.Equal(6, group.Events.Current.Waits);
        hog.Dispose();
        world.Run();
        Assert.True(first.Granted);
        Assert.All(others, static one => Assert.True(one.Granted));
        Assert.Equal(1, group.Events.Current.OomKill);
    }

    [Fact]
    [Requirement("B04")]
    public void Victim_that_is_gone_when_the_next_one_looks_leaves_nobody_asleep()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 100);
        Assert.True(hog.IsKilled);
        MemoryMember filler = group.CreateMember("filler");

        // It saw the victim in flight; before it sleeps the victim is gone, and most of its bytes are somebody else's.
        world.Once(ProbePoint.BeforeSleep, () =>
        {
            Assert.True(hog.TryMoveTo(filler, 950));
            hog.Dispose();
        });
        Pending late = FullGroup.Ask(world, group, 200);

        Assert.True(filler.IsKilled);
        filler.Dispose();
        world.Run();
        Assert.True(late.Granted);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Crowd_in_a_small_group_always_ends_and_leaves_clean_books(int seed)
    {
        using var world = new World();
        var random = new Random(seed);
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 3000 });
        List<MemoryGroup> groups = [.. Enumerable.Range(0, 3).Select(i => parent.CreateGroup(
            $"g{i}", new MemoryGroupOptions { Max = 1500, KillDisabled = i == 2 }))];
        var sources = new List<CancellationTokenSource>();
        var charges = new List<(MemoryMember Member, Pending Pending)>();
        for (int step = 0; step < 400; step++)
        {
            int choice = random.Next(10);
            if (choice < 5)
            {
                MemoryMember member = groups[random.Next(3)].CreateMember("m");
                var source = new CancellationTokenSource();
                sources.Add(source);
                charges.Add((member, world.Begin(member, random.Next(1, 900), cancel: source.Token)));
            }
            else if (charges.Count > 0)
            {
                int at = random.Next(charges.Count);
                MemoryMember member = charges[at].Member;
                Action act = choice switch
                {
                    5 => () => member.Kill("test"),
                    6 => sources[at].Cancel,
                    7 => () => groups[random.Next(3)].Max = random.Next(900, 2000),
                    _ => member.Dispose,
                };
                act();
            }

            for (int hops = random.Next(4); hops > 0 && world.RunOne(); hops--)
            {
                Assert.True(parent.Usage <= 3000, $"seed {seed}, step {step}: {parent.Usage}");
            }
        }

        world.Advance(TimeSpan.FromSeconds(1));
        foreach ((MemoryMember member, _) in charges)
        {
            member.Dispose();
        }

        world.Run();
        Assert.All(charges, one => Assert.True(one.Pending.Task.IsCompleted, $"seed {seed}: a charge sleeps on"));
        world.AssertQuiet();
        sources.ForEach(static source => source.Dispose());
    }
}
