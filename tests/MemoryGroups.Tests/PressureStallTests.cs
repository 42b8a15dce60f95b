// The time that is lost for want of memory: who counts as stalled, when some and when all are, and the averages.
namespace MemoryGroups.Tests;

public sealed class PressureStallTests
{
    private static readonly TimeSpan TenSeconds = TimeSpan.FromSeconds(10);

    [Fact]
    public void Averages_rise_and_fade_exponentially()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        Pending asking = FullGroup.Ask(world, tenant, 10);

        // 100 * (1 - e^(-10/T)) for T = 10, 60, 300.
        world.Advance(TenSeconds);
        AssertIs(63.2121, 15.3518, 3.2784, seconds: 10, tenant.Pressure.Some);

        hog.Uncharge(10);
        world.Run();
        Assert.True(asking.Granted);

        // The same, times e^(-10/T).
        world.Advance(TenSeconds);
        AssertIs(23.2544, 12.9950, 3.1709, seconds: 10, tenant.Pressure.Some);
        AssertIs(23.2544, 12.9950, 3.1709, seconds: 10, world.Root.Pressure.Some);
        Assert.Equal(default, tenant.Pressure.Full);
    }

    [Fact]
    public void Averages_do_not_depend_on_how_often_they_are_read()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryGroup watched = tenant.CreateGroup("watched");
        FullGroup.Fill(world, tenant);
        FullGroup.Ask(world, watched, 10);
        for (int second = 0; second < 20; second++)
        {
            world.Advance(TimeSpan.FromSeconds(1));
            _ = watched.Pressure.Full;
        }

        AssertIs(86.4665, 28.3469, 6.4493, seconds: 20, watched.Pressure.Full);
        AssertIs(86.4665, 28.3469, 6.4493, seconds: 20, tenant.Pressure.Some);
    }

    [Fact]
    public void Stall_that_could_not_begin_is_none_and_the_next_one_is_counted()
    {
        var clock = new IntrudingClock();
        using var root = new MemoryRoot(new MemoryRootOptions { TimeProvider = clock });
        MemoryGroup tenant = root.CreateGroup("tenant");
        MemoryMember member = tenant.CreateMember("member");
        clock.Asked = static () => throw new InsufficientMemoryException();
        Assert.Throws<InsufficientMemoryException>(member.BeginStall);
        clock.Asked = null;

        member.BeginStall();

        Assert.Equal(1, tenant.StalledMembers);
        member.EndStall();
        Assert.Equal(0, tenant.StalledMembers);
    }

    [Fact]
    public void Full_runs_only_while_every_live_member_of_the_subtree_stalls()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", FullGroup.Sleepy);
        MemoryGroup one = parent.CreateGroup("one");
        MemoryGroup two = parent.CreateGroup("two");
        FullGroup.Fill(world, world.Root.CreateGroup("elsewhere", FullGroup.Sleepy));
        Assert.True(world.Charge(one.CreateMember("gone"), 0).Granted);
        one.Members[0].Dispose();
        MemoryMember first = one.CreateMember("first");
        MemoryMember second = two.CreateMember("second");
        Assert.True(world.Charge(first, 1000).Granted);

        Pending waiting = world.Charge(first, 10);
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([(1, 1), (0, 0), (1, 0), (1, 0)], Totals(one, two, parent, world.Root));

        // The same member again: still one that stalls.
        Pending more = world.Charge(first, 20);
        Pending other = world.Charge(second, 30);
        world.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal([(3, 3), (2, 2), (3, 2), (3, 0)], Totals(one, two, parent, world.Root));

        // Somebody who does not stall joins.
        MemoryMember third = two.CreateMember("third");
        world.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal([(7, 7), (6, 2), (7, 2), (7, 0)], Totals(one, two, parent, world.Root));
        third.Dispose();
        first.Uncharge(10);
        world.Run();
        Assert.Equal((true, true, true), (waiting.Granted, more.Sleeps, other.Sleeps));
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([(8, 8), (7, 3), (8, 3), (8, 0)], Totals(one, two, parent, world.Root));

        first.Uncharge(50);
        world.Run();
        world.Advance(TenSeconds);
        Assert.Equal([(8, 8), (7, 3), (8, 3), (8, 0)], Totals(one, two, parent, world.Root));
    }

    [Theory]
    [InlineData("kill")]
    [InlineData("exit")]
    [InlineData("cancel")]
    [InlineData("close")]
    [InlineData("timeout")]
    public void Stall_ends_with_whatever_ends_the_charge(string how)
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup top = world.Root.CreateGroup("top", FullGroup.Sleepy);
        MemoryGroup tenant = top.CreateGroup("tenant");
        FullGroup.Fill(world, top);
        MemoryMember asker = tenant.CreateMember("asker");
        Pending asking = world.Charge(asker, 10, cancel: cancel.Token);
        world.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal((1, 1, 1), (asking.Sleeps ? 1 : 0, top.StalledMembers, tenant.StalledMembers));

        switch (how)
        {
            case "kill": asker.Kill("a test"); break;
            case "exit": asker.Dispose(); break;
            case "cancel": cancel.Cancel(); break;
            case "close": tenant.Dispose(); break;
            default: world.Advance(MemoryRootOptions.DefaultWaitTimeout - TimeSpan.FromSeconds(3)); break;
        }

        world.Run();
        Assert.False(asking.Sleeps);
        long expected = how == "timeout" ? (long)MemoryRootOptions.DefaultWaitTimeout.TotalSeconds : 3;
        world.Advance(TenSeconds);
        Assert.Equal((0, 0), (top.StalledMembers, tenant.StalledMembers));
        Assert.Equal([(expected, 0), (expected, expected)], Totals(top, tenant));
        Assert.Equal(how is "exit" or "close" ? 0 : 1, tenant.LiveMembers);
    }

    [Fact]
    public void Exit_ends_the_stall_before_the_charge_has_noticed()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        FullGroup.Fill(world, tenant);
        MemoryMember asker = tenant.CreateMember("asker");
        Pending asking = world.Charge(asker, 10);

        asker.Dispose();

        Assert.True(asking.Sleeps);
        Assert.Equal((0, 1), (tenant.StalledMembers, tenant.LiveMembers));
    }

    [Fact]
    public void Frozen_member_is_neither_work_nor_stalled()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        MemoryMember asker = tenant.CreateMember("asker");
        world.Charge(asker, 10);
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([(1, 0)], Totals(tenant));

        hog.Freeze();
        hog.Freeze();
        world.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal([(3, 2)], Totals(tenant));
        asker.Freeze();
        world.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal([(3, 2)], Totals(tenant));
        Assert.Equal(0, tenant.LiveMembers);

        asker.Thaw();
        asker.Thaw();
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([(4, 3)], Totals(tenant));
        hog.Thaw();
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([(5, 3)], Totals(tenant));
        hog.Freeze();
        hog.Kill("thawed by it");
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([(6, 3)], Totals(tenant));
    }

    [Fact]
    public void Charge_that_fits_or_is_refused_at_once_stalls_nobody()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember member = tenant.CreateMember("member");

        Assert.True(world.Charge(member, 600).Granted);
        Assert.False(member.TryCharge(600));
        world.Charge(member, 600, ChargeFlags.NoWait).Failed<MemoryLimitExceededException>();
        world.Charge(member, 1001).Failed<MemoryLimitExceededException>();

        Assert.Equal(((MemoryPressure?)null, 1), (tenant.KnownPressure, tenant.LiveMembers));
    }

    [Fact]
    public void Time_in_a_reclaimer_is_time_stalled()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        tenant.AddReclaimer(new ScriptedReclaimer("slow", request =>
        {
            world.Time.Advance(TimeSpan.FromSeconds(2));
            return hog.Free(request.Bytes);
        }));

        hog.Charge(10);
        Assert.Equal([(2, 2)], Totals(tenant));
        Assert.True(FullGroup.Ask(world, tenant, 10).Granted);
        Assert.Equal([(4, 2)], Totals(tenant));
        world.Advance(TenSeconds);
        Assert.Equal([(4, 2)], Totals(tenant));
    }

    [Fact]
    public void Pause_above_high_is_time_stalled()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { High = 1 << 20 });
        MemoryMember member = tenant.CreateMember("member");

        Pending pausing = world.Charge(member, 4 << 20);
        world.Advance(TenSeconds);

        Assert.True(pausing.Granted);
        Assert.Equal([(2, 2)], Totals(tenant));
    }

    [Fact]
    public void Wait_behind_an_older_request_is_time_stalled()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember member = tenant.CreateMember("member");
        tenant.AgedRequest = new OomRequest(world.Root, null, 1000, ChargeFlags.None, Timeout.InfiniteTimeSpan);

        Pending behind = world.Charge(member, 10);
        world.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal([(3, 3)], Totals(tenant));

        tenant.AgedRequest = null;
        world.Root.WaitQueue.WakeAll(tenant);
        world.Advance(TenSeconds);
        Assert.True(behind.Granted);
        Assert.Equal([(3, 3)], Totals(tenant));
    }

    [Fact]
    public void Clock_that_goes_back_makes_nothing_negative()
    {
        var time = new VirtualTime();
        var clock = new StallClock(time);
        clock.SetLocked(some: true, full: true);
        time.Advance(TenSeconds);
        (PressureStall before, _) = clock.ReadLocked();

        time.Advance(-TimeSpan.FromSeconds(7));
        clock.SetLocked(some: true, full: false);
        Assert.Equal(before, clock.ReadLocked().Some);
        time.Advance(TimeSpan.FromSeconds(9));

        (PressureStall some, PressureStall full) = clock.ReadLocked();
        Assert.Equal((TimeSpan.FromSeconds(12), TenSeconds), (some.TotalTime, full.TotalTime));
        Assert.True(some.Average10 > before.Average10 && full.Average10 < before.Average10);
    }

    [Fact]
    public void Average_never_leaves_its_range_however_long_it_lasts()
    {
        var time = new VirtualTime();
        var clock = new StallClock(time);
        clock.SetLocked(some: true, full: false);
        time.Advance(TimeSpan.FromDays(1000));
        AssertIs(100, 100, 100, seconds: 86_400_000, clock.ReadLocked().Some);
        clock.SetLocked(some: false, full: false);
        time.Advance(TimeSpan.FromDays(1000));
        AssertIs(0, 0, 0, seconds: 86_400_000, clock.ReadLocked().Some);
    }

    [Fact]
    public void Snapshot_shows_pressure_and_limits()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", FullGroup.Sleepy with { High = 1 << 20, Low = 200, Min = 100 });
        MemoryStatistics quiet = tenant.GetStatistics();
        Assert.Equal((default, default), (quiet.SomePressure, quiet.FullPressure));
        Assert.Null(tenant.KnownPressure);
        Assert.Equal((1 << 20, 200, 100), (quiet.HighBytes, quiet.LowBytes, quiet.MinBytes));
        MemoryMember hog = FullGroup.Fill(world, tenant);

        world.Charge(hog, 10);
        world.Advance(TenSeconds);

        MemoryStatistics now = tenant.GetStatistics();
        AssertIs(63.2121, 15.3518, 3.2784, seconds: 10, now.SomePressure);
        Assert.Equal(now.SomePressure, now.FullPressure);
    }

    private static (long Some, long Full)[] Totals(params MemoryGroup[] groups) => [.. groups.Select(static group => (
        (long)group.Pressure.Some.TotalTime.TotalSeconds, (long)group.Pressure.Full.TotalTime.TotalSeconds))];

    private static void AssertIs(double ten, double sixty, double threeHundred, int seconds, PressureStall stall)
    {
        Assert.Equal(ten, stall.Average10, 0.0001);
        Assert.Equal(sixty, stall.Average60, 0.0001);
        Assert.Equal(threeHundred, stall.Average300, 0.0001);
        Assert.Equal(TimeSpan.FromSeconds(seconds), stall.TotalTime);
    }
}
