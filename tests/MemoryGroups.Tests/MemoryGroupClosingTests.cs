// Closing a group between any two steps of an OOM; options and timeouts that no group may have; the peak.
namespace MemoryGroups.Tests;

public sealed class MemoryGroupClosingTests
{
    [Fact]
    public void Options_out_of_range_are_refused_and_make_nothing()
    {
        using var world = new World();
        MemoryGroupOptions[] bad =
        [
            new() { Max = -1 }, new() { High = -1 }, new() { Low = -1 }, new() { Min = -1 }, new() { SoftLimit = -1 },
            new() { BatchBytes = 0 }, new() { WaitTimeout = TimeSpan.FromMilliseconds(-2) },
            new() { WaitTimeout = TimeSpan.MaxValue },
        ];

        Assert.All(
            bad, options => Assert.Throws<ArgumentOutOfRangeException>(() => world.Root.CreateGroup("g", options)));
        Assert.Throws<ArgumentOutOfRangeException>(
            () => world.Root.CreateMember("m", new MemoryMemberOptions { OomScoreAdjustment = -1001 }));

        Assert.Empty(world.Root.Children);
        Assert.Empty(world.Root.Members);
    }

    // Every wait ends in a timer: one that the system's timers cannot hold must fail here, not in a charge.
    [Fact]
    public void Wait_timeout_is_checked_against_what_a_timer_can_hold()
    {
        using var root = new MemoryRoot();
        MemoryGroup tenant = root.CreateGroup("tenant", FullGroup.Sleepy);

        Assert.Throws<ArgumentOutOfRangeException>(() => tenant.WaitTimeout = TimeSpan.FromDays(50));
        tenant.WaitTimeout = TimeSpan.FromDays(49);
        Assert.True(tenant.CreateMember("hog").TryCharge(1000));
        Task asking = tenant.CreateMember("asker").ChargeAsync(10).AsTask();
        Assert.False(asking.IsCompleted);
        tenant.WaitTimeout = Timeout.InfiniteTimeSpan;
        Assert.Equal(Timeout.InfiniteTimeSpan, tenant.CreateGroup("child").WaitTimeout);
    }

    [Fact]
    [Requirement("T17")]
    [Requirement("T18")]
    public void Closing_a_subtree_returns_everything_and_ends_every_wait_in_it()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryGroup session = tenant.CreateGroup("session");
        MemoryMember outsider = FullGroup.Fill(world, world.Root.CreateGroup("other", FullGroup.Sleepy));
        Assert.True(world.Charge(session.CreateMember("hog"), 1000).Granted);
        Pending[] waiting = [FullGroup.Ask(world, tenant, 10), FullGroup.Ask(world, session, 10)];
        var signal = new MemorySignal();
        session.Oom.Register(signal);
        signal.Take();

        tenant.Dispose();
        tenant.Dispose();
        world.Run();

        Assert.All(waiting, static one => one.Failed<ObjectDisposedException>());
        Assert.Equal((0, 0, 1000), (tenant.Usage, session.Usage, world.Root.Usage));
        Assert.True(tenant.IsClosed && session.IsClosed);
        Assert.Equal(1, signal.Take());
        Assert.Single(world.Root.Children);
        Assert.Throws<ObjectDisposedException>(() => tenant.CreateGroup("late"));
        Assert.Throws<ObjectDisposedException>(() => session.CreateMember("late"));
        Assert.Throws<ObjectDisposedException>(() => session.AddReclaimer(new ScriptedReclaimer("late", _ => 0)));
        Assert.False(outsider.IsExited);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    // The group goes away between two steps of a charge's OOM, whichever step it is.
    [Theory]
    [InlineData(nameof(ProbePoint.ChargeRefused))]
    [InlineData(nameof(ProbePoint.Queued))]
    [InlineData(nameof(ProbePoint.Marked))]
    [InlineData(nameof(ProbePoint.BeforeNotify))]
    [InlineData(nameof(ProbePoint.BeforeKillLock))]
    [InlineData(nameof(ProbePoint.VictimChosen))]
    [InlineData(nameof(ProbePoint.KillSent))]
    [InlineData(nameof(ProbePoint.KillReturned))]
    [InlineData(nameof(ProbePoint.Released))]
    [InlineData(nameof(ProbePoint.BeforeSleep))]
    [Requirement("I9")]
    public void Closing_a_group_at_any_step_of_its_oom_leaves_nothing_behind(string point)
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        MemoryGroup tenant = parent.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        FullGroup.Fill(world, tenant);
        bool closed = false;
        world.Once(Enum.Parse<ProbePoint>(point), () =>
        {
            tenant.Dispose();
            closed = true;
        });

        Pending asking = FullGroup.Ask(world, tenant, 10);
        world.Advance(TimeSpan.FromSeconds(5));

        Assert.True(closed);
        asking.Failed<ObjectDisposedException>();
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
        world.AssertQuiet();
    }

    // Its member has moved and lives on, and what that has left there keeps the group full.
    [Fact]
    public void Charge_whose_member_has_moved_is_refused_when_the_group_is_closed_before_it_waits_there()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryGroup other = world.Root.CreateGroup("other");
        MemoryMember hog = FullGroup.Fill(world, tenant);
        MemoryMember asker = tenant.CreateMember("asker");
        world.Once(ProbePoint.ChargeRefused, () =>
        {
            Assert.True(hog.MoveTo(other) && asker.MoveTo(other));
            tenant.Dispose();
        });

        Pending asking = world.Charge(asker, 10);

        asking.Failed<ObjectDisposedException>();
        Assert.Equal((1000, 0), (tenant.Usage, world.Root.WaitingCharges));
    }

    [Fact]
    [Requirement("M3")]
    public void Peak_rises_on_success_only_and_can_be_reset()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(member.TryCharge(700));
        Assert.False(member.TryCharge(301));
        member.Uncharge(600);

        Assert.Equal((700, 1), (tenant.PeakUsage, tenant.RefusalCount));
        tenant.ResetPeak();
        Assert.Equal(100, tenant.PeakUsage);
    }
}
