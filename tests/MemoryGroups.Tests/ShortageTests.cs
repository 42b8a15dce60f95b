// The root is short because of bytes that nobody declared: what is tried before somebody dies, in which order, and who
// must not die for it.
namespace MemoryGroups.Tests;

public sealed class ShortageTests
{
    private static readonly TimeSpan Period = new MemoryRootOptions().SamplePeriod;

    private readonly ScriptedProcess _process = new();

    [Fact]
    public void Growth_of_undeclared_bytes_reclaims_collects_asks_the_last_resort_and_then_kills()
    {
        using World world = _process.NewWorld();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(600));
        var order = new List<string>();
        using IDisposable cache = tenant.AddReclaimer(new ScriptedReclaimer("cache", request =>
        {
            order.Add($"reclaim {request.Bytes} {request.Reason}");
            return 0;
        }));
        using IDisposable last = world.Root.AddLastResortReclaimer(new ScriptedReclaimer("last", request =>
        {
            order.Add($"last resort {request.Bytes}");
            return 0;
        }));
        _process.OnCollect = aggressive => order.Add(aggressive ? "aggressive" : "gentle");
        _process.Allocated = 500;
        _process.Measured = 1200;
        Assert.False(hog.IsKilled);

        world.Advance(Period);

        Assert.True(hog.IsKilled);
        Assert.Equal(["reclaim 200 Capacity", "aggressive", "last resort 200"], order);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.StartsWith("less room was left than is in use; ", report.Reason, StringComparison.Ordinal);
        Assert.Equal(600, report.UnattributedBytes);
        hog.Dispose();
    }

    [Fact]
    public void Collection_that_gives_some_leaves_the_rest_to_reclaim_before_the_last_resort()
    {
        using World world = _process.NewWorld();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(600));
        var order = new List<string>();
        using IDisposable cache = tenant.AddReclaimer(new ScriptedReclaimer("cache", request =>
        {
            order.Add($"reclaim {request.Bytes}");
            return 0;
        }));
        using IDisposable last = world.Root.AddLastResortReclaimer(new ScriptedReclaimer("last", request =>
        {
            order.Add($"last resort {request.Bytes}");
            return hog.Free(request.Bytes);
        }));
        _process.OnCollect = _ =>
        {
            order.Add("collect");
            (_process.Measured, _process.Slack) = (1150, 0);
        };
        _process.Slack = 500;
        _process.Measured = 1200;

        world.Advance(Period);

        Assert.Equal(["reclaim 200", "collect", "reclaim 150", "last resort 150"], order);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    public void Growth_of_undeclared_bytes_kills_nobody_when_reclaim_gives_enough()
    {
        using World world = _process.NewWorld();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(600));
        using IDisposable cache = tenant.AddReclaimer(
            new ScriptedReclaimer("cache", request => hog.Free(request.Bytes)));
        _process.Measured = 1200;

        world.Advance(Period);

        Assert.False(hog.IsKilled);
        Assert.Equal(400, world.Root.Usage);
        Assert.Empty(_process.Collected);
    }

    [Fact]
    public void Collection_that_gives_enough_saves_everybody()
    {
        using World world = _process.NewWorld();
        MemoryMember hog = world.Root.CreateMember("hog");
        Assert.True(hog.TryCharge(600));
        _process.Measured = 1200;
        _process.Slack = 300;
        _process.OnCollect = _ => (_process.Measured, _process.Slack) = (900, 0);

        world.Advance(Period);

        Assert.False(hog.IsKilled);
        Assert.Equal([true], _process.Collected);
        Assert.Equal((300, 1), (world.Root.Unattributed.CountedBytes, world.Root.Unattributed.Collections));
    }

    [Fact]
    public void Charge_that_finds_the_root_full_of_garbage_has_it_collected_and_is_granted()
    {
        _process.Measured = 800;
        _process.Allocated = 10;
        using World world = _process.NewWorld();
        MemoryMember hog = world.Root.CreateMember("hog");
        MemoryMember asker = world.Root.CreateMember("asker");
        Assert.True(hog.TryCharge(200));
        _process.Measured = 1000;
        _process.Allocated = 26;
        _process.OnCollect = _ => _process.Measured = 500;

        Assert.True(world.Charge(asker, 300).Granted);

        Assert.Equal([true], _process.Collected);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    public void Charge_is_granted_without_a_collection_when_the_new_measurement_leaves_room()
    {
        _process.Measured = 800;
        _process.Slack = 1000;
        using World world = _process.NewWorld();
        MemoryMember asker = world.Root.CreateMember("asker");
        _process.Measured = 500;

        Assert.True(world.Charge(asker, 300).Granted);
        Assert.Empty(_process.Collected);
    }

    [Fact]
    public void Collection_that_cannot_pay_is_not_made()
    {
        _process.Allocated = 100;
        using World world = _process.NewWorld(640);
        MemoryMember hog = world.Root.CreateMember("hog");
        Assert.True(hog.TryCharge(600));
        _process.Measured = 700;

        // A sixty-fourth of the capacity would do.
        _process.Allocated = 109;
        world.Advance(Period);

        Assert.Empty(_process.Collected);
        Assert.True(hog.IsKilled);
        hog.Dispose();
    }

    [Fact]
    public void Garbage_counts_from_the_last_full_collection()
    {
        _process.Allocated = 100;
        using World world = _process.NewWorld(640);
        MemoryMember hog = world.Root.CreateMember("hog");
        Assert.True(hog.TryCharge(600));
        _process.Measured = 700;
        (_process.Allocated, _process.Collections) = (500, 1);
        world.Advance(Period);

        Assert.Empty(_process.Collected);
        hog.Dispose();
    }

    [Fact]
    public void Collection_that_gave_little_makes_the_next_one_need_twice_as_much()
    {
        using World world = _process.NewWorld(640);
        MemoryMember hog = world.Root.CreateMember(
            "hog", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        Assert.True(hog.TryCharge(600));
        _process.Measured = 700;
        Step(10, 1);
        Step(19, 1);
        Step(1, 2);
        Step(39, 2);
        Step(1, 3);

        // One that paid starts over.
        _process.OnCollect = _ => _process.Measured = 645;
        Step(80, 4);
        _process.Measured = 700;
        _process.OnCollect = null;
        Step(10, 5);

        void Step(long allocates, int collections)
        {
            _process.Allocated += allocates;
            world.Advance(Period);
            Assert.Equal(collections, _process.Collected.Count);
        }
    }

    [Fact]
    public void Watermark_may_be_eaten_into_by_undeclared_bytes_without_a_victim()
    {
        using World world = _process.NewWorld(configure: static options => options with { MinWatermarkBytes = 100 });
        MemoryMember member = world.Root.CreateMember("member");
        Assert.True(member.TryCharge(600));
        _process.Measured = 1000;
        world.Advance(Period);
        Assert.False(member.IsKilled);

        _process.Measured = 1002;
        world.Advance(Period);

        Assert.True(member.IsKilled);
        member.Dispose();
    }

    [Fact]
    public void Root_below_low_collects_early_and_reclaims_in_the_background()
    {
        using World world = _process.NewWorld(
            configure: static options => options with { LowWatermarkBytes = 100, HighWatermarkBytes = 150 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(member.TryCharge(600));
        var cache = new ScriptedReclaimer("cache", static _ => 0);
        using IDisposable registered = tenant.AddReclaimer(cache);
        _process.Measured = 899;
        _process.Allocated = 500;
        world.Advance(Period);
        Assert.Empty(_process.Collected);

        _process.Measured = 901;
        world.Advance(Period);

        Assert.Equal([false], _process.Collected);
        Assert.Equal(51, Assert.Single(cache.Calls).Bytes);
        Assert.False(member.IsKilled);
        world.Advance(Period);
        Assert.Equal([false], _process.Collected);
    }

    [Fact]
    [Requirement("C03")]
    public void Member_of_a_group_within_its_min_does_not_die_for_undeclared_bytes()
    {
        using World world = _process.NewWorld();
        MemoryMember kept = Tenant(world, "kept", 500).CreateMember("member");
        MemoryMember small = Tenant(world, "small", 99).CreateMember("member");
        Assert.True(kept.TryCharge(500));
        Assert.True(small.TryCharge(100));
        _process.Measured = 1100;

        world.Advance(Period);

        Assert.True(small.IsKilled);
        Assert.False(kept.IsKilled);
        small.Dispose();
        world.Run();
        Assert.False(kept.IsKilled);
    }

    [Fact]
    [Requirement("C03")]
    public void Asker_is_refused_rather_than_a_group_within_its_min_blamed()
    {
        _process.Measured = 500;
        using World world = _process.NewWorld();
        MemoryMember kept = Tenant(world, "kept", 500).CreateMember("member");
        MemoryMember asker = world.Root.CreateMember("asker");
        Assert.True(kept.TryCharge(500));
        _process.Measured = 1000;

        Assert.Equal(ChargeRefusal.NoVictim, world.Charge(asker, 100).Failed<MemoryLimitExceededException>().Reason);
        Assert.False(kept.IsKilled);
    }

    [Fact]
    public void Min_is_no_shield_when_declared_bytes_are_short_too()
    {
        _process.Measured = 100;
        using World world = _process.NewWorld();
        MemoryMember kept = Tenant(world, "kept", 900).CreateMember("member");
        MemoryMember asker = world.Root.CreateMember("asker");
        Assert.True(kept.TryCharge(900));
        _process.Measured = 1000;

        world.Charge(asker, 101);

        Assert.True(kept.IsKilled);
        kept.Dispose();
    }

    [Fact]
    public void Min_of_a_group_above_covers_the_member_and_an_empty_promise_does_not()
    {
        using World world = _process.NewWorld();
        MemoryGroup above = Tenant(world, "above", 500);
        MemoryMember kept = above.CreateGroup("below").CreateMember("member");

        // Its parent promises nothing, so there is nothing to pass on.
        MemoryGroup poor = Tenant(world, "poor", 0).CreateGroup("below", new MemoryGroupOptions { Min = 500 });
        MemoryMember victim = poor.CreateMember("member");
        Assert.True(kept.TryCharge(500));
        Assert.True(victim.TryCharge(100));
        _process.Measured = 1100;

        world.Advance(Period);

        Assert.True(victim.IsKilled);
        Assert.False(kept.IsKilled);
        victim.Dispose();
    }

    [Fact]
    public void Who_shares_the_memory_of_a_covered_member_is_covered()
    {
        using World world = _process.NewWorld();
        MemoryMember kept = Tenant(world, "kept", 100).CreateMember("member");
        MemoryMember sharer = Tenant(world, "other", 0).CreateMember(
            "sharer", new MemoryMemberOptions { Space = kept.Space });
        MemoryMember victim = Tenant(world, "third", 0).CreateMember("member");
        Assert.True(kept.TryCharge(100));
        Assert.True(sharer.TryCharge(500));
        Assert.True(victim.TryCharge(50));
        _process.Measured = 1050;

        world.Advance(Period);

        Assert.True(victim.IsKilled);
        Assert.False(sharer.IsKilled);
        victim.Dispose();
    }

    [Fact]
    public void Policy_cannot_blame_a_group_within_its_min_for_undeclared_bytes()
    {
        using World world = _process.NewWorld();
        MemoryMember kept = Tenant(world, "kept", 500).CreateMember("member");
        MemoryMember other = Tenant(world, "other", 0).CreateMember("member");
        Assert.True(kept.TryCharge(500));
        Assert.True(other.TryCharge(100));
        world.Root.Oom.Policy = new ScriptedPolicy(
            _ => [new OomCandidate(kept, 2, "first"), new OomCandidate(other, 1, "second")]);
        _process.Measured = 1100;

        world.Advance(Period);

        Assert.True(other.IsKilled);
        Assert.False(kept.IsKilled);
        other.Dispose();
    }

    [Fact]
    public void Asker_within_its_min_is_not_killed_in_place_of_others()
    {
        _process.Measured = 400;
        using World world = _process.NewWorld(
            configure: static options => options with { KillAllocatingMember = true });
        MemoryMember asker = Tenant(world, "kept", 500).CreateMember("asker");
        MemoryMember other = Tenant(world, "other", 0).CreateMember("member");
        Assert.True(asker.TryCharge(400));
        Assert.True(other.TryCharge(200));
        _process.Measured = 1000;

        Pending pending = world.Charge(asker, 100);

        Assert.False(asker.IsKilled);
        Assert.True(other.IsKilled);
        other.Dispose();
        world.Run();
        Assert.True(pending.Granted);
    }

    private static MemoryGroup Tenant(World world, string name, long min) =>
        world.Root.CreateGroup(name, new MemoryGroupOptions { Min = min });
}
