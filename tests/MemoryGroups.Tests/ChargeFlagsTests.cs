// What each flag allows and forbids, one charge at a time, at a group that is full and has somebody to kill.
namespace MemoryGroups.Tests;

public sealed class ChargeFlagsTests
{
    [Theory]
    [Requirement("T52")]
    [InlineData(ChargeFlags.NoRetry)]
    [InlineData(ChargeFlags.RetryMayFail)]
    [InlineData(ChargeFlags.NoWait)]
    [Requirement("M8")]
    public void Request_with_a_fallback_is_refused_and_kills_nobody(ChargeFlags flags)
    {
        using var scene = new Scene();

        Pending asking = scene.World.Charge(scene.Asker, 100, flags);

        MemoryLimitExceededException error = asking.Failed<MemoryLimitExceededException>();
        Assert.Equal(ChargeRefusal.DoesNotFit, error.Reason);
        Assert.False(scene.Hog.IsKilled);
        Assert.Equal(0, scene.Group.Events.Current.Oom);
        Assert.Equal(1000, scene.Group.Usage);
    }

    [Theory]
    [Requirement("T52")]
    [InlineData(ChargeFlags.HighPriority | ChargeFlags.NoWait)]
    [InlineData(ChargeFlags.FromReclaim)]
    [InlineData(ChargeFlags.NoFail | ChargeFlags.NoWait)]
    [Requirement("M8")]
    [Requirement("M9")]
    public void Urgent_request_goes_over_the_limit_and_counts_one_max_event(ChargeFlags flags)
    {
        using var scene = new Scene();

        Pending asking = scene.World.Charge(scene.Asker, 100, flags);

        Assert.True(asking.Granted);
        Assert.Equal(1100, scene.Group.Usage);
        Assert.Equal(1, scene.Group.Events.Current.Max);
        Assert.False(scene.Hog.IsKilled);
    }

    [Theory]
    [Requirement("T52")]
    [InlineData(ChargeFlags.HighPriority)]
    [InlineData(ChargeFlags.FromReclaim)]
    [InlineData(ChargeFlags.NoFail)]
    [InlineData(ChargeFlags.NoFail | ChargeFlags.NoReclaim)]
    [Requirement("M9")]
    public void Charge_on_the_callers_thread_goes_over_the_limit_and_counts_one_max_event(ChargeFlags flags)
    {
        using var scene = new Scene();

        scene.Asker.Charge(100, flags);

        Assert.Equal(1100, scene.Group.Usage);
        Assert.Equal(1, scene.Group.Events.Current.Max);
        Assert.False(scene.Hog.IsKilled);
    }

    [Fact]
    [Requirement("T52")]
    [Requirement("M9")]
    public void Request_that_must_not_fail_kills_first_and_is_forced_only_when_that_does_not_help()
    {
        using var scene = new Scene();

        Pending asking = scene.World.Charge(scene.Asker, 100, ChargeFlags.NoFail);

        Assert.True(scene.Hog.IsKilled);
        Assert.True(asking.Sleeps);
        scene.World.Advance(TimeSpan.FromSeconds(4));
        Assert.True(asking.Granted);
        Assert.Equal(1100, scene.Group.Usage);
    }

    [Fact]
    [Requirement("T52")]
    public void Request_that_must_not_fail_is_forced_at_its_deadline_and_charged_once()
    {
        using var scene = new Scene(killDisabled: true);

        Pending asking = scene.World.Charge(scene.Asker, 100, ChargeFlags.NoFail);

        Assert.True(asking.Sleeps);
        scene.World.Advance(scene.Group.WaitTimeout);
        Assert.True(asking.Granted);
        Assert.Equal(100, scene.Asker.Usage);
        Assert.Equal(1100, scene.Group.Usage);
    }

    [Fact]
    [Requirement("T52")]
    public void Request_that_must_not_fail_is_forced_when_its_member_is_killed_while_it_waits()
    {
        using var scene = new Scene(killDisabled: true);
        Pending asking = scene.World.Charge(scene.Asker, 100, ChargeFlags.NoFail);

        scene.Asker.Kill("test");
        scene.World.Run();

        Assert.True(asking.Granted);
        Assert.Equal(100, scene.Asker.Usage);
    }

    [Fact]
    [Requirement("T52")]
    public void Killed_member_still_gets_what_must_not_fail_on_its_own_thread()
    {
        using var scene = new Scene();
        scene.Asker.Kill("test");

        scene.Asker.Charge(100, ChargeFlags.NoFail);

        Assert.Equal(100, scene.Asker.Usage);
    }

    [Fact]
    public void Request_that_must_not_fail_exceeds_even_what_no_limit_would_admit()
    {
        using var scene = new Scene();

        Assert.True(scene.World.Charge(scene.Asker, 5000, ChargeFlags.NoFail).Granted);

        Assert.False(scene.Hog.IsKilled);
        Assert.Equal(6000, scene.Group.Usage);
    }

    [Fact]
    public void High_priority_exceeds_the_limit_of_a_group_but_not_the_capacity_of_the_root()
    {
        using var world = new World(2000);
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = group.CreateMember("member");
        const ChargeFlags urgent = ChargeFlags.HighPriority | ChargeFlags.NoWait;

        Assert.True(world.Charge(member, 1000).Granted);
        Assert.True(world.Charge(member, 1000, urgent).Granted);

        MemoryLimitExceededException error =
            world.Charge(member, 1, urgent).Failed<MemoryLimitExceededException>();
        Assert.Equal(ChargeRefusal.DoesNotFit, error.Reason);
        Assert.Equal(2000, world.Root.Usage);
    }

    [Fact]
    [Requirement("B12")]
    public void Request_that_may_not_reclaim_runs_no_reclaimer_and_ends_by_a_kill()
    {
        using var scene = new Scene();
        var reclaimer = new Counting(0);
        using IDisposable registered = scene.Group.AddReclaimer(reclaimer);

        Pending asking = scene.World.Charge(scene.Asker, 100, ChargeFlags.NoReclaim);

        Assert.True(scene.Hog.IsKilled);
        scene.Hog.Dispose();
        scene.World.Run();
        Assert.True(asking.Granted);
        Assert.Equal(0, reclaimer.Calls);
    }

    [Fact]
    public void Request_that_may_not_reclaim_runs_no_reclaimer_on_the_callers_thread_either()
    {
        using var scene = new Scene();
        var reclaimer = new Counting(0);
        using IDisposable registered = scene.Group.AddReclaimer(reclaimer);

        Assert.Throws<MemoryLimitExceededException>(() => scene.Asker.Charge(100, ChargeFlags.NoReclaim));

        Assert.Equal(0, reclaimer.Calls);
    }

    [Theory]
    [InlineData(ChargeFlags.NoWait)]
    [InlineData(ChargeFlags.FromReclaim)]
    [Requirement("M8")]
    public void Request_that_may_not_wait_runs_no_reclaimer(ChargeFlags flags)
    {
        using var scene = new Scene();
        var reclaimer = new Counting(0);
        using IDisposable registered = scene.Group.AddReclaimer(reclaimer);

        Pending asking = scene.World.Begin(scene.Asker, 100, flags);

        Assert.False(asking.Sleeps);
        Assert.Equal(0, reclaimer.Calls);
    }

    [Fact]
    [Requirement("M8")]
    public void Request_without_retry_asks_reclaimers_once()
    {
        using var scene = new Scene();
        var reclaimer = new Counting(claims: 1);
        using IDisposable registered = scene.Group.AddReclaimer(reclaimer);

        Pending asking = scene.World.Charge(scene.Asker, 100, ChargeFlags.NoRetry);

        asking.Failed<MemoryLimitExceededException>();
        int once = reclaimer.Calls;
        Assert.Throws<MemoryLimitExceededException>(() => scene.Asker.Charge(100, ChargeFlags.NoRetry));
        Assert.InRange(once, 1, 3);
        Assert.Equal(2 * once, reclaimer.Calls);
    }

    [Fact]
    [Requirement("M8")]
    public void Request_that_may_fail_tries_many_rounds_before_it_does()
    {
        using var scene = new Scene();
        var reclaimer = new Counting(claims: 1);
        using IDisposable registered = scene.Group.AddReclaimer(reclaimer);

        scene.World.Charge(scene.Asker, 100, ChargeFlags.RetryMayFail).Failed<MemoryLimitExceededException>();

        Assert.InRange(reclaimer.Calls, ChargeAttempt.MaxRounds, 3 * ChargeAttempt.MaxRounds);
    }

    [Fact]
    [Requirement("T51")]
    [Requirement("M8")]
    [Requirement("M13")]
    public void Costly_request_is_refused_without_event_or_kill_and_the_next_smaller_one_kills()
    {
        using var scene = new Scene();
        scene.World.Root.CostlyChargeBytes = 99;

        MemoryLimitExceededException error =
            scene.World.Charge(scene.Asker, 100).Failed<MemoryLimitExceededException>();
        Assert.Equal(ChargeRefusal.Costly, error.Reason);
        Assert.Equal(0, scene.Group.Events.Current.Oom);
        Assert.False(scene.Hog.IsKilled);

        Pending smaller = scene.World.Charge(scene.Asker, 99);
        Assert.True(scene.Hog.IsKilled);
        Assert.Equal(1, scene.Group.Events.Current.Oom);
        Assert.True(smaller.Sleeps);
    }

    [Fact]
    public void Costly_request_is_granted_when_it_fits()
    {
        using var scene = new Scene();
        scene.World.Root.CostlyChargeBytes = 99;
        scene.Hog.Uncharge(100);

        Assert.True(scene.World.Charge(scene.Asker, 100).Granted);
    }

    [Fact]
    public void Victim_that_wants_no_reserve_gets_none()
    {
        using var scene = new Scene(reserve: 500);
        scene.World.Charge(scene.Asker, 100);
        Assert.True(scene.Hog.IsKilled);

        scene.World.Charge(scene.Hog, 50, ChargeFlags.NoReserve).Failed<OomKilledException>();
        Assert.Equal(0, scene.World.Root.OomReserveUsed);

        Assert.True(scene.World.Charge(scene.Hog, 50).Granted);
        Assert.Equal(50, scene.World.Root.OomReserveUsed);
    }

    [Theory]
    [InlineData(ChargeFlags.NoWait)]
    [InlineData(ChargeFlags.FromReclaim)]
    public void Request_that_may_not_wait_is_not_slowed_down_above_high(ChargeFlags flags)
    {
        using var scene = new Scene();
        scene.Group.High = 1;
        scene.Hog.Uncharge(900);

        Assert.True(scene.World.Begin(scene.Asker, 800, flags).Granted);
    }

    [Theory]
    [InlineData(ChargeFlags.None, 1)]
    [InlineData(ChargeFlags.NoReclaim, 0)]
    public void Request_that_may_not_reclaim_is_slowed_down_without_running_a_reclaimer(ChargeFlags flags, int calls)
    {
        using var scene = new Scene();
        scene.Group.High = 1;
        scene.Hog.Uncharge(900);
        var reclaimer = new Counting(0);
        using IDisposable registered = scene.Group.AddReclaimer(reclaimer);

        Pending slowed = scene.World.Charge(scene.Asker, 800, flags);

        Assert.True(slowed.Sleeps);
        Assert.Equal(calls, reclaimer.Calls);
        scene.World.Advance(TimeSpan.FromSeconds(2));
        Assert.True(slowed.Granted);
    }

    // A group at its limit: the hog has everything and may be killed, the asker has nothing.
    private sealed class Scene : IDisposable
    {
        public Scene(bool killDisabled = false, long reserve = 0)
        {
            World = new World(configure: options => options with { OomReserveBytes = reserve });
            Group = World.Root.CreateGroup(
                "group", new MemoryGroupOptions { Max = 1000, KillDisabled = killDisabled });
            Hog = FullGroup.Fill(World, Group);
            Asker = Group.CreateMember("asker");
        }

        public World World { get; }

        public MemoryGroup Group { get; }

        public MemoryMember Hog { get; }

        public MemoryMember Asker { get; }

        public void Dispose() => World.Dispose();
    }

    // Claims to have given something and gives nothing.
    private sealed class Counting(long claims) : MemoryReclaimer("counting")
    {
        public int Calls { get; private set; }

        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
        {
            Calls++;
            return ValueTask.FromResult(claims);
        }
    }
}
