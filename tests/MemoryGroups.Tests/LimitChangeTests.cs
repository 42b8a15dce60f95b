// Setting Max below what is in use: installed, refused, or enforced, each with a defined end.
namespace MemoryGroups.Tests;

public sealed class LimitChangeTests
{
    [Fact]
    [Requirement("T29")]
    public void Plain_write_installs_and_neither_reclaims_nor_kills()
    {
        using var world = new World();
        MemoryGroup group = Group(world, 1000);
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(hog.TryCharge(600));

        group.Max = 300;
        world.Run();

        Assert.False(hog.IsKilled);
        Assert.Equal((300, 600), (group.Max, group.Usage));
        world.Charge(group.CreateMember("next"), 1);
        Assert.True(hog.IsKilled);
    }

    [Fact]
    [Requirement("T27")]
    [Requirement("M39")]
    public void Enforced_write_kills_until_it_fits()
    {
        using var world = new World();
        MemoryGroup group = Group(world, 1000);
        MemoryMember[] members = [.. Enumerable.Range(0, 3).Select(i => group.CreateMember($"m{i}"))];
        foreach (MemoryMember member in members)
        {
            Assert.True(member.TryCharge(200));
            member.Killed.Register(member.Dispose);
        }

        bool fits = world.Await(group.SetMaxAsync(300));

        Assert.True(fits);
        Assert.Equal(2, members.Count(member => member.IsKilled));
        Assert.Equal(200, group.Usage);
        Assert.Equal(2, group.Events.Current.OomKill);
        Assert.Equal(300, group.Max);
    }

    [Fact]
    public void Enforced_write_asks_who_gives_nothing_once_before_it_kills()
    {
        using var world = new World();
        MemoryGroup group = Group(world, 1000);
        var empty = new ScriptedReclaimer("empty", _ => 0);
        group.AddReclaimer(empty);
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(hog.TryCharge(600));
        hog.Killed.Register(hog.Dispose);

        Assert.True(world.Await(group.SetMaxAsync(300)));

        Assert.True(hog.IsKilled);
        Assert.Single(empty.Calls);
    }

    [Fact]
    [Requirement("T27")]
    public void Enforced_write_ends_where_nobody_may_be_killed_and_stays_installed()
    {
        using var world = new World();
        MemoryGroup group = Group(world, 1000);
        MemoryMember immune = group.CreateMember("immune", new MemoryMemberOptions { OomScoreAdjustment = -1000 });
        Assert.True(immune.TryCharge(600));

        Assert.False(world.Await(group.SetMaxAsync(300)));
        Assert.Equal((300, 600, 0), (group.Max, group.Usage, group.Events.Current.OomKill));
    }

    [Fact]
    [Requirement("T28")]
    public void Careful_write_that_does_not_fit_keeps_the_old_limit_and_kills_nobody()
    {
        using var world = new World();
        MemoryGroup group = Group(world, 1000);
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(hog.TryCharge(600));

        Assert.False(world.Await(group.TrySetMaxAsync(1)));
        Assert.Equal(1000, group.Max);
        Assert.False(hog.IsKilled);
        Assert.True(world.Await(group.TrySetMaxAsync(600)));
        Assert.Equal(600, group.Max);
    }

    [Fact]
    public void Raised_limit_wakes_who_fits_now_and_a_lowered_one_wakes_nobody()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        Assert.True(group.CreateMember("hog").TryCharge(1000));
        Pending asking = world.Charge(group.CreateMember("asker"), 100);
        int wakes = world.Trace.Count(point => point == ProbePoint.WakeDelivered);

        group.Max = 900;
        world.Run();
        Assert.Equal(wakes, world.Trace.Count(point => point == ProbePoint.WakeDelivered));
        group.Max = 1100;
        world.Run();

        Assert.True(asking.Granted);
    }

    // Nothing but a raised limit could help it: it would sleep to its deadline, or for ever.
    [Theory]
    [InlineData(90, true)]
    [InlineData(100, false)]
    public void Cut_limit_refuses_who_sleeps_for_more_than_can_ever_fit_now(long max, bool refused)
    {
        using var world = new World();
        MemoryGroup above = world.Root.CreateGroup("above", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        MemoryGroup group = above.CreateGroup("g");
        Assert.True(group.CreateMember("hog").TryCharge(950));
        Pending small = world.Charge(group.CreateMember("small"), 60);
        Pending large = world.Charge(group.CreateMember("large"), 100);
        Assert.True(large.Sleeps && small.Sleeps);
        int wakes = world.Trace.Count(point => point == ProbePoint.WakeDelivered);

        group.Max = max;
        world.Run();

        Assert.Equal(refused ? 1 : 0, world.Trace.Count(point => point == ProbePoint.WakeDelivered) - wakes);
        Assert.True(small.Sleeps);
        Assert.Equal(refused, !large.Sleeps);
        if (refused)
        {
            var error = Assert.IsType<MemoryLimitExceededException>(large.Error);
            Assert.Equal((ChargeRefusal.Impossible, "root/above/g"), (error.Reason, error.GroupPath));
        }
    }

    // The cut comes between its first refusal and its place in the queue, when it cannot be woken yet.
    [Theory]
    [InlineData(ProbePoint.ChargeRefused)]
    [InlineData(ProbePoint.Queued)]
    [InlineData(ProbePoint.BeforeSleep)]
    internal void Limit_that_is_cut_while_a_charge_goes_to_sleep_refuses_it_as_well(ProbePoint point)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        Assert.True(group.CreateMember("hog").TryCharge(950));
        world.Once(point, () => group.Max = 90);

        Pending asking = world.Charge(group.CreateMember("asker"), 100);

        Assert.Equal(ChargeRefusal.Impossible, Assert.IsType<MemoryLimitExceededException>(asking.Error).Reason);
    }

    // It reclaims while the limit is cut: nobody may be killed for what cannot be granted.
    [Fact]
    public void Limit_that_is_cut_while_a_charge_reclaims_refuses_it_and_kills_nobody()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        group.AddReclaimer(new CuttingReclaimer(group, 90));

        Pending asking = world.Charge(group.CreateMember("asker"), 100);

        Assert.Equal(ChargeRefusal.Impossible, Assert.IsType<MemoryLimitExceededException>(asking.Error).Reason);
        Assert.False(hog.IsKilled);
        Assert.Equal(0, group.Events.Current.Oom);
    }

    // The usage grows between the look and the change.
    [Fact]
    public void Careful_write_that_does_not_fit_puts_the_old_limit_back()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = group.CreateMember("member");
        Assert.True(member.TryCharge(500));
        world.Once(ProbePoint.BeforeSwap, () => Assert.True(member.TryCharge(400)));

        Assert.False(world.Await(group.TrySetMaxAsync(600)));

        Assert.Equal(1000, group.Max);
        Assert.False(member.IsKilled);
    }

    [Fact]
    [Requirement("D9")]
    public void Raised_capacity_wakes_who_waits_at_the_root()
    {
        using var world = new World(capacity: 1000);
        MemoryMember stuck = world.Root.CreateGroup("a").CreateMember("stuck");
        Assert.True(stuck.TryCharge(1000));
        Pending asking = world.Charge(world.Root.CreateGroup("b").CreateMember("asker"), 100);
        Assert.True(asking.Sleeps);

        world.Root.Capacity = 2000;
        world.Run();

        Assert.True(asking.Granted);
    }

    private sealed class CuttingReclaimer(MemoryGroup group, long max) : MemoryReclaimer("cuts")
    {
        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
        {
            group.Max = max;
            return ValueTask.FromResult(0L);
        }
    }

    private static MemoryGroup Group(World world, long max) =>
        world.Root.CreateGroup("g", new MemoryGroupOptions { Max = max });
}
