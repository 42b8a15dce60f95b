// The lock, the marks and the notification as a contender meets them: S000-1...6, 10...12, 14, 21, 25.
namespace MemoryGroups.Tests;

public sealed class S000LockTests
{
    [Fact]
    [Requirement("S000-1")]
    public void Loser_tries_waits_and_starts_over()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 100);
        world.Trace.Clear();

        Pending loser = FullGroup.Ask(world, group, 100);
        Assert.Equal([ProbePoint.ChargeRefused, ProbePoint.Queued, ProbePoint.Marked, ProbePoint.BeforeSleep],
            world.Trace);

        // More room, but too little: woken, refused again, and back to sleep by the same steps.
        group.Max = 1050;
        world.Run();
        Assert.True(loser.Sleeps);
        Assert.Equal(2, world.Trace.Count(static point => point == ProbePoint.Woken));
        Assert.Equal(3, world.Trace.Count(static point => point == ProbePoint.ChargeRefused));
        Assert.Equal(3, world.Trace.Count(static point => point == ProbePoint.BeforeSleep));
    }

    [Fact]
    [Requirement("S000-2")]
    public void Contender_is_answered_at_once_while_another_one_holds()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        Pending? contender = null;
        object? holder = null;
        world.Once(ProbePoint.BeforeNotify, () =>
        {
            holder = group.OomLock.Holder;
            contender = world.Begin(group.CreateMember("contender"), 100);
            Assert.Equal(ProbePoint.BeforeSleep, world.Trace[^1]);
        });

        FullGroup.Ask(world, group, 100);

        Assert.True(contender!.Sleeps);
        Assert.NotNull(holder);
        Assert.Same(holder, group.OomLock.Holder);
    }

    [Fact]
    [Requirement("S000-6")]
    public void No_step_of_the_protocol_but_the_lock_itself_runs_under_the_guard()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        Action<ProbePoint, object?> inner = world.Root.ProbeHook!;
        var guarded = new List<ProbePoint>();
        world.Root.ProbeHook = (point, subject) =>
        {
            if (world.Root.Guard.IsHeldByCurrentThread)
            {
                guarded.Add(point);
            }

            inner(point, subject);
        };
        using CancellationTokenRegistration death = hog.Killed.Register(() => Assert.False(
            world.Root.Guard.IsHeldByCurrentThread));
        world.Once(ProbePoint.BeforeNotify, () => world.Begin(group.CreateMember("loser"), 100));

        FullGroup.Ask(world, group, 100);
        hog.Dispose();
        world.Run();

        Assert.Empty(guarded);
        foreach (ProbePoint point in (ProbePoint[])[
            ProbePoint.Queued, ProbePoint.Marked, ProbePoint.BeforeNotify, ProbePoint.BeforeKillLock,
            ProbePoint.VictimChosen, ProbePoint.Released, ProbePoint.WakeDelivered])
        {
            Assert.Contains(point, world.Trace);
        }
    }

    [Fact]
    [Requirement("S000-10")]
    public void Marks_nest_and_cover_the_subtree_until_the_last_one_is_taken_back()
    {
        using var world = new World();
        using var first = new CancellationTokenSource();
        using var second = new CancellationTokenSource();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        MemoryGroup group = parent.CreateGroup("group", FullGroup.Sleepy);
        MemoryGroup child = group.CreateGroup("child");
        MemoryGroup sibling = parent.CreateGroup("sibling");
        FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 100, first.Token);
        FullGroup.Ask(world, child, 100, second.Token);

        Assert.True(group.Oom.UnderOom);
        Assert.True(child.Oom.UnderOom);
        Assert.False(parent.Oom.UnderOom);
        Assert.False(sibling.Oom.UnderOom);

        // The loser first: nobody is woken and marks the group anew.
        second.Cancel();
        world.Run();
        Assert.True(group.Oom.UnderOom);
        Assert.True(child.Oom.UnderOom);
        first.Cancel();
        world.Run();
        Assert.False(group.Oom.UnderOom);
        Assert.False(child.Oom.UnderOom);
    }

    [Fact]
    [Requirement("S000-10")]
    public void Group_born_while_its_parent_is_marked_does_not_go_below_zero()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 100, cancel.Token);

        MemoryGroup born = group.CreateGroup("born", FullGroup.Sleepy);
        Assert.True(born.Oom.UnderOom);
        cancel.Cancel();
        world.Run();

        Assert.False(born.Oom.UnderOom);
        Pending own = FullGroup.Ask(world, born, 100);
        Assert.True(own.Sleeps);
        Assert.True(born.Oom.UnderOom);
    }

    [Fact]
    [Requirement("S000-11")]
    public void Ten_contenders_notify_once_and_outside_the_guard()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        var signal = new MemorySignal();
        using IDisposable registered = group.Oom.Register(signal);
        FullGroup.Fill(world, group);
        long before = -1;
        world.Once(ProbePoint.BeforeNotify, () => before = signal.Total);

        List<Pending> contenders = [.. Enumerable.Range(0, 10).Select(_ => FullGroup.Ask(world, group, 100))];

        Assert.Equal(0, before);
        Assert.Equal(1, signal.Total);
        Assert.All(contenders, static one => Assert.True(one.Sleeps));
        Assert.Equal(1, group.Events.Current.Oom);
        Assert.Equal(10, group.Events.Current.Waits);
    }

    [Fact]
    [Requirement("S000-11")]
    public void Every_acquire_notifies_again()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        var signal = new MemorySignal();
        using IDisposable registered = group.Oom.Register(signal);
        MemoryMember hog = FullGroup.Fill(world, group);

        for (int round = 1; round <= 3; round++)
        {
            MemoryMember member = group.CreateMember("member");
            Pending asking = world.Charge(member, 100);
            hog.Uncharge(100);
            world.Run();
            Assert.True(asking.Granted);
            Assert.Equal(round, signal.Total);
            Assert.True(member.TryMoveTo(hog, 100));
        }
    }

    [Fact]
    [Requirement("S000-12")]
    [Requirement("M14")]
    public void Winner_is_neither_queued_nor_marked_while_it_kills_but_holds_the_lock()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        FullGroup.Fill(world, group);
        var seen = new List<(int Marks, int Waiting, bool Held)>();
        foreach (ProbePoint point in (ProbePoint[])[
            ProbePoint.Marked, ProbePoint.BeforeKillLock, ProbePoint.VictimChosen, ProbePoint.KillReturned])
        {
            world.Once(point, () => seen.Add(
                (group.OomMarks, world.Root.WaitingCharges, group.OomLock.Holder is not null)));
        }

        FullGroup.Ask(world, group, 100);

        Assert.Equal([(1, 1, false), (0, 0, true), (0, 0, true), (0, 0, true)], seen);
    }

    [Theory]
    [Requirement("S000-14")]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("M15")]
    public void Switch_is_read_after_the_trylock_and_does_not_change_who_notifies(bool disabledAtFirst)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup(
            "group", new MemoryGroupOptions { Max = 1000, KillDisabled = disabledAtFirst });
        var signal = new MemorySignal();
        using IDisposable registered = group.Oom.Register(signal);
        MemoryMember hog = FullGroup.Fill(world, group);
        world.Once(ProbePoint.BeforeNotify, () => group.Oom.KillDisabled = !disabledAtFirst);

        FullGroup.Ask(world, group, 100);

        Assert.Equal(disabledAtFirst, hog.IsKilled);
        Assert.Equal(1, signal.Total);
    }

    [Fact]
    [Requirement("S000-21")]
    [Requirement("M15")]
    public void Winner_that_sleeps_keeps_the_lock_until_it_has_its_bytes_and_wakes_after_the_release()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending winner = FullGroup.Ask(world, group, 300);
        object? holder = group.OomLock.Holder;
        Assert.NotNull(holder);
        Pending loser = FullGroup.Ask(world, group, 500);
        Assert.Same(holder, group.OomLock.Holder);
        bool freeBeforeWake = false;
        world.Once(ProbePoint.Released, () => freeBeforeWake = group.OomLock.Holder is null && world.PostedCount == 0);
        world.Trace.Clear();

        hog.Uncharge(300);
        world.Run();

        Assert.True(winner.Granted);
        Assert.True(freeBeforeWake);

        // The loser was woken by the release and holds the lock now.
        Assert.True(loser.Sleeps);
        Assert.Equal(2, world.Trace.Count(static point => point == ProbePoint.Woken));
        Assert.NotNull(group.OomLock.Holder);
        Assert.NotSame(holder, group.OomLock.Holder);
    }

    [Fact]
    [Requirement("S000-25")]
    public void Group_born_under_a_held_group_loses_the_trylock_and_notifies_nobody()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending winner = FullGroup.Ask(world, group, 300);
        MemoryGroup born = group.CreateGroup("born", new MemoryGroupOptions { Max = 10, KillDisabled = false });
        hog.Uncharge(10);
        Assert.True(world.Charge(born.CreateMember("full"), 10).Granted);

        Pending contender = FullGroup.Ask(world, born, 5);
        Assert.True(contender.Sleeps);
        Assert.Equal(0, born.Events.Local.Oom);
        Assert.Null(born.OomLock.Holder);

        // The winner's release lets it win, and its own killer is on.
        hog.Uncharge(300);
        world.Run();
        Assert.True(winner.Granted);
        Assert.Equal(1, born.Events.Local.Oom);
        Assert.Equal(1, born.Events.Local.OomKill);
    }

    [Fact]
    [Requirement("S000-5")]
    public void Siblings_have_their_ooms_at_the_same_time_and_their_parent_has_to_wait()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup(
            "parent", new MemoryGroupOptions { Max = 2000, KillDisabled = true });
        MemoryGroup left = parent.CreateGroup("left", FullGroup.Sleepy);
        MemoryGroup right = parent.CreateGroup("right", FullGroup.Sleepy);
        FullGroup.Fill(world, left);
        FullGroup.Fill(world, right);

        FullGroup.Ask(world, left, 100);
        FullGroup.Ask(world, right, 100);
        FullGroup.Ask(world, parent, 100);

        Assert.NotNull(left.OomLock.Holder);
        Assert.NotNull(right.OomLock.Holder);
        Assert.Null(parent.OomLock.Holder);
        Assert.Equal(0, parent.Events.Local.Oom);
    }
}
