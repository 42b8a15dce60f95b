// The kill lock: one holder, handed to the oldest who still wants it, and never lost on somebody who left.
namespace MemoryGroups.Tests;

public sealed class KillLockTests
{
    [Fact]
    public void Held_lock_refuses_a_try_and_a_free_one_grants_it()
    {
        using var world = new World();
        KillLock killLock = world.Root.KillLock;

        Assert.True(killLock.TryAcquire());
        Assert.False(killLock.TryAcquire());
        killLock.Release();
        Assert.True(killLock.TryAcquire());
        killLock.Release();
        Assert.False(killLock.IsHeld);
    }

    [Fact]
    public void Release_hands_the_lock_to_the_oldest_and_nobody_slips_in_between()
    {
        using var world = new World();
        KillLock killLock = world.Root.KillLock;
        Assert.True(killLock.TryAcquire());
        Task<WakeReason> first = Acquire(world);
        Task<WakeReason> second = Acquire(world);

        killLock.Release();
        Assert.False(killLock.TryAcquire());
        world.Run();
        Assert.Equal(WakeReason.Hint, Answer(first));
        Assert.Null(Answer(second));

        killLock.Release();
        world.Run();
        Assert.Equal(WakeReason.Hint, Answer(second));
        killLock.Release();
        Assert.False(killLock.IsHeld);
    }

    [Fact]
    [Requirement("M17")]
    public void Waiter_that_is_killed_gives_up_and_the_lock_goes_to_the_next()
    {
        using var world = new World();
        KillLock killLock = world.Root.KillLock;
        MemoryMember member = world.Root.CreateMember("member");
        Assert.True(killLock.TryAcquire());
        Task<WakeReason> killed = Acquire(world, member);
        Task<WakeReason> next = Acquire(world);

        member.Kill("test");
        killLock.Release();
        world.Run();

        Assert.Equal(WakeReason.Killed, Answer(killed));
        Assert.Equal(WakeReason.Hint, Answer(next));
        killLock.Release();
        Assert.False(killLock.IsHeld);
    }

    [Fact]
    public void Waiter_that_is_already_dead_does_not_wait()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        member.Kill("test");
        Assert.True(world.Root.KillLock.TryAcquire());

        Task<WakeReason> acquiring = Acquire(world, member);
        world.Run();

        Assert.Equal(WakeReason.Killed, Answer(acquiring));
        world.Root.KillLock.Release();
        Assert.False(world.Root.KillLock.IsHeld);
    }

    [Fact]
    public void Waiter_gives_up_at_its_deadline_and_when_cancelled()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        Assert.True(world.Root.KillLock.TryAcquire());
        Task<WakeReason> late = Acquire(world, timeout: TimeSpan.FromSeconds(3));
        Task<WakeReason> cancelled = Acquire(world, cancel: cancel.Token);

        world.Advance(TimeSpan.FromSeconds(3));
        cancel.Cancel();
        world.Run();

        Assert.Equal(WakeReason.TimedOut, Answer(late));
        Assert.Equal(WakeReason.Cancelled, Answer(cancelled));
        world.Root.KillLock.Release();
        Assert.False(world.Root.KillLock.IsHeld);
    }

    [Fact]
    [Requirement("B10")]
    public void Memory_that_came_back_while_the_lock_was_awaited_spares_the_victim()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        Assert.True(world.Root.KillLock.TryAcquire());
        Pending asking = FullGroup.Ask(world, group, 100);
        Assert.True(asking.Sleeps);

        hog.Uncharge(100);
        world.Root.KillLock.Release();
        world.Run();

        Assert.False(hog.IsKilled);
        Assert.True(asking.Granted);
        Assert.Equal(0, group.Events.Current.OomKill);
    }

    [Fact]
    [Requirement("M17")]
    public void Asker_that_is_killed_while_it_awaits_the_lock_kills_nobody()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        MemoryMember asker = group.CreateMember("asker");
        Assert.True(world.Root.KillLock.TryAcquire());
        Pending asking = world.Charge(asker, 100);

        asker.Kill("test");
        world.Run();

        asking.Failed<OomKilledException>();
        Assert.True(world.Root.KillLock.IsHeld, "it did not have the lock and must not release it");
        world.Root.KillLock.Release();
        world.Run();
        Assert.False(hog.IsKilled);
        Assert.Null(group.OomLock.Holder);
    }

    [Fact]
    [Requirement("M14")]
    public void Two_groups_in_oom_kill_one_after_the_other()
    {
        using var world = new World();
        MemoryGroup left = world.Root.CreateGroup("left", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup right = world.Root.CreateGroup("right", new MemoryGroupOptions { Max = 1000 });
        MemoryMember leftHog = FullGroup.Fill(world, left);
        MemoryMember rightHog = FullGroup.Fill(world, right);
        world.Once(ProbePoint.VictimChosen, () =>
        {
            world.Begin(right.CreateMember("asker"), 100);
            Assert.False(rightHog.IsKilled);
            Assert.NotNull(right.OomLock.Holder);
        });

        FullGroup.Ask(world, left, 100);

        Assert.True(leftHog.IsKilled);
        Assert.True(rightHog.IsKilled);
    }

    [Fact]
    [Requirement("M14")]
    [Requirement("M23")]
    public void Victim_that_somebody_else_made_while_the_lock_was_awaited_spares_the_next_one()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember large = group.CreateMember("large");
        MemoryMember small = group.CreateMember("small");
        Assert.True(large.TryCharge(600) && small.TryCharge(400));
        Assert.True(world.Root.KillLock.TryAcquire());
        Task<OomReport?> administrator = world.Root.OomKiller.KillNowAsync().AsTask();
        Pending asking = FullGroup.Ask(world, group, 100);

        world.Root.KillLock.Release();
        world.Run();

        Assert.True(administrator.IsCompletedSuccessfully);
        Assert.Equal((true, false), (large.IsKilled, small.IsKilled));
        Assert.Equal(1, group.Events.Current.OomKill);
        large.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    public void Who_waited_for_the_lock_is_not_known_as_a_sleeper_any_more()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        var request = new OomRequest(world.Root, member, 10, ChargeFlags.None, TimeSpan.FromSeconds(1));
        KillLock mutex = world.Root.KillLock;
        Assert.True(mutex.TryAcquire());
        ValueTask<WakeReason> waiting = mutex.AcquireAsync(request);
        Assert.Equal(1, member.Waiters!.Count);

        mutex.Release();

        Assert.Equal(WakeReason.Hint, world.Await(waiting));
        Assert.Equal(0, member.Waiters?.Count ?? 0);
        mutex.Release();
    }

    private static WakeReason? Answer(Task<WakeReason> task) =>
        task.IsCompleted ? task.GetAwaiter().GetResult() : null;

    private static Task<WakeReason> Acquire(
        World world, MemoryMember? member = null, TimeSpan? timeout = null, CancellationToken cancel = default) =>
        world.Root.KillLock.AcquireAsync(
            new OomRequest(world.Root, member, 0, ChargeFlags.None, timeout ?? Timeout.InfiniteTimeSpan)
            {
                Cancel = cancel,
            }).AsTask();
}
