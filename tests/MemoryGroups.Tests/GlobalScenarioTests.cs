// Whole scenarios at the exhausted root: what the chain, the killer and the reserves do for one request after the
// other.
namespace MemoryGroups.Tests;

public sealed class GlobalScenarioTests
{
    [Fact]
    [Requirement("T70")]
    public void Disabled_killer_lets_the_chain_run_for_the_root_only_and_kills_nobody_anywhere()
    {
        using var world = new World(10_000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember inTenant = FullGroup.Fill(world, tenant);
        MemoryMember hog = world.Root.CreateMember("hog");
        Assert.True(world.Charge(hog, 9000).Granted);
        var chain = new ScriptedReclaimer("chain", static _ => 0);
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);
        Assert.True(world.Await(world.Root.OomKiller.DisableAsync(TimeSpan.Zero)));

        MemoryLimitExceededException global =
            FullGroup.Ask(world, world.Root, 100).Failed<MemoryLimitExceededException>();
        Assert.Single(chain.Calls);
        MemoryLimitExceededException group = FullGroup.Ask(world, tenant, 100).Failed<MemoryLimitExceededException>();
        OomReport? explicitly = world.Await(world.Root.OomKiller.KillNowAsync());

        Assert.Equal((ChargeRefusal.KillerDisabled, "root"), (global.Reason, global.GroupPath));
        Assert.Equal((ChargeRefusal.KillerDisabled, "root/tenant"), (group.Reason, group.GroupPath));
        Assert.Null(explicitly);
        Assert.Single(chain.Calls);
        Assert.False(hog.IsKilled || inTenant.IsKilled);
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
    }

    [Fact]
    [Requirement("M38")]
    public void Dying_asker_is_made_no_victim_while_the_killer_is_disabled()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        FullGroup.Fill(world, tenant);
        MemoryMember leaving = tenant.CreateMember("leaving");
        leaving.BeginExit();
        Assert.True(world.Await(world.Root.OomKiller.DisableAsync()));

        world.Charge(leaving, 50).Failed<MemoryLimitExceededException>();

        Assert.Equal((false, 0), (leaving.Space.IsVictim, world.Root.OomKiller.VictimsInFlight));
        world.Root.OomKiller.Enable();
        Assert.True(world.Charge(leaving, 50).Granted);
    }

    [Fact]
    [Requirement("M38")]
    public void Disabling_waits_twenty_seconds_unless_told_otherwise_and_is_then_undone()
    {
        using var world = new World();
        MemoryMember victim = world.Root.CreateMember("victim");
        victim.Charge(100);
        Assert.NotNull(world.Await(world.Root.OomKiller.KillNowAsync()));

        Task<bool> disabling = world.Root.OomKiller.DisableAsync().AsTask();
        world.Advance(TimeSpan.FromSeconds(20) - TimeSpan.FromTicks(1));
        Assert.True(world.Root.OomKiller.IsDisabled);
        Assert.False(disabling.IsCompleted);
        world.Advance(TimeSpan.FromTicks(1));

        Assert.True(disabling.IsCompletedSuccessfully);
        Assert.False(world.Root.OomKiller.IsDisabled);
    }

    [Fact]
    [Requirement("T72")]
    public void Reclaimer_that_waits_for_somebody_in_the_same_oom_ends_at_its_deadline_and_both_go_on()
    {
        using var world = new World(1000);
        MemoryMember hog = world.Root.CreateMember("hog");
        Assert.True(world.Charge(hog, 1000).Granted);
        var eventB = new TaskCompletionSource();
        bool lockHeldMeanwhile = false;
        using IDisposable registered = world.Root.AddLastResortReclaimer(new ScriptedReclaimer(
            "waits for B", async (_, token) =>
            {
                lockHeldMeanwhile |= world.Root.KillLock.IsHeld;
                await eventB.Task.WaitAsync(token);
                return 100;
            }));

        Pending first = world.Charge(world.Root.CreateMember("first"), 100);
        Pending ownerOfB = world.Charge(world.Root.CreateMember("owner of B"), 100);
        Assert.False(world.Root.KillLock.IsHeld);
        Assert.DoesNotContain(ProbePoint.BeforeKillLock, world.Trace);
        Assert.True(first.Sleeps && ownerOfB.Sleeps);
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.True(hog.IsKilled);
        hog.Dispose();
        world.Run();

        Assert.True(ownerOfB.Granted && first.Granted);
        eventB.SetResult();
        world.Run();
        Assert.False(lockHeldMeanwhile);
        world.AssertQuiet(leftAtRoot: 200);
    }

    [Fact]
    [Requirement("M20")]
    public void Request_that_may_not_reclaim_kills_nobody_at_the_root_while_others_can_reclaim_for_it()
    {
        using var world = new World(1000);
        MemoryMember hog = world.Root.CreateMember("hog");
        Assert.True(world.Charge(hog, 1000).Granted);
        var gate = new TaskCompletionSource();
        var cache = new ScriptedReclaimer("cache", async (_, _) =>
        {
            await gate.Task;
            hog.Uncharge(200);
            return 200;
        });
        using IDisposable registered = world.Root.AddReclaimer(cache);

        Pending asking = world.Charge(world.Root.CreateMember("asker"), 200, ChargeFlags.NoReclaim);
        world.Advance(TimeSpan.FromSeconds(0.5));
        Assert.True(asking.Sleeps);
        Assert.Equal(200, Assert.Single(cache.Calls).Bytes);
        gate.SetResult();
        world.Run();

        Assert.True(asking.Granted);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    [Requirement("M20")]
    [Requirement("B12")]
    public void Request_that_may_not_reclaim_kills_at_the_root_once_others_have_reclaimed_in_vain()
    {
        using var world = new World(1000);
        MemoryMember hog = world.Root.CreateMember("hog");
        Assert.True(world.Charge(hog, 1000).Granted);
        var cache = new ScriptedReclaimer("cache", static _ => 0);
        using IDisposable registered = world.Root.AddReclaimer(cache);

        Pending asking = world.Charge(world.Root.CreateMember("asker"), 200, ChargeFlags.NoReclaim);
        Assert.False(hog.IsKilled);
        world.Advance(world.Root.PauseTick);

        Assert.True(hog.IsKilled);
        Assert.InRange(cache.Calls.Count, 1, 3);
        hog.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("M20")]
    public void Root_in_which_nobody_may_be_killed_refuses_and_does_not_stop_the_process()
    {
        using var world = new World(1000);
        MemoryMember immune = world.Root.CreateMember(
            "immune", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        Assert.True(world.Charge(immune, 1000).Granted);
        int stopped = 0;
        world.Root.Panicking = _ => stopped++;

        Pending asking = FullGroup.Ask(world, world.Root, 100);

        Assert.Equal(ChargeRefusal.NoVictim, asking.Failed<MemoryLimitExceededException>().Reason);
        Assert.Equal(0, stopped);
        immune.Uncharge(100);
        Assert.True(FullGroup.Ask(world, world.Root, 100).Granted);
    }

    [Fact]
    [Requirement("M35")]
    public void Request_that_must_not_fail_has_somebody_killed_and_gets_the_reserve_below_min_at_once()
    {
        using var world = new World(1000, static options => options with { MinWatermarkBytes = 100 });
        MemoryMember hog = world.Root.CreateMember("hog");
        MemoryMember asker = world.Root.CreateMember("asker");
        Assert.True(world.Charge(hog, 900).Granted);

        Assert.True(world.Charge(asker, 50, ChargeFlags.NoFail).Granted);
        Assert.True(hog.IsKilled);
        Assert.Equal(950, world.Root.Usage);

        // The reserve is for it alone, and where it does not do, it waits for the victim like the others.
        Pending ordinary = world.Charge(asker, 20);
        Pending tooMuch = world.Charge(asker, 60, ChargeFlags.NoFail);
        Assert.True(ordinary.Sleeps && tooMuch.Sleeps);
        hog.Dispose();
        world.Run();
        Assert.True(ordinary.Granted && tooMuch.Granted);
    }

    [Fact]
    [Requirement("M37")]
    public void Victim_whose_reserve_does_not_do_gives_up_at_once_and_another_is_not_killed_for_it()
    {
        using var world = new World(1000, static options => options with { MinWatermarkBytes = 100 });
        MemoryMember victim = world.Root.CreateMember("victim");
        MemoryMember other = world.Root.CreateMember("other");
        Assert.True(world.Charge(victim, 500).Granted);
        Assert.True(world.Charge(other, 400).Granted);
        Assert.Equal("root/victim", world.Await(world.Root.OomKiller.KillNowAsync())?.VictimPath);
        world.Trace.Clear();

        Assert.True(world.Charge(victim, 50).Granted);
        Pending tooMuch = world.Begin(victim, 1);

        tooMuch.Failed<OomKilledException>();
        Assert.Empty(world.Trace);
        Assert.False(other.IsKilled);
        Assert.Equal(950, world.Root.Usage);
    }

    [Theory]
    [InlineData(1000, ChargeFlags.None, 1000, 500)]
    [InlineData(1000, ChargeFlags.NoWait, 1000, 500)]
    [InlineData(1000, ChargeFlags.HighPriority, 500, 250)]
    [InlineData(1000, ChargeFlags.HighPriority | ChargeFlags.NoWait, 375, 188)]
    [InlineData(1000, ChargeFlags.NoReserve, 1000, 1000)]
    [InlineData(1000, ChargeFlags.HighPriority | ChargeFlags.NoReserve, 1000, 1000)]
    [InlineData(1000, ChargeFlags.FromReclaim, 0, 0)]
    [InlineData(7, ChargeFlags.None, 7, 4)]
    [InlineData(7, ChargeFlags.HighPriority, 4, 2)]
    [InlineData(7, ChargeFlags.HighPriority | ChargeFlags.NoWait, 3, 2)]
    [Requirement("M36")]
    public void Floor_is_halved_in_integers_for_priority_a_quarter_less_without_waiting_and_halved_for_a_victim(
        long min, ChargeFlags flags, long floor, long asVictim)
    {
        using var world = new World(100_000, options => options with { MinWatermarkBytes = min });

        Assert.Equal(floor, world.Root.FloorFor(flags, victim: false));
        Assert.Equal(asVictim, world.Root.FloorFor(flags, victim: true));
    }
}
