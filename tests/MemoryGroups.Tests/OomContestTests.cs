// The contest for a group's OOM, step by step.
namespace MemoryGroups.Tests;

public sealed class OomContestTests
{
    [Fact]
    public void Full_group_kills_its_largest_member_and_the_asker_goes_on()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember small = tenant.CreateMember("small");
        Assert.True(world.Charge(hog, 900).Granted);

        Pending asking = world.Charge(small, 200);

        Assert.True(hog.IsKilled);
        Assert.False(small.IsKilled);
        Assert.True(asking.Sleeps);
        Assert.Equal(1, tenant.Events.Current.OomKill);
        Assert.Equal(1, tenant.Events.Current.Oom);

        hog.Dispose();
        world.Run();

        Assert.True(asking.Granted);
        Assert.Equal(200, tenant.Usage);
        Assert.Equal(OomOutcome.Exited, Assert.Single(world.Root.Reports.Latest()).Outcome);
        world.AssertQuiet(leftAtRoot: 200);
    }

    // Found by schedule 5466873: the winner asked a slow handler although bytes had been kept for it meanwhile, and a
    // younger request that fitted beside them slept on.
    [Fact]
    [Requirement("I3")]
    [Requirement("C14")]
    public void Winner_whose_bytes_came_back_at_the_notification_asks_no_handler()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, tenant);
        int asked = 0;
        tenant.Oom.Handler = new ScriptedHandler((_, _) =>
        {
            asked++;
            return new ValueTask<OomDecision>(new TaskCompletionSource<OomDecision>().Task);
        });
        world.Once(ProbePoint.BeforeNotify, () => hog.Uncharge(100));

        Pending asking = FullGroup.Ask(world, tenant, 100);

        Assert.True(asking.Granted);
        Assert.Equal(0, asked);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    public void Late_contender_runs_on_the_wake_after_the_release()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember holder = tenant.CreateMember("holder");
        MemoryMember late = tenant.CreateMember("late");
        Assert.True(world.Charge(hog, 1000).Granted);
        Pending? contender = null;
        world.Once(ProbePoint.KillReturned, () =>
        {
            contender = world.Begin(late, 300);
            Assert.True(contender.Sleeps);
        });

        Pending holding = world.Charge(holder, 300);
        Assert.NotNull(contender);
        hog.Dispose();
        world.Run();

        Assert.True(holding.Granted);
        Assert.True(contender.Granted);
        world.AssertQuiet(leftAtRoot: 600);
    }

    [Fact]
    [Requirement("M33")]
    public void Victim_that_does_not_go_is_hidden_and_another_one_dies()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember stuck = tenant.CreateMember("stuck");
        MemoryMember second = tenant.CreateMember("second");
        MemoryMember asker = tenant.CreateMember("asker");
        Assert.True(world.Charge(stuck, 600).Granted);
        Assert.True(world.Charge(second, 400).Granted);

        Pending asking = world.Charge(asker, 100);
        Assert.True(stuck.IsKilled);
        world.Advance(TimeSpan.FromSeconds(1.9));
        Assert.False(second.IsKilled);
        world.Advance(TimeSpan.FromSeconds(1.2));

        Assert.True(second.IsKilled);
        second.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    // Found by the schedules: each release woke the other's pause, which entered an OOM again, for as long as a third
    // had its bytes in the counters and not yet in its books.
    [Fact]
    public void Requests_that_pause_for_bytes_on_the_way_do_not_wake_one_another()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember third = group.CreateMember("third");
        third.Killed.UnsafeRegister(static state => ((MemoryMember)state!).Dispose(), third);
        MemoryMember[] askers = [group.CreateMember("one"), group.CreateMember("two")];
        Pending[] asking = [];
        world.Once(ProbePoint.BeforeSwap, static () => { });
        world.Once(ProbePoint.BeforeSwap, () =>
        {
            asking = [world.Charge(askers[0], 300), world.Charge(askers[1], 300)];
            Assert.All(asking, static one => Assert.True(one.Sleeps));
            Assert.Equal(2, group.Events.Current.Oom);
        });

        Assert.True(third.TryCharge(900));

        world.Advance(world.Root.PauseTick);
        Assert.All(asking, static one => Assert.True(one.Granted));
        Assert.True(third.IsKilled);
    }
}
