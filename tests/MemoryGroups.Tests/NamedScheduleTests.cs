// Named schedules, the first half: failures that others had, each replayed step by step. N01...N08.
namespace MemoryGroups.Tests;

public sealed class NamedScheduleTests
{
    // A waiter that queues after the last uncharge and before the owner releases is woken by the release alone.
    [Fact]
    [Requirement("N01")]
    [Requirement("T56")]
    public void Waiter_that_comes_after_the_last_uncharge_is_woken_by_the_release()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        MemoryMember other = group.CreateMember("other");
        Pending? late = null;
        world.Once(ProbePoint.KillReturned, () =>
        {
            hog.Dispose();
            Assert.True(other.TryCharge(900));
            late = world.Begin(group.CreateMember("late"), 300);
            Assert.Equal(1, world.Root.WaitingCharges);
        });
        Pending owner = FullGroup.Ask(world, group, 100);

        // It looked again, without any timer, and had the next one killed.
        Assert.True(owner.Granted);
        Assert.True(other.IsKilled);
        Assert.Equal((2L, 2L), (group.Events.Current.Oom, group.Events.Current.OomKill));
        other.Dispose();
        world.Run();
        Assert.True(late!.Granted);
    }

    // Two overlapping subtrees in OOM have one owner; two disjoint ones have one each.
    [Fact]
    [Requirement("N02")]
    public void Overlapping_ooms_have_one_owner_and_disjoint_ones_two()
    {
        using var world = new World();
        var sleepy = new MemoryGroupOptions { Max = 1800, KillDisabled = true };
        MemoryGroup parent = world.Root.CreateGroup("parent", sleepy);
        MemoryGroup left = parent.CreateGroup("left", FullGroup.Sleepy);
        MemoryGroup right = parent.CreateGroup("right", new MemoryGroupOptions { Max = 800, KillDisabled = true });
        MemoryMember hog = FullGroup.Fill(world, left);
        FullGroup.Fill(world, right);

        Pending first = FullGroup.Ask(world, left, 100);
        Pending second = FullGroup.Ask(world, right, 100);
        Pending above = FullGroup.Ask(world, parent, 50);

        Assert.NotNull(left.OomLock.Holder);
        Assert.NotNull(right.OomLock.Holder);
        Assert.Null(parent.OomLock.Holder);
        Assert.Equal(2, parent.OomLock.HeldBelow);
        Assert.Equal((1L, 1L), (left.Events.Local.Oom, right.Events.Local.Oom));
        Assert.Equal(0, parent.Events.Local.Oom);
        hog.Uncharge(150);
        world.Run();
        Assert.True(first.Granted);
        Assert.True(above.Granted);
        Assert.True(second.Sleeps);
    }

    // Whoever subscribes while the group is in OOM already is told at once, and once.
    [Fact]
    [Requirement("N03")]
    public void Subscriber_that_comes_during_an_oom_is_told_at_once_and_once()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 100);
        var signal = new MemorySignal();

        group.Oom.Register(signal);

        Assert.Equal(1, signal.Total);
        FullGroup.Ask(world, group, 100);
        world.Run();
        Assert.Equal(1, signal.Total);
        hog.Uncharge(500);
    }

    // The victim is chosen, and at that moment its group is closed: nothing dangles, and the waiters look again.
    [Fact]
    [Requirement("N04")]
    public void Victim_whose_group_is_closed_when_it_is_chosen_leaves_nothing_behind()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup child = parent.CreateGroup("child");
        MemoryMember hog = FullGroup.Fill(world, parent);
        hog.Uncharge(900);
        MemoryMember victim = child.CreateMember("victim");
        Assert.True(victim.TryCharge(900));
        world.Once(ProbePoint.VictimChosen, chosen =>
        {
            Assert.Same(victim, chosen);
            child.Dispose();
        });

        Pending asking = FullGroup.Ask(world, parent, 300);

        Assert.True(asking.Granted);
        Assert.True(victim.IsExited);
        Assert.False(hog.IsKilled);
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
        world.AssertQuiet(leftAtRoot: 400);
    }

    // A member that holds nothing is no victim, also when a handler names it: the default runs in the same round.
    [Fact]
    [Requirement("N05")]
    public void Member_without_a_byte_is_not_killed_even_when_it_is_named()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        hog.Killed.UnsafeRegister(static state => ((MemoryMember)state!).Dispose(), hog);
        MemoryMember empty = group.CreateMember("empty");
        group.Oom.Handler = new NamingHandler(empty);

        Pending asking = FullGroup.Ask(world, group, 300);

        Assert.True(asking.Granted);
        Assert.False(empty.IsKilled);
        Assert.True(hog.IsKilled);
        Assert.Equal((1L, 1L), (group.Events.Current.Oom, group.Events.Current.OomKill));
    }

    // What no limit could ever admit is refused at once, with its own reason, and hurts nobody.
    [Theory]
    [Requirement("N06")]
    [InlineData(1001)]
    [InlineData(5000)]
    public void Request_that_can_never_fit_is_refused_at_once_and_nobody_is_killed(long bytes)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);

        Pending asking = FullGroup.Ask(world, group, bytes);

        Assert.Equal(ChargeRefusal.Impossible, asking.Failed<MemoryLimitExceededException>().Reason);
        Assert.False(hog.IsKilled);
        Assert.Equal((0L, 0L), (group.Events.Current.Oom, group.Events.Current.OomKill));
        Assert.Equal(0, world.Time.ArmedTimers);
    }

    // A reclaimer that needs memory itself gets it, in whatever way it asks, and is not asked again for it.
    [Theory]
    [Requirement("N07")]
    [InlineData("directly")]
    [InlineData("after an await")]
    [InlineData("on a work item")]
    public void Reclaimer_that_charges_for_itself_is_granted_and_does_not_recurse(string how)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        var reclaimer = new ScriptedReclaimer("spill", async (request, cancel) =>
        {
            if (how == "on a work item")
            {
                var done = new TaskCompletionSource();
                world.Root.Post(new Work(() => { Spill(hog); done.SetResult(); }));
                await done.Task.ConfigureAwait(false);
                return 600;
            }

            if (how == "after an await")
            {
                await hog.ChargeAsync(50, ChargeFlags.FromReclaim, cancel).ConfigureAwait(false);
                hog.Uncharge(650);
                return 600;
            }

            Spill(hog);
            return 600;
        });
        group.AddReclaimer(reclaimer);

        Pending asking = FullGroup.Ask(world, group, 300);

        Assert.True(asking.Granted);
        Assert.Single(reclaimer.Calls);
        Assert.False(hog.IsKilled);
        Assert.Equal(700, group.Usage);
    }

    // A reclaimer that waits for somebody who waits for this very memory is left behind at its deadline, and reported.
    [Fact]
    [Requirement("N08")]
    public void Reclaimer_that_waits_for_a_waiter_is_reported_within_its_deadline()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        FullGroup.Fill(world, group);
        Pending waiter = FullGroup.Ask(world, group, 200);
        group.AddReclaimer(new ScriptedReclaimer("knot", async (_, _) =>
        {
            await waiter.Task.ConfigureAwait(false);
            return 200;
        }));
        group.WaitTimeout = TimeSpan.FromSeconds(3);
        Pending asking = FullGroup.Ask(world, group, 300);

        world.Advance(TimeSpan.FromSeconds(4));

        string message = asking.Failed<MemoryLimitExceededException>().Message;
        Assert.Contains("knot", message, StringComparison.Ordinal);
        Assert.Contains("it may be waiting for one of them", message, StringComparison.Ordinal);
    }

    private static int Spill(MemoryMember member)
    {
        member.Charge(50, ChargeFlags.FromReclaim);
        member.Uncharge(650);
        return 0;
    }

    private sealed class Work(Action body) : IThreadPoolWorkItem
    {
        public void Execute() => body();
    }

    private sealed class NamingHandler(MemoryMember victim) : OomHandler
    {
        public override ValueTask<OomDecision> OnOomAsync(OomScene scene, CancellationToken cancellationToken) =>
            new(OomDecision.Kill(victim));
    }
}
