// Entering, sleeping, waking and leaving, in the order that loses no wake: S000-7...9, 13, 15...20, 23, 24.
namespace MemoryGroups.Tests;

public sealed class S000WaitTests
{
    [Theory]
    [Requirement("S000-7")]
    [Requirement("T57")]
    [Requirement("B03")]
    [InlineData(ProbePoint.Queued)]
    [InlineData(ProbePoint.Marked)]
    [InlineData(ProbePoint.BeforeSleep)]
    internal void Contender_that_the_holder_overtakes_does_not_sleep_on(ProbePoint paused)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending holder = FullGroup.Ask(world, group, 300);

        // The holder gets its bytes, releases and wakes, all while the contender stands still.
        world.Once(paused, () =>
        {
            hog.Uncharge(300);
            world.Run();
            Assert.True(holder.Granted);
            Assert.Null(group.OomLock.Holder);
        });
        Pending contender = FullGroup.Ask(world, group, 500);

        Assert.True(contender.Sleeps);
        Assert.NotNull(group.OomLock.Holder);
        hog.Uncharge(500);
        world.Run();
        Assert.True(contender.Granted);
    }

    [Fact]
    [Requirement("S000-8")]
    public void Contender_is_queued_before_it_is_marked()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        var seen = new List<(int Waiting, int Marks)>();
        foreach (ProbePoint point in (ProbePoint[])[ProbePoint.ChargeRefused, ProbePoint.Queued, ProbePoint.Marked])
        {
            world.Once(point, () => seen.Add((world.Root.WaitingCharges, group.OomMarks)));
        }

        FullGroup.Ask(world, group, 100);

        Assert.Equal([(0, 0), (1, 0), (1, 1)], seen);
    }

    [Theory]
    [Requirement("S000-8")]
    [InlineData(ProbePoint.Queued)]
    [InlineData(ProbePoint.Marked)]
    [InlineData(ProbePoint.BeforeSleep)]
    internal void Wake_that_comes_before_the_sleep_is_kept(ProbePoint point)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 900);
        world.Once(point, () => world.Root.WaitQueue.WakeAll(group));
        world.Trace.Clear();

        Pending contender = FullGroup.Ask(world, group, 100);

        // The one that held already and the contender were both woken, and sleep again.
        Assert.True(contender.Sleeps);
        Assert.Equal(2, world.Trace.Count(static at => at == ProbePoint.Woken));
        Assert.Equal(3, world.Trace.Count(static at => at == ProbePoint.BeforeSleep));
    }

    [Fact]
    [Requirement("S000-9")]
    [Requirement("M14")]
    public void Winner_queues_marks_tries_notifies_and_kills_in_this_order()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        var signal = new MemorySignal();
        using IDisposable registered = group.Oom.Register(signal);
        FullGroup.Fill(world, group);
        long toldBeforeTheChoice = 0;
        world.Once(ProbePoint.VictimChosen, () => toldBeforeTheChoice = signal.Total);

        FullGroup.Ask(world, group, 100);

        Assert.Equal(1, toldBeforeTheChoice);
        Assert.Equal(
            [ProbePoint.ChargeRefused, ProbePoint.Queued, ProbePoint.Marked, ProbePoint.BeforeNotify,
                ProbePoint.BeforeKillLock, ProbePoint.VictimChosen, ProbePoint.KillSent, ProbePoint.KillReturned,
                ProbePoint.Released],
            world.Trace.Take(9));
    }

    [Fact]
    [Requirement("S000-13")]
    public void Woken_contender_is_still_queued_and_marked_and_leaves_nothing_behind()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending asking = FullGroup.Ask(world, group, 100);
        (int Waiting, int Marks) whenWoken = default;
        world.Once(ProbePoint.Woken, () => whenWoken = (world.Root.WaitingCharges, group.OomMarks));

        hog.Uncharge(100);
        world.Run();

        Assert.Equal((1, 1), whenWoken);
        Assert.True(asking.Granted);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    [Requirement("S000-15")]
    [Requirement("T58")]
    public void Wake_without_a_reason_does_not_end_the_charge_and_a_kill_does_at_once()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        MemoryMember winner = group.CreateMember("winner");
        MemoryMember loser = group.CreateMember("loser");
        Pending winning = world.Charge(winner, 100);
        Pending losing = world.Charge(loser, 100);
        Pending other = FullGroup.Ask(world, group, 100);

        world.Root.WaitQueue.WakeAll(group);
        world.Run();
        Assert.True(winning.Sleeps && losing.Sleeps);

        loser.Kill("test");
        world.Run();
        losing.Failed<OomKilledException>();
        winner.Kill("test");
        world.Run();
        winning.Failed<OomKilledException>();

        // Nobody else is stuck.
        Assert.True(other.Sleeps);
        hog.Uncharge(100);
        world.Run();
        Assert.True(other.Granted);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    [Requirement("S000-16")]
    public void Killed_waiter_leaves_without_a_retry_although_there_would_be_room()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        MemoryMember member = group.CreateMember("member");
        Pending asking = world.Charge(member, 100);

        member.Kill("test");
        hog.Uncharge(500);
        world.Run();

        Assert.Contains("test", asking.Failed<OomKilledException>().Message, StringComparison.Ordinal);
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    [Requirement("S000-16")]
    public void Victim_that_waits_gets_what_the_reserve_has_and_is_done()
    {
        using var world = new World(configure: options => options with { OomReserveBytes = 100 });
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember victim = FullGroup.Fill(world, group);
        Pending small = world.Charge(victim, 60);
        Pending large = world.Charge(victim, 60);

        Assert.NotNull(world.Await(world.Root.OomKiller.KillNowAsync()));

        Assert.True(small.Granted);
        large.Failed<OomKilledException>();
        Assert.Equal(1060, group.Usage);
        Assert.Equal(60, world.Root.OomReserveUsed);
    }

    [Fact]
    [Requirement("S000-17")]
    [Requirement("T56")]
    [Requirement("B04")]
    [Requirement("D2")]
    public void Contender_that_comes_after_the_victims_last_uncharge_is_woken_by_the_release()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        MemoryMember filler = group.CreateMember("filler");
        Pending? late = null;
        world.Once(ProbePoint.KillReturned, () =>
        {
            // The victim is gone and somebody else has its bytes before the late one asks: no uncharge will wake it.
            hog.Dispose();
            Assert.True(filler.TryCharge(850));
            late = world.Begin(group.CreateMember("late"), 300);
            Assert.Equal(ProbePoint.BeforeSleep, world.Trace[^1]);
        });

        Pending holder = FullGroup.Ask(world, group, 100);

        Assert.True(holder.Granted);
        Assert.True(filler.IsKilled, "the late contender ran, won the lock and killed");
        filler.Dispose();
        world.Run();
        Assert.True(late!.Granted);
    }

    [Fact]
    [Requirement("S000-18")]
    public void Lock_is_free_before_anybody_is_woken()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 100, cancel.Token);
        FullGroup.Ask(world, group, 100);
        bool free = false;
        int stillQueued = 0;
        world.Once(ProbePoint.Released, () =>
        {
            free = group.OomLock.Holder is null;
            stillQueued = Sleepers.AndLeaving(group).Count;
            Assert.Equal(0, world.PostedCount);
        });

        cancel.Cancel();
        world.Run();

        Assert.True(free);
        Assert.Equal(1, stillQueued);
        Assert.NotNull(group.OomLock.Holder);
        Assert.Equal(2, group.Events.Current.Oom);
    }

    [Fact]
    [Requirement("S000-19")]
    public void Loser_that_leaves_wakes_nobody()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 100);
        Pending leaving = FullGroup.Ask(world, group, 100, cancel.Token);
        FullGroup.Ask(world, group, 100);
        world.Trace.Clear();

        cancel.Cancel();
        world.Run();

        leaving.Failed<OperationCanceledException>();
        Assert.Equal([ProbePoint.WakeDelivered, ProbePoint.Woken], world.Trace);
    }

    [Fact]
    [Requirement("S000-23")]
    public void Uncharges_of_the_victim_wake_waiters_before_it_has_exited()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending first = FullGroup.Ask(world, group, 100);
        Pending second = FullGroup.Ask(world, group, 100);
        Assert.True(hog.IsKilled);

        hog.Uncharge(100);
        world.Run();
        Assert.True(first.Granted);
        Assert.True(second.Sleeps);
        hog.Uncharge(100);
        world.Run();

        Assert.True(second.Granted);
        Assert.False(hog.IsExited);
        Assert.Equal(1, group.Events.Current.OomKill);
    }

    [Theory]
    [Requirement("S000-24")]
    [InlineData(ProbePoint.ChargeRefused)]
    [InlineData(ProbePoint.Queued)]
    [InlineData(ProbePoint.Marked)]
    internal void Bytes_freed_before_anybody_listens_are_found_by_the_second_look(ProbePoint point)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        world.Once(point, () => hog.Uncharge(100));

        Pending asking = FullGroup.Ask(world, group, 100);

        Assert.True(asking.Granted);
        Assert.DoesNotContain(ProbePoint.BeforeSleep, world.Trace);
        Assert.Equal(0, group.Events.Current.Oom);
        world.AssertQuiet(leftAtRoot: 1000);
    }
}
