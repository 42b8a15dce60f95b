// Reclaim at its edges: claims that nobody can have given, user code in the wrong place, protection at every level.
namespace MemoryGroups.Tests;

public sealed class ReclaimEdgeTests
{
    [Fact]
    public void Absurd_claims_neither_overflow_nor_admit_anything()
    {
        using var world = new World(capacity: 2000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000, High = 500 });
        MemoryGroup child = tenant.CreateGroup("child", new MemoryGroupOptions { High = 500 });
        for (int i = 0; i < 12; i++)
        {
            child.AddReclaimer(new ScriptedReclaimer($"liar{i}", static _ => long.MaxValue));
            child.AddReclaimer(new ScriptedReclaimer($"modest{i}", static _ => 1));
            world.Root.AddLastResortReclaimer(new ScriptedReclaimer($"last{i}", static _ => long.MaxValue));
        }

        child.AddReclaimer(new ScriptedReclaimer("negative", static _ => long.MinValue));
        MemoryMember hog = child.CreateMember("hog");
        Assert.True(world.Charge(hog, 1000).Sleeps || hog.Usage == 1000);
        world.Advance(TimeSpan.FromSeconds(3));

        Assert.Throws<MemoryLimitExceededException>(() => child.CreateMember("sync").Charge(10));
        Assert.True(FullGroup.Ask(world, child, 10).Sleeps);
        Assert.True(hog.IsKilled);
        Assert.True(world.Await(child.ReclaimAsync(long.MaxValue)) >= 0);
        Assert.True(world.Charge(world.Root.CreateMember("outside"), 1000).Granted);
        FullGroup.Ask(world, world.Root, 10);
        Assert.Equal(2000, world.Root.Usage);
    }

    [Fact]
    public void Reclaimer_whose_cost_throws_is_asked_last_and_hurts_nobody()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        var order = new List<string>();
        tenant.AddReclaimer(new CostThrows(order));
        tenant.AddReclaimer(new ScriptedReclaimer("other", _ =>
        {
            order.Add("other");
            return 0;
        }));
        FullGroup.Fill(world, tenant);

        Assert.True(FullGroup.Ask(world, tenant, 10).Sleeps);

        Assert.Equal(["other", "throws"], order.Take(2));
    }

    // A hint that its owner cannot use must not wait until the owner's reclaim is over.
    [Fact]
    [Requirement("I3")]
    public void Woken_request_whose_bytes_are_gone_passes_the_hint_on_before_it_reclaims()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        Pending large = FullGroup.Ask(world, tenant, 200);
        Pending small = FullGroup.Ask(world, tenant, 30);
        var never = new TaskCompletionSource<long>();
        tenant.AddReclaimer(new ScriptedReclaimer("hanging", (_, _) => new ValueTask<long>(never.Task)));

        hog.Uncharge(210);
        Assert.True(tenant.CreateMember("quick").TryCharge(150));
        world.Run();

        Assert.True(large.Sleeps);
        Assert.True(small.Granted);
        never.SetResult(0);
    }

    [Fact]
    [Requirement("M41")]
    [Requirement("T30")]
    public void Group_at_its_min_is_never_asked_even_if_somebody_dies_for_it()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup kept = tenant.CreateGroup("kept", new MemoryGroupOptions { Min = 400 });
        MemoryMember cache = kept.CreateMember("cache");
        Assert.True(world.Charge(cache, 400).Granted);
        var reclaimer = new ScriptedReclaimer("cache", _ => 0);
        kept.AddReclaimer(reclaimer);
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(world.Charge(hog, 600).Granted);

        FullGroup.Ask(world, tenant, 10);

        Assert.Empty(reclaimer.Calls);
        Assert.True(hog.IsKilled);
    }

    [Theory]
    [InlineData(true, 300)]
    [InlineData(false, 0)]
    [Requirement("M43")]
    public void Unclaimed_protection_goes_down_only_where_it_is_recursive(bool recursive, long kept)
    {
        using var world = new World(configure: options => options with { RecursiveProtection = recursive });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup parent = tenant.CreateGroup("parent", new MemoryGroupOptions { Min = 300 });
        MemoryGroup child = parent.CreateGroup("child");
        MemoryMember cache = child.CreateMember("cache");
        Assert.True(world.Charge(cache, 500).Granted);
        child.AddReclaimer(new ScriptedReclaimer("cache", request =>
        {
            long gives = Math.Min(request.Bytes, cache.Usage);
            cache.Uncharge(gives);
            return gives;
        }));

        long given = world.Await(tenant.ReclaimAsync(1000));

        Assert.Equal((500 - kept, kept), (given, cache.Usage));
    }

    [Fact]
    [Requirement("M44")]
    [Requirement("T26")]
    public void Requested_reclaim_asks_in_quarters_and_ends_when_nothing_more_comes()
    {
        using var world = new World();
        const long m = 1 << 20;
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 1 });
        MemoryMember cache = tenant.CreateMember("cache");
        Assert.True(world.Charge(cache, 32 * m).Granted);
        var reclaimer = new ScriptedReclaimer("cache", request =>
        {
            cache.Uncharge(Math.Min(request.Bytes, cache.Usage - m));
            return Math.Min(request.Bytes, 32 * m);
        });
        tenant.AddReclaimer(reclaimer);

        Assert.InRange(world.Await(tenant.ReclaimAsync(16 * m)), 16 * m, 17 * m);

        Assert.Equal([4 * m, 3 * m, 9 * m / 4], reclaimer.Calls.Take(3).Select(static call => call.Bytes));
        Assert.All(reclaimer.Calls, static call => Assert.Equal(ReclaimReason.Requested, call.Reason));
        Assert.Equal(default, tenant.Events.Current);
        Assert.Throws<ArgumentOutOfRangeException>(() => world.Await(tenant.ReclaimAsync(0)));
    }

    [Fact]
    [Requirement("M40")]
    public void Throttle_follows_the_group_that_is_furthest_over_and_counts_at_each_one_that_is()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { High = 1000 });
        MemoryGroup within = parent.CreateGroup("within", new MemoryGroupOptions { High = 5000 });
        MemoryGroup child = within.CreateGroup("child", new MemoryGroupOptions { High = 1900 });
        MemoryMember member = child.CreateMember("member");
        Assert.True(member.TryCharge(2000));

        Pending charge = world.Charge(member, 100);

        Assert.Equal((1, 0, 1), (parent.Events.Local.High, within.Events.Local.High, child.Events.Local.High));
        Assert.Equal(2, parent.Events.Current.High);
        long parents = HighThrottle.DelayMilliseconds(2100, 1000, 100);
        Assert.True(parents > HighThrottle.DelayMilliseconds(2100, 1900, 100));
        world.Advance(TimeSpan.FromMilliseconds(parents - 1));
        Assert.True(charge.Sleeps);
        world.Advance(TimeSpan.FromMilliseconds(1));
        Assert.True(charge.Granted);
    }

    // Stock is charged to the group, but nobody uses it: it comes back before anybody is slowed down because of it.
    [Fact]
    [Requirement("M40")]
    [Requirement("I12")]
    public void Idle_stock_never_counts_against_high()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { High = Stocked.AmpleLimit });
        Stocked.Member(tenant);
        Stocked.FillOwnStock(tenant);
        MemoryMember member = tenant.CreateMember("member");
        long rest = Stocked.AmpleLimit - (1 << 20) - 1000;
        Assert.True(member.TryCharge(rest));
        Assert.True(tenant.Usage > tenant.High);

        Assert.True(world.Charge(member, 1000).Granted);

        Assert.Equal(tenant.High, tenant.Usage);
        Assert.Equal(0, tenant.Events.Current.High);

        tenant.High = 2 << 20;
        Assert.Equal(0, world.Root.Stocks.HeldIn(tenant));
        Assert.Equal(GroupStock.FindBatch(tenant), tenant.BatchBytes);
        Assert.True(tenant.BatchBytes <= (2 << 20) / (16 * GroupStock.Slots));
    }

    [Fact]
    [Requirement("M40")]
    public void Cancelled_pause_ends_at_once_and_the_charge_stays()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { High = 100 });
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(member.TryCharge(1000));
        using var cancel = new CancellationTokenSource();
        Pending charge = world.Charge(member, 500, cancel: cancel.Token);
        Assert.True(charge.Sleeps);

        cancel.Cancel();
        world.Run();

        Assert.True(charge.Granted);
        Assert.Equal(1500, tenant.Usage);
        Assert.Equal(0, world.Time.ArmedTimers);
    }

    // Never refused means never: also when the asker is killed, or leaving, and whether it waits or not.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Requirement("M9")]
    [Requirement("T52")]
    public void Charge_that_must_not_fail_is_granted_to_the_dying_too(bool killed)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        FullGroup.Fill(world, tenant);
        MemoryMember dying = tenant.CreateMember("dying");
        if (killed)
        {
            dying.Kill("test");
        }
        else
        {
            dying.BeginExit();
        }

        dying.Charge(10, ChargeFlags.NoFail);
        Pending asking = world.Charge(dying, 20, ChargeFlags.NoFail);
        world.Advance(TimeSpan.FromMinutes(1));

        Assert.True(asking.Granted);
        Assert.Equal(1030, tenant.Usage);
    }

    [Fact]
    [Requirement("T47")]
    [Requirement("T48")]
    public void Immortal_sharer_of_a_killed_space_is_neither_called_killed_nor_given_the_reserve()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember victim = tenant.CreateMember("victim");
        MemoryMember immortal = tenant.CreateMember("immortal", new MemoryMemberOptions
        {
            Space = victim.Space,
            OomScoreAdjustment = MemoryMember.NeverKill,
        });
        Assert.True(world.Charge(victim, 1000).Granted);
        FullGroup.Ask(world, tenant, 10);
        Assert.True(victim.IsKilled && !immortal.IsKilled);

        Assert.Throws<MemoryLimitExceededException>(() => immortal.Charge(50));

        Assert.Equal((0, 1000), (world.Root.OomReserveUsed, tenant.Usage));
    }

    private sealed class CostThrows(List<string> order) : MemoryReclaimer("throws")
    {
        public override int Cost => throw new InvalidOperationException("broken");

        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
        {
            order.Add(Name);
            return new ValueTask<long>(0);
        }
    }
}
