// The killer: whom it chooses, when it refrains, its switch and its manual trigger.
namespace MemoryGroups.Tests;

public sealed class OomKillerTests
{
    [Theory]
    [InlineData(10010, 0, 10010)]
    [InlineData(8000, 50, 10550)]
    [InlineData(8000, -200, -2200)]
    [InlineData(500, -999, -50449)]
    [Requirement("T45")]
    [Requirement("M24")]
    public void Score_is_usage_plus_adjustment_times_a_thousandth_of_the_limit(long usage, int adjustment, long score)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember(
            "member", new MemoryMemberOptions { OomScoreAdjustment = adjustment });
        member.Charge(usage);

        Assert.Equal(score, OomPolicy.LinearScore(member, 51200));
    }

    [Fact]
    [Requirement("T45")]
    public void Highest_score_of_the_table_dies()
    {
        using var world = new World(51200);
        MemoryMember[] members =
        [
            .. new[] { (10010, 0), (8000, 50), (8000, -200), (500, -999) }.Select(one => Filled(
                world.Root, $"{one}", one.Item1, one.Item2)),
        ];

        OomReport? report = world.Await(world.Root.OomKiller.KillNowAsync());

        Assert.Equal(10550, report?.VictimScore);
        Assert.Equal([false, true, false, false], members.Select(static member => member.IsKilled));
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(-999)]
    public void Score_of_a_huge_limit_does_not_overflow(int adjustment)
    {
        using var world = new World(long.MaxValue - 1);
        MemoryMember member = Filled(world.Root, "member", MemoryMember.MaxChargeBytes, adjustment);

        OomReport? report = world.Await(world.Root.OomKiller.KillNowAsync());

        Assert.True(member.IsKilled);
        Assert.Equal(Math.Sign(adjustment), Math.Sign(report!.VictimScore));
        Assert.False(world.Root.KillLock.IsHeld);
    }

    [Fact]
    [Requirement("B30")]
    public void Among_members_with_negative_adjustment_the_biggest_dies()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 100_000);
        MemoryMember small = Filled(tenant, "small", 10_000, -500);
        MemoryMember big = Filled(tenant, "big", 45_000, -500);
        MemoryMember medium = Filled(tenant, "medium", 30_000, -500);
        Filled(tenant, "immune", 15_000, MemoryMember.NeverKill);

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.Equal((false, true, false), (small.IsKilled, big.IsKilled, medium.IsKilled));
    }

    [Fact]
    [Requirement("M24")]
    public void Of_equal_scores_the_later_member_dies()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember first = Filled(tenant, "first", 500);
        MemoryMember second = Filled(tenant, "second", 500);

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.Equal((false, true), (first.IsKilled, second.IsKilled));
    }

    [Fact]
    [Requirement("B28")]
    public void Large_member_of_a_grandchild_dies_and_nobody_outside_the_refusing_subtree()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember outside = Filled(world.Root, "outside", 90_000);
        MemoryMember direct = Filled(tenant, "direct", 100);
        MemoryMember deep = Filled(tenant.CreateGroup("session").CreateGroup("query"), "deep", 900);

        world.Charge(direct, 200);

        Assert.Equal((false, false, true), (outside.IsKilled, direct.IsKilled, deep.IsKilled));
    }

    [Fact]
    [Requirement("M22")]
    public void Nobody_is_left_who_may_be_killed_refuses_and_kills_nobody()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember immune = Filled(tenant, "immune", 1000, MemoryMember.NeverKill);
        MemoryMember asker = tenant.CreateMember("asker");

        var error = world.Charge(asker, 100).Failed<MemoryLimitExceededException>();

        Assert.Equal(ChargeRefusal.NoVictim, error.Reason);
        Assert.False(immune.IsKilled || asker.IsKilled);
        Assert.Equal((1, 0), (tenant.Events.Current.Oom, tenant.Events.Current.OomKill));
        immune.Uncharge(100);
        Assert.True(world.Charge(asker, 100).Granted);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    [Requirement("B10")]
    [Requirement("M17")]
    [Requirement("M14")]
    public void Memory_that_came_back_while_waiting_for_the_kill_lock_spares_the_next_victim()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember hog = Filled(tenant, "hog", 1000);
        Assert.True(world.Root.KillLock.TryAcquire());
        Pending asking = world.Charge(tenant.CreateMember("asker"), 200);
        Assert.True(asking.Sleeps);

        hog.Uncharge(200);
        world.Root.KillLock.Release();
        world.Run();

        Assert.True(asking.Granted);
        Assert.False(hog.IsKilled);
        Assert.Equal(0, world.Root.Reports.Count);
    }

    [Fact]
    [Requirement("M17")]
    public void Killed_while_waiting_for_the_kill_lock_leaves_it_and_kills_nobody()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember hog = Filled(tenant, "hog", 1000);
        MemoryMember asker = tenant.CreateMember("asker");
        Assert.True(world.Root.KillLock.TryAcquire());
        Pending asking = world.Charge(asker, 200);

        asker.Kill("its client went away");
        world.Run();

        asking.Failed<OomKilledException>();
        Assert.False(hog.IsKilled);
        world.Root.KillLock.Release();
        Assert.False(world.Root.KillLock.IsHeld);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    [Requirement("M17")]
    public void Kill_lock_goes_to_the_oldest_waiter_that_still_wants_it()
    {
        using var world = new World();
        MemoryGroup[] groups = [.. Enumerable.Range(0, 3).Select(i => Group(world, 1000, $"tenant{i}"))];
        MemoryMember[] hogs = [.. groups.Select(static group => Filled(group, "hog", 1000))];
        Assert.True(world.Root.KillLock.TryAcquire());
        using var cancel = new CancellationTokenSource();
        Pending first = world.Charge(groups[0].CreateMember("asker"), 200, cancel: cancel.Token);
        Pending second = world.Charge(groups[1].CreateMember("asker"), 200);
        Pending third = world.Charge(groups[2].CreateMember("asker"), 200);

        // Not yet run: the one who gave up still stands in the line.
        cancel.Cancel();
        world.Root.KillLock.Release();
        world.Run();

        first.Failed<OperationCanceledException>();

        Assert.Equal([false, true, true], hogs.Select(static hog => hog.IsKilled));
        Assert.Equal(
            ["root/tenant2/hog", "root/tenant1/hog"],
            world.Root.Reports.Latest().Select(static report => report.VictimPath));
        Assert.True(second.Sleeps && third.Sleeps);
    }

    [Fact]
    [Requirement("T50")]
    [Requirement("M20")]
    [Requirement("B14")]
    [Requirement("M19")]
    public void Killed_asker_that_reaches_the_killer_is_let_finish_and_its_larger_sibling_lives()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember sibling = Filled(tenant, "sibling", 800);
        MemoryMember outside = Filled(world.Root, "outside", 90_000);
        MemoryMember asker = Filled(tenant, "asker", 200);
        asker.Kill("its client went away");

        world.Charge(asker, 100).Failed<OomKilledException>();

        Assert.True(asker.Space.IsVictim);
        Assert.True(asker.Space.IsQueuedForReaping);
        Assert.False(sibling.IsKilled || outside.IsKilled);
        Assert.Equal((0, 0), (tenant.Events.Current.OomKill, world.Root.Events.Current.OomKill));
        Assert.Equal(0, world.Root.Reports.Count);
    }

    [Fact]
    [Requirement("B27")]
    public void Leaving_member_that_is_stuck_holds_up_the_killer_only_until_the_reaper_gives_it_up()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember stuck = Filled(tenant, "stuck", 300);
        MemoryMember hog = Filled(tenant, "hog", 700);
        using SpacePin pin = stuck.Space.Pin();
        stuck.BeginExit();
        world.Charge(stuck, 50).Failed<OomKilledException>();
        Pending asking = world.Charge(tenant.CreateMember("asker"), 100);

        world.Advance(TimeSpan.FromSeconds(2.8));
        Assert.False(hog.IsKilled);
        world.Advance(TimeSpan.FromSeconds(0.2));

        Assert.True(hog.IsKilled);
        hog.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("B11")]
    public void A_thousand_charges_of_one_victim_lead_to_one_selection_and_no_complaint_of_no_victim()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember hog = Filled(tenant, "hog", 1000);
        Pending[] asking = [.. Enumerable.Range(0, 1000).Select(_ => world.Begin(hog, 10))];

        world.Run();

        Assert.All(asking, static one => one.Failed<OomKilledException>());
        Assert.Equal(1, tenant.Events.Current.OomKill);
        Assert.Equal(1, world.Root.Reports.Count);
        hog.Dispose();
        world.AssertQuiet();
    }

    [Fact]
    [Requirement("B36")]
    public void Only_the_oom_killer_makes_victims()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember one = Filled(tenant, "one", 100);
        MemoryMember two = Filled(tenant, "two", 100);

        one.Kill("asked for");
        tenant.Kill("asked for");
        two.BeginExit();

        Assert.True(one.IsKilled && two.IsKilled);
        Assert.False(one.Space.IsVictim || two.Space.IsVictim);
        Assert.Equal((0, 0), (world.Root.OomKiller.VictimsInFlight, tenant.Events.Current.OomKill));
    }

    [Fact]
    public void Asker_that_gives_up_while_the_handler_is_asked_kills_nobody()
    {
        using var world = new World();
        MemoryGroup tenant = Group(world, 1000);
        MemoryMember hog = Filled(tenant, "hog", 1000);
        using var cancel = new CancellationTokenSource();
        tenant.Oom.Handler = new CancellingHandler(cancel);

        Pending asking = world.Charge(tenant.CreateMember("asker"), 200, cancel: cancel.Token);

        asking.Failed<OperationCanceledException>();
        Assert.False(hog.IsKilled);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    [Requirement("M20")]
    public void Root_option_kills_the_member_that_asked_but_only_for_the_roots_own_oom()
    {
        using var world = new World(1000, static options => options with { KillAllocatingMember = true });
        MemoryGroup tenant = Group(world, 400);
        MemoryMember big = Filled(tenant, "big", 300);
        MemoryMember asker = Filled(tenant, "asker", 100);
        world.Charge(asker, 50);
        Assert.Equal((true, false), (big.IsKilled, asker.IsKilled));
        big.Dispose();
        world.Run();
        Filled(world.Root, "huge", 850);

        world.Charge(asker, 50).Failed<OomKilledException>();

        Assert.True(asker.IsKilled);
        Assert.Contains("KillAllocatingMember", asker.KillReport!.Reason, StringComparison.Ordinal);
    }

    private static MemoryGroup Group(World world, long max, string name = "tenant") =>
        world.Root.CreateGroup(name, new MemoryGroupOptions { Max = max });

    private static MemoryMember Filled(MemoryGroup group, string name, long bytes, int adjustment = 0)
    {
        MemoryMember member = group.CreateMember(name, new MemoryMemberOptions { OomScoreAdjustment = adjustment });
        Assert.True(member.TryCharge(bytes));
        return member;
    }

    private sealed class CancellingHandler(CancellationTokenSource cancel) : OomHandler
    {
        public override ValueTask<OomDecision> OnOomAsync(OomScene scene, CancellationToken cancellationToken)
        {
            cancel.Cancel();
            return ValueTask.FromResult(OomDecision.Decline);
        }
    }
}
