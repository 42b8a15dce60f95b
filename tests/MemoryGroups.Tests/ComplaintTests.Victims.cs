// What users of other memory governors complained about in public, shown not to happen here: who is killed, and what
// comes after. Each test names the report that it answers.
namespace MemoryGroups.Tests;

public sealed partial class ComplaintTests
{
    // ClickHouse#110876, #115515: no way to say "these first" or "never this".
    [Fact]
    [Requirement("C04")]
    public void C04_class_of_work_dies_first_or_never_as_its_group_says_and_the_report_shows_it()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup exempt = tenant.CreateGroup("exempt", new MemoryGroupOptions { OomScoreAdjustment = -1000 });
        MemoryGroup batch = tenant.CreateGroup("batch", new MemoryGroupOptions { OomScoreAdjustment = 500 });
        MemoryMember safe = exempt.CreateGroup("session").CreateMember("safe");
        MemoryMember online = tenant.CreateMember("online");
        MemoryMember nightly = batch.CreateGroup("job").CreateMember("nightly");
        safe.Charge(500);
        online.Charge(400);
        nightly.Charge(100);

        FullGroup.Ask(world, tenant, 50);
        Assert.True(nightly.IsKilled && !online.IsKilled);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(
            [("root/tenant/batch/job/nightly", 500, 600), ("root/tenant/online", 0, 400)],
            report.Scores.Select(static score => (score.Path, score.Adjustment, (int)score.Score)));
        nightly.Dispose();
        online.Dispose();
        world.Run();

        // Nothing but the exempt is left: refused, and not even a request to kill the group reaches it.
        safe.Charge(tenant.Max - tenant.Usage);
        tenant.Members[0].Dispose();
        safe.Charge(tenant.Max - tenant.Usage);
        Assert.Equal(
            ChargeRefusal.NoVictim, FullGroup.Ask(world, tenant, 50).Failed<MemoryLimitExceededException>().Reason);
        tenant.Kill("test");
        Assert.False(safe.IsKilled);
    }

    [Fact]
    [Requirement("C04")]
    public void C04_adjustment_of_a_member_is_its_own_or_the_nearest_above_and_is_copied_at_birth()
    {
        using var world = new World();
        MemoryGroup outer = world.Root.CreateGroup("outer", new MemoryGroupOptions { OomScoreAdjustment = 300 });
        MemoryGroup middle = outer.CreateGroup("middle");
        MemoryGroup inner = middle.CreateGroup("inner", new MemoryGroupOptions { OomScoreAdjustment = 0 });
        MemoryMember own = middle.CreateMember("own", new MemoryMemberOptions { OomScoreAdjustment = 0 });
        MemoryMember before = middle.CreateMember("before");

        outer.OomScoreAdjustment = -1000;
        Assert.Equal((0, 300), (own.OomScoreAdjustment, before.OomScoreAdjustment));
        Assert.Equal(-1000, middle.CreateMember("after").OomScoreAdjustment);
        Assert.Equal(0, inner.CreateMember("m").OomScoreAdjustment);
        Assert.Equal((-1000, null, 0), (outer.OomScoreAdjustment, middle.OomScoreAdjustment, inner.OomScoreAdjustment));
        inner.OomScoreAdjustment = null;
        Assert.Equal(-1000, inner.CreateMember("m").OomScoreAdjustment);
        outer.OomScoreAdjustment = null;
        Assert.Equal(0, inner.CreateMember("m").OomScoreAdjustment);
        world.Root.OomScoreAdjustment = 7;
        Assert.Equal(7, inner.CreateMember("m").OomScoreAdjustment);

        Assert.Throws<ArgumentOutOfRangeException>(() => inner.OomScoreAdjustment = 1001);
        Assert.Throws<ArgumentOutOfRangeException>(
            () => outer.CreateGroup("bad", new MemoryGroupOptions { OomScoreAdjustment = -1001 }));
        Assert.Throws<ArgumentOutOfRangeException>(
            () => outer.CreateMember("bad", new MemoryMemberOptions { OomScoreAdjustment = 1001 }));
    }

    // facebookincubator/velox#17761, #17873: a priority was a wall, and twenty small ones died before one huge one.
    [Fact]
    [Requirement("C09")]
    public void C09_huge_group_with_a_small_discount_dies_before_many_small_ones()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 10_000 });
        MemoryGroup preferred = tenant.CreateGroup("huge", new MemoryGroupOptions { OomScoreAdjustment = -100 });
        MemoryMember huge = preferred.CreateMember("huge");
        huge.Charge(8000);
        MemoryMember[] small = [.. Enumerable.Range(0, 20).Select(i => tenant.CreateMember($"small{i}"))];
        Array.ForEach(small, static one => one.Charge(100));

        Pending asking = FullGroup.Ask(world, tenant, 500);

        Assert.True(huge.IsKilled);
        Assert.DoesNotContain(small, static one => one.IsKilled);
        huge.Dispose();
        world.Run();
        Assert.True(asking.Granted);
        Assert.Equal(1, tenant.Events.Current.OomKill);
    }

    // apache/doris#20066, #17258, #34443, #58252: a cancelled query was still counted and a second one died for it;
    // then it was not counted and the process died. Two numbers: what is used, and what is on its way.
    [Fact]
    [Requirement("C11")]
    public void C11_victim_on_its_way_out_is_used_memory_for_admission_and_credit_for_selection()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember first = tenant.CreateMember("first");
        MemoryMember second = tenant.CreateMember("second");
        first.Charge(700);
        second.Charge(300);
        using SpacePin busy = first.Space.Pin();
        Pending asking = FullGroup.Ask(world, tenant, 100);
        Assert.True(first.IsKilled);

        // The whole drain deadline long: nothing is admitted on credit, nobody else dies.
        world.Advance(TimeSpan.FromSeconds(2.8));
        Assert.Equal(1000, tenant.Usage);
        Assert.False(tenant.CreateMember("quick").TryCharge(1));
        Assert.True(asking.Sleeps && !second.IsKilled);

        // The credit ends; the bytes are still used.
        world.Advance(TimeSpan.FromSeconds(0.2));
        Assert.True(second.IsKilled);
        Assert.Equal(1000, tenant.Usage);
        second.Dispose();
        world.Run();
        Assert.True(asking.Granted);
        Assert.Equal(800, tenant.Usage);
    }

    // trinodb/trino#13394, #8341, #11788: a killed query kept its memory for an hour, and the node with it.
    [Fact]
    [Requirement("C12")]
    public void C12_victim_that_does_not_go_is_skipped_at_its_deadline_and_reported_as_stuck()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember deaf = tenant.CreateMember("deaf");
        MemoryMember next = tenant.CreateMember("next");
        deaf.Charge(700);
        next.Charge(300);
        SpacePin busy = deaf.Space.Pin();
        next.Killed.UnsafeRegister(_ => next.Dispose(), null);
        Pending asking = FullGroup.Ask(world, tenant, 100);

        world.Advance(TimeSpan.FromSeconds(3));

        Assert.True(asking.Granted);
        Assert.Equal(
            [("root/tenant/next", OomOutcome.Exited), ("root/tenant/deaf", OomOutcome.NotReapable)],
            world.Root.Reports.Latest().Select(static report => (report.VictimPath, report.Outcome)));
        Assert.Contains(
            "could not be reaped; the killer goes on without it",
            world.Root.Reports.Latest()[1].ToString(), StringComparison.Ordinal);

        // An hour later it comes back after all, and the books are exact.
        world.Advance(TimeSpan.FromHours(1));
        Assert.Equal(800, tenant.Usage);
        busy.Dispose();
        deaf.Dispose();
        world.AssertQuiet(leftAtRoot: 100);
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
    }

    // trino#16744, velox#17873: the policy killed short cheap queries again and again, and the hog lived.
    [Fact]
    [Requirement("C13")]
    public void C13_hog_dies_and_short_cheap_work_lives_under_the_default_policy()
    {
        (int Kills, long Collateral, int WorkLost) byDefault = Simulate(policy: null);

        // The ranking that users complained about, on the same load: the newest first.
        (int Kills, long Collateral, int WorkLost) newestFirst = Simulate(new ScriptedPolicy(static scene =>
            [.. scene.Candidates().Reverse().Select(static one => new OomCandidate(one, 0, "the newest"))]));

        Assert.InRange(byDefault.Kills, 1, 10);
        Assert.Equal((0, 0), (byDefault.Collateral, byDefault.WorkLost));
        Assert.True(newestFirst.Kills > 3 * byDefault.Kills, $"{newestFirst.Kills} kills");
        Assert.True(newestFirst.Collateral > 0 && newestFirst.WorkLost > 0, "the measure sees no difference");
    }

    // doris#67845, #67846, #34011, #62285: work was cancelled after a pause in which the memory had long come back.
    [Theory]
    [Requirement("C14")]
    [InlineData("before the kill lock")]
    [InlineData("while the handler thinks")]
    [InlineData("in the last resort")]
    public void C14_memory_that_came_back_before_the_kill_spares_the_victim(string when)
    {
        using var world = new World(1000);
        bool isGlobal = when == "in the last resort";
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = isGlobal ? long.MaxValue : 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        hog.Charge(1000);
        switch (when)
        {
            case "before the kill lock":
                world.Once(ProbePoint.BeforeKillLock, () => hog.Uncharge(100));
                break;
            case "while the handler thinks":
                tenant.Oom.Handler = new ScriptedHandler((_, _) =>
                {
                    hog.Uncharge(100);
                    return ValueTask.FromResult(OomDecision.Decline);
                });
                break;
            default:
                world.Root.AddLastResortReclaimer(new ScriptedReclaimer("modest", _ =>
                {
                    hog.Uncharge(100);
                    return 0;
                }));
                break;
        }

        Assert.True(FullGroup.Ask(world, tenant, 100).Granted);

        Assert.False(hog.IsKilled);
        Assert.DoesNotContain(ProbePoint.VictimChosen, world.Trace);
    }

    [Fact]
    [Requirement("C14")]
    public void C14_order_to_kill_somebody_who_is_gone_hits_nobody_in_its_place()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember named = tenant.CreateMember("named");
        MemoryMember other = tenant.CreateMember("other");
        named.Charge(400);
        other.Charge(600);
        tenant.Oom.Handler = new ScriptedHandler((_, _) => ValueTask.FromResult(OomDecision.Kill(named)));
        world.Once(ProbePoint.BeforeKillLock, named.Dispose);

        Assert.True(FullGroup.Ask(world, tenant, 100).Granted);

        Assert.False(other.IsKilled);
        Assert.Equal((0, 0), (tenant.Events.Current.OomKill, world.Root.Reports.Count));
    }

    // A hog that grows for ever, and five short tasks in each tick that live for three. Collateral: bytes of victims
    // other than the hog. Work lost: ticks that they had lived.
    private static (int Kills, long Collateral, int WorkLost) Simulate(OomPolicy? policy)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 10_000 });
        tenant.Oom.Policy = policy;
        MemoryMember hog = tenant.CreateMember("hog");
        var tasks = new List<(MemoryMember Member, int Since)>();
        long collateral = 0;
        int lost = 0;
        for (int tick = 0; tick < 300; tick++)
        {
            world.Charge(hog, 150);
            for (int i = 0; i < 5; i++)
            {
                MemoryMember member = tenant.CreateMember("task");
                tasks.Add((member, tick));
                world.Charge(member, 200);
            }

            foreach ((MemoryMember member, int since) in tasks)
            {
                if (tick - since < 3 && !member.IsKilled)
                {
                    continue;
                }

                if (member.IsKilled)
                {
                    collateral += member.Usage;
                    lost += tick - since + 1;
                }

                member.Dispose();
            }

            tasks.RemoveAll(static one => one.Member.IsExited);
            if (hog.IsKilled)
            {
                hog.Dispose();
                hog = tenant.CreateMember("hog");
            }

            world.Run();
        }

        return ((int)tenant.Events.Current.OomKill, collateral, lost);
    }
}
