// No memory for a timer: whoever would have slept goes at once, and leaves nothing behind.
namespace MemoryGroups.Tests;

public sealed class TimerFailureTests
{
    private readonly SoakTime _time = new(seed: 1);

    [Fact]
    public void Charge_that_cannot_arm_its_deadline_is_refused_as_timed_out()
    {
        using World world = NewWorld();
        MemoryGroup group = world.Root.CreateGroup("g", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        _time.FailuresInThousand = 1000;

        Pending asking = FullGroup.Ask(world, group, 10);

        Assert.Equal(ChargeRefusal.TimedOut, asking.Failed<MemoryLimitExceededException>().Reason);
        Assert.Equal(0, world.Root.WaitingCharges);
        Assert.Null(group.OomLock.Holder);
        Assert.Empty(Sleepers.Of(group.Members[^1]));
        hog.Dispose();
    }

    [Fact]
    public void Kill_lock_that_nobody_could_wait_for_is_free_afterwards()
    {
        using World world = NewWorld();
        Assert.True(world.Root.KillLock.TryAcquire());
        _time.FailuresInThousand = 1000;

        OomReport? report = world.Await(world.Root.OomKiller.KillNowAsync());

        Assert.Null(report);
        world.Root.KillLock.Release();
        Assert.False(world.Root.KillLock.IsHeld, "it was handed to somebody who had gone");
    }

    [Fact]
    public void Victim_whose_reaping_cannot_be_timed_is_looked_past_at_once()
    {
        using World world = NewWorld();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000 });
        MemoryMember first = group.CreateMember("first");
        MemoryMember second = group.CreateMember("second");
        Assert.True(world.Charge(first, 600).Granted);
        Assert.True(world.Charge(second, 400).Granted);
        _time.FailuresInThousand = 1000;

        OomReport? report = world.Await(world.Root.OomKiller.KillNowAsync());

        Assert.NotNull(report);
        Assert.True(first.IsKilled && first.Space.IsHidden, "everybody would wait for it for ever");
        Assert.False(world.Root.OomKiller.HasVictimInFlight(group), "the next OOM may choose somebody else");
        first.Dispose();
    }

    private World NewWorld() => new(configure: options => options with { TimeProvider = _time });
}
