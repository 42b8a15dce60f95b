// S001, the path of an exhausted root: gate, chain, kill lock, last attempt, kill, in that order.
namespace MemoryGroups.Tests;

public sealed class S001GlobalOomTests
{
    [Fact]
    [Requirement("S001-2")]
    [Requirement("S001-10")]
    [Requirement("T69")]
    [Requirement("D3")]
    public void Exhausted_root_runs_chain_then_kill_lock_then_attempt_and_kills_nobody()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var order = new List<string>();
        using IDisposable registered = world.Root.AddLastResortReclaimer(new ScriptedReclaimer("cache", _ =>
        {
            order.Add("chain, kill lock held: " + world.Root.KillLock.IsHeld);
            hog.Uncharge(300);
            return 300;
        }));
        world.Once(ProbePoint.BeforeKillLock, () => order.Add($"kill lock, granted so far: {asker.Usage}"));

        Assert.True(world.Charge(asker, 200).Granted);

        Assert.Equal(["chain, kill lock held: False", "kill lock, granted so far: 0"], order);
        Assert.False(hog.IsKilled);
        Assert.Equal(0, world.Root.Reports.Count);
        world.AssertQuiet(leftAtRoot: 900);
    }

    [Theory]
    [InlineData("dumping")]
    [InlineData("costly")]
    [InlineData("retry may fail")]
    [InlineData("confined")]
    [InlineData("storage suspended")]
    [InlineData("no wait")]
    [Requirement("S001-3")]
    [Requirement("S001-4")]
    [Requirement("T68")]
    public void Refused_by_the_gate_runs_no_chain_and_kills_nobody(string kind)
    {
        using var world = new World(1000, options => options with
        {
            CostlyChargeBytes = kind == "costly" ? 199 : long.MaxValue,
        });
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var chain = new ScriptedReclaimer("cache", static _ => 0);
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);
        using IDisposable? dump = kind == "dumping" ? asker.BeginDump() : null;
        world.Root.StorageSuspended = kind == "storage suspended";
        ChargeFlags flags = kind switch
        {
            "retry may fail" => ChargeFlags.RetryMayFail,
            "confined" => ChargeFlags.Confined,
            "no wait" => ChargeFlags.NoWait,
            _ => ChargeFlags.None,
        };

        Pending refused = world.Charge(asker, 200, flags);

        MemoryLimitExceededException error = refused.Failed<MemoryLimitExceededException>();
        Assert.Equal("root", error.GroupPath);
        Assert.Empty(chain.Calls);
        Assert.False(hog.IsKilled);
        Assert.Equal(1000, world.Root.Usage);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    public void Neither_policy_nor_handler_is_asked_about_a_request_that_the_gate_refuses()
    {
        using var world = new World(1000);
        (MemoryMember _, MemoryMember asker) = Full(world);
        world.Root.StorageSuspended = true;
        int asked = 0;
        world.Root.Oom.Policy = new ScriptedPolicy(_ =>
        {
            asked++;
            return [];
        });
        world.Root.Oom.Handler = new ScriptedHandler((_, _) =>
        {
            asked++;
            return ValueTask.FromResult(OomDecision.Freed);
        });

        world.Charge(asker, 200).Failed<MemoryLimitExceededException>();

        Assert.Equal(0, asked);
    }

    [Fact]
    public void Policy_of_the_root_chooses_when_a_charge_finds_nothing_more()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        hog.Uncharge(100);
        MemoryMember small = world.Root.CreateMember("small");
        small.Charge(100);
        world.Root.Oom.Policy = new ScriptedPolicy(_ => [new OomCandidate(small, 1, "test")]);

        Pending asking = world.Charge(asker, 100);

        Assert.Equal((false, true), (hog.IsKilled, small.IsKilled));
        small.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Theory]
    [InlineData(200, 200, true)]
    [InlineData(201, 200, false)]
    [Requirement("S001-4")]
    public void Costly_limit_refuses_only_what_is_larger(long bytes, long costly, bool mayKill)
    {
        using var world = new World(1000, options => options with { CostlyChargeBytes = costly });
        (MemoryMember hog, MemoryMember asker) = Full(world);

        Pending asking = world.Charge(asker, bytes);

        Assert.Equal(mayKill, hog.IsKilled);
        Assert.Equal(mayKill, asking.Sleeps);
    }

    [Fact]
    [Requirement("S001-4")]
    public void Gate_opens_again_when_the_dump_is_over_and_the_storage_is_back()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        asker.BeginDump().Dispose();
        world.Root.StorageSuspended = true;
        world.Root.StorageSuspended = false;

        Assert.True(world.Charge(asker, 200).Sleeps);

        Assert.True(hog.IsKilled);
    }

    [Fact]
    [Requirement("S001-5")]
    [Requirement("T68")]
    public void No_reclaim_passes_the_gate_and_runs_the_chain()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var chain = new ScriptedReclaimer("chain", static _ => 0);
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);

        Pending asking = world.Charge(asker, 200, ChargeFlags.NoReclaim);

        Assert.Single(chain.Calls);
        Assert.True(hog.IsKilled);
        hog.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("S001-5")]
    public void Dying_asker_reaches_the_reserve_through_the_killer_although_it_may_not_reclaim()
    {
        using var world = new World(1000, static options => options with { MinWatermarkBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember asker = tenant.CreateMember("asker");
        Assert.True(world.Charge(hog, 900).Granted);
        asker.Kill("its client went away");

        Pending asking = world.Charge(asker, 50, ChargeFlags.NoReclaim);

        Assert.True(asking.Granted);
        Assert.False(hog.IsKilled);
        Assert.Equal(0, world.Root.Events.Current.OomKill);
        Assert.Equal(950, world.Root.Usage);
    }

    [Fact]
    [Requirement("S001-9")]
    [Requirement("B16")]
    [Requirement("M35")]
    public void Kill_lock_taken_by_another_pauses_the_asker_one_tick_and_it_starts_over()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        Assert.True(world.Root.KillLock.TryAcquire());

        Pending asking = world.Charge(asker, 200);
        Assert.True(asking.Sleeps);
        Assert.False(hog.IsKilled);
        world.Advance(world.Root.PauseTick);
        Assert.False(hog.IsKilled);

        world.Root.KillLock.Release();
        world.Advance(world.Root.PauseTick - TimeSpan.FromTicks(1));
        Assert.False(hog.IsKilled);
        world.Advance(TimeSpan.FromTicks(1));

        Assert.True(hog.IsKilled);
        hog.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("S001-9")]
    public void Memory_freed_during_the_pause_ends_it_at_once()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        Assert.True(world.Root.KillLock.TryAcquire());
        Pending asking = world.Charge(asker, 200);

        hog.Uncharge(200);
        world.Run();

        Assert.True(asking.Granted);
        Assert.False(hog.IsKilled);
        world.Root.KillLock.Release();
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Theory]
    [InlineData(400, true)]
    [InlineData(399, false)]
    [Requirement("S001-10")]
    [Requirement("S001-11")]
    [Requirement("M35")]
    public void Last_attempt_leaves_the_high_watermark_free_also_for_whom_the_gate_refused(long freed, bool granted)
    {
        using var world = new World(1000, static options => options with
        {
            MinWatermarkBytes = 100,
            LowWatermarkBytes = 100,
            HighWatermarkBytes = 300,
        });
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(world.Charge(hog, 900).Granted);
        world.Once(ProbePoint.BeforeKillLock, () => hog.Uncharge(freed));

        Pending asking = world.Charge(tenant.CreateMember("asker"), 200, ChargeFlags.Confined);

        Assert.Equal(granted, asking.Granted);
        Assert.False(hog.IsKilled);
        Assert.Equal(900 - freed + (granted ? 200 : 0), world.Root.Usage);
    }

    [Fact]
    [Requirement("S001-10")]
    public void Memory_that_a_parallel_kill_freed_above_the_min_watermark_spares_the_next_victim()
    {
        using var world = new World(1000, static options => options with
        {
            MinWatermarkBytes = 100,
            LowWatermarkBytes = 100,
            HighWatermarkBytes = 300,
        });
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(world.Charge(hog, 900).Granted);
        world.Once(ProbePoint.BeforeKillLock, () => hog.Uncharge(200));

        Assert.True(world.Charge(tenant.CreateMember("asker"), 200).Granted);

        Assert.False(hog.IsKilled);
        Assert.DoesNotContain(ProbePoint.ChargeRefused, world.Trace);
    }

    [Fact]
    [Requirement("S001-11")]
    public void Attempt_is_made_even_for_a_request_that_the_gate_refuses()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        world.Once(ProbePoint.BeforeKillLock, () => hog.Uncharge(200));

        Assert.True(world.Charge(asker, 200, ChargeFlags.Confined).Granted);

        Assert.False(hog.IsKilled);
        Assert.Equal(1000, world.Root.Usage);
    }

    [Fact]
    [Requirement("S001-11")]
    [Requirement("M35")]
    [Requirement("D9")]
    public void Nothing_freed_and_gate_open_kills_the_largest_in_the_whole_root()
    {
        using var world = new World(1000);
        MemoryGroup one = world.Root.CreateGroup("one");
        MemoryGroup two = world.Root.CreateGroup("two");
        MemoryMember hog = one.CreateMember("hog");
        MemoryMember asker = two.CreateMember("asker");
        Assert.True(world.Charge(hog, 700).Granted);
        Assert.True(world.Charge(asker, 300).Granted);

        Pending asking = world.Charge(asker, 100);

        Assert.True(hog.IsKilled);
        Assert.False(asker.IsKilled);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal("root", report.RefusingGroup);
        Assert.Equal("root/one/hog", report.VictimPath);
        hog.Dispose();
        world.Run();
        Assert.True(asking.Granted);
        world.AssertQuiet(leftAtRoot: 400);
    }

    [Fact]
    [Requirement("S001-12")]
    [Requirement("T70")]
    public void Chain_runs_while_the_killer_is_disabled_and_its_memory_is_used()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var chain = new ScriptedReclaimer("cache", _ =>
        {
            hog.Uncharge(200);
            return 200;
        });
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);
        Assert.True(world.Await(world.Root.OomKiller.DisableAsync(TimeSpan.Zero)));

        Assert.True(world.Charge(asker, 200).Granted);

        Assert.Single(chain.Calls);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    [Requirement("S001-12")]
    [Requirement("T70")]
    public void Killer_disabled_and_nothing_freed_refuses()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var chain = new ScriptedReclaimer("cache", static _ => 0);
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);
        Assert.True(world.Await(world.Root.OomKiller.DisableAsync(TimeSpan.Zero)));

        var error = world.Charge(asker, 200).Failed<MemoryLimitExceededException>();

        Assert.Equal(ChargeRefusal.KillerDisabled, error.Reason);
        Assert.Single(chain.Calls);
        Assert.False(hog.IsKilled);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    [Requirement("S001-13")]
    [Requirement("T70")]
    public void Administrators_kill_runs_no_chain()
    {
        using var world = new World(1000);
        (MemoryMember hog, _) = Full(world);
        var chain = new ScriptedReclaimer("cache", static _ => 100);
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);

        OomReport? report = world.Await(world.Root.OomKiller.KillNowAsync());

        Assert.Equal("root/tenant/hog", report?.VictimPath);
        Assert.True(hog.IsKilled);
        Assert.Empty(chain.Calls);
    }

    [Fact]
    [Requirement("S001-14")]
    [Requirement("T70")]
    public void Group_oom_runs_no_chain()
    {
        using var world = new World(10_000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember asker = tenant.CreateMember("asker");
        Assert.True(world.Charge(hog, 1000).Granted);
        var chain = new ScriptedReclaimer("cache", static _ => 100);
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);

        Assert.True(world.Charge(asker, 200).Sleeps);

        Assert.True(hog.IsKilled);
        Assert.Empty(chain.Calls);
    }

    private static (MemoryMember Hog, MemoryMember Asker) Full(World world)
    {
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember asker = tenant.CreateMember("asker");
        Assert.True(world.Charge(hog, world.Root.Capacity).Granted);
        return (hog, asker);
    }
}
