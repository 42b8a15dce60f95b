// Who waits at a full group and who is refused there, and what a group says about its OOM: the counterparts of the
// kernel's oom_control file.
namespace MemoryGroups.Tests;

public sealed class WaitOrFailTests
{
    [Fact]
    [Requirement("D1")]
    [Requirement("M15")]
    public void Only_the_call_that_is_declared_to_hold_no_locks_waits_and_the_others_are_refused_at_once()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        FullGroup.Fill(world, tenant);
        MemoryMember asker = tenant.CreateMember("asker");
        world.Trace.Clear();

        Assert.False(asker.TryCharge(100));
        Assert.Throws<MemoryLimitExceededException>(() => asker.Charge(100));
        Assert.Throws<MemoryLimitExceededException>(() => asker.Charge(100, ChargeFlags.NoReclaim));
        Assert.Empty(world.Trace);
        Assert.Equal((0, 0, 0), (world.PostedCount, tenant.Events.Current.Oom, tenant.Events.Current.Waits));

        Assert.True(world.Charge(asker, 100).Sleeps);
        Assert.Equal((1, 1), (tenant.Events.Current.Oom, tenant.Events.Current.Waits));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("D1")]
    public void Refused_call_kills_nobody_where_killing_is_allowed_and_the_waiting_one_does(bool waits)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, tenant);
        MemoryMember asker = tenant.CreateMember("asker");

        if (waits)
        {
            Assert.True(world.Charge(asker, 100).Sleeps);
        }
        else
        {
            Assert.Throws<MemoryLimitExceededException>(() => asker.Charge(100));
        }

        Assert.Equal(waits, hog.IsKilled);
    }

    [Fact]
    [Requirement("M15")]
    public void Wait_in_a_disabled_group_is_left_in_reverse_order_and_the_request_is_tried_again()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        Pending asking = FullGroup.Ask(world, tenant, 100);
        Assert.Equal(
            [
                ProbePoint.ChargeRefused, ProbePoint.Queued, ProbePoint.Marked, ProbePoint.BeforeNotify,
                ProbePoint.BeforeSleep,
            ],
            world.Trace);
        world.Trace.Clear();
        (int Marks, object? Holder, int Waiting) whenReleased = (-1, null, -1);
        world.Once(ProbePoint.Released, () =>
            whenReleased = (tenant.OomMarks, tenant.OomLock.Holder, world.Root.WaitingCharges));

        hog.Uncharge(100);
        world.Run();

        Assert.True(asking.Granted);
        Assert.Equal([ProbePoint.WakeDelivered, ProbePoint.Woken, ProbePoint.Released], world.Trace);
        Assert.Equal((0, null, 0), whenReleased);
    }

    [Fact]
    [Requirement("M18")]
    public void Group_shows_its_switch_whether_it_is_under_oom_and_how_many_were_killed()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup child = parent.CreateGroup("child");
        MemoryMember hog = child.CreateMember("hog");
        Assert.True(hog.TryCharge(1000));
        parent.Oom.KillDisabled = true;
        Assert.Equal((true, false, 0), Shown(parent));

        Pending first = FullGroup.Ask(world, parent, 100);
        Pending second = FullGroup.Ask(world, child, 100);
        Assert.Equal((true, true, 0), Shown(parent));
        Assert.Equal((false, true, 0), Shown(child));

        parent.Oom.KillDisabled = false;
        world.Run();
        hog.Dispose();
        world.Run();
        Assert.True(first.Granted && second.Granted);
        Assert.Equal((false, false, 1), Shown(parent));
        Assert.Equal((false, false, 1), Shown(child));
    }

    private static (bool KillDisabled, bool UnderOom, long KillCount) Shown(MemoryGroup group) =>
        (group.Oom.KillDisabled, group.Oom.UnderOom, group.Oom.KillCount);
}
