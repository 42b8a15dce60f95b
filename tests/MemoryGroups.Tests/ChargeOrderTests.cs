// The order of a charge, step by step (M8): what comes before what, and where the dying leave it (M12).
namespace MemoryGroups.Tests;

public sealed class ChargeOrderTests
{
    // Steps 1 and 2.
    [Fact]
    [Requirement("M8")]
    [Requirement("M11")]
    public void Charge_comes_from_stock_and_stock_comes_in_batches()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(group);
        long held = member.Books.Held;
        long charged = group.Usage;

        Assert.True(member.TryCharge(held));
        Assert.Equal((0, charged), (member.Books.Held, group.Usage));
        Assert.True(member.TryCharge(1));

        Assert.True(member.Books.Held > 0);
        Assert.Equal((1 << 20) + held + 1, member.Usage);
        Assert.True(group.Usage > member.Usage, "the batch that was fetched is charged as a whole");
    }

    // Step 4 before step 6: what a reclaimer needs to free more is forced, even when it says that it may not wait.
    [Fact]
    [Requirement("M8")]
    [Requirement("M9")]
    public void Reclaimer_is_forced_before_it_is_refused_for_not_waiting()
    {
        using var world = new World();
        MemoryGroup group = Full(world, out MemoryMember hog);

        hog.Charge(10, ChargeFlags.FromReclaim | ChargeFlags.NoWait);

        Assert.Throws<MemoryLimitExceededException>(() => hog.Charge(10, ChargeFlags.NoWait));
        Assert.Equal((1010, 1), (group.Usage, group.Events.Current.Max));
    }

    // Steps 7 and 15: counted, then reclaimed, then the OOM, then the kill.
    [Fact]
    [Requirement("M8")]
    public void Max_is_counted_before_reclaim_and_reclaim_ends_before_the_oom()
    {
        using var world = new World();
        MemoryGroup group = Full(world, out _);
        var seen = new List<(string At, long Max, long Oom)>();
        group.AddReclaimer(new ScriptedReclaimer("cache", _ =>
        {
            Note("reclaim");
            return 0;
        }));
        world.Once(ProbePoint.ChargeRefused, () => Note("refused"));
        world.Once(ProbePoint.VictimChosen, () => Note("kill"));

        FullGroup.Ask(world, group, 100);

        Assert.Equal([("reclaim", 1, 0), ("refused", 1, 0), ("kill", 1, 1)], seen.Take(3));

        void Note(string at) => seen.Add((at, group.Events.Current.Max, group.Events.Current.Oom));
    }

    // Step 15: the first victim's bytes are taken by somebody else. The second kill comes after sixteen new rounds.
    [Fact]
    [Requirement("M8")]
    public void Progress_of_the_oom_gives_reclaim_all_its_rounds_again()
    {
        using var world = new World();
        MemoryGroup group = Full(world, out MemoryMember first);
        MemoryMember asker = group.CreateMember(
            "asker", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        MemoryMember second = group.CreateMember("second");
        var boasting = new ScriptedReclaimer("boasts", static _ => 1);
        group.AddReclaimer(boasting);
        Pending asking = world.Charge(asker, 100);
        Assert.True(first.IsKilled && asking.Sleeps);
        int calls = boasting.Calls.Count;
        int atTheKill = 0;
        world.Once(ProbePoint.VictimChosen, () => atTheKill = boasting.Calls.Count);
        world.Once(ProbePoint.Woken, () => Assert.True(second.TryCharge(1000)));

        first.Dispose();
        world.Run();

        Assert.True(second.IsKilled);
        Assert.True(atTheKill - calls >= ChargeAttempt.MaxRounds, $"{atTheKill - calls} rounds before the second kill");
    }

    // Step 14. Who is leaving passes the OOM once: it is marked instead of anybody else, and gets the reserve at most.
    [Theory]
    [InlineData(0)]
    [InlineData(50)]
    [Requirement("M8")]
    [Requirement("M12")]
    public void Leaving_member_goes_through_the_oom_once_and_gets_no_more_than_the_reserve(long reserve)
    {
        using var world = new World(configure: options => options with { OomReserveBytes = reserve });
        MemoryGroup group = Full(world, out MemoryMember hog);
        MemoryMember leaving = group.CreateMember("leaving");
        leaving.BeginExit();

        Pending asking = world.Charge(leaving, 50);

        if (reserve == 0)
        {
            asking.Failed<OomKilledException>();
        }
        else
        {
            Assert.True(asking.Granted);
            world.Charge(leaving, 1).Failed<OomKilledException>();
        }

        Assert.False(hog.IsKilled);
        Assert.Equal((1000 + reserve, reserve), (group.Usage, world.Root.OomReserveUsed));
        Assert.Equal(1, group.Events.Current.Oom);
    }

    // Neither forced nor let through: only what fits, as for everybody else.
    [Fact]
    [Requirement("M12")]
    public void Member_that_was_killed_by_hand_gets_what_fits_and_nothing_over_the_limit()
    {
        using var world = new World();
        MemoryGroup group = Full(world, out MemoryMember hog);
        MemoryMember killed = group.CreateMember("killed");
        killed.Kill("test");

        world.Charge(killed, 1).Failed<OomKilledException>();
        Assert.Throws<OomKilledException>(() => killed.Charge(1));
        Assert.Equal((1000, 0), (group.Usage, world.Root.OomReserveUsed));
        Assert.False(hog.IsKilled);

        hog.Uncharge(10);
        Assert.True(world.Charge(killed, 10).Granted);
    }

    private static MemoryGroup Full(World world, out MemoryMember hog)
    {
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        hog = FullGroup.Fill(world, group);
        return group;
    }
}
