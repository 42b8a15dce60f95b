// Custom policies and handlers: what they may decide, and what happens when they decline, lie, throw or are late.
using System.Collections;

namespace MemoryGroups.Tests;

public sealed class OomPolicyTests
{
    [Fact]
    public void Policy_decides_the_order_and_its_reason_is_in_the_report()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, MemoryMember small) = Full(world);
        tenant.Oom.Policy = new ScriptedPolicy(scene =>
        {
            Assert.False(world.Root.KillLock.IsHeld);
            Assert.Equal((tenant, "asker", 100L, 1000L, false), (
                scene.Group, scene.Asker!.Name, scene.RequestedBytes, scene.ScaleBytes, scene.IsGlobal));
            Assert.Equal([big, small], scene.Candidates());
            return [new OomCandidate(small, 7, "it is the newest")];
        });

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.Equal((false, true), (big.IsKilled, small.IsKilled));
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(7, report.VictimScore);
        Assert.EndsWith("it is the newest", report.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Policy_entries_that_may_not_die_are_skipped()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, MemoryMember small) = Full(world);
        MemoryMember outsider = world.Root.CreateMember("outsider");
        outsider.Charge(5000);
        MemoryMember immune = tenant.CreateMember(
            "immune", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        tenant.Oom.Policy = new ScriptedPolicy(_ =>
            [default, new(outsider, 9, "out"), new(immune, 8, "no"), new(small, 1, "this one")]);

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.Equal((false, false, false, true), (
            outsider.IsKilled, immune.IsKilled, big.IsKilled, small.IsKilled));
    }

    [Fact]
    public void Policy_that_ranks_nobody_has_nobody_killed()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, MemoryMember small) = Full(world);
        tenant.Oom.Policy = new ScriptedPolicy(static _ => []);

        var error = world.Charge(tenant.CreateMember("asker"), 100).Failed<MemoryLimitExceededException>();

        Assert.Equal(ChargeRefusal.NoVictim, error.Reason);
        Assert.False(big.IsKilled || small.IsKilled);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    public void Policy_that_throws_is_reported_and_the_default_ranking_is_used()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, _) = Full(world);
        tenant.Oom.Policy = new ScriptedPolicy(static _ => throw new InvalidOperationException("broken"));

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.True(big.IsKilled);
        ReclaimStep step = Assert.Single(Assert.Single(world.Root.Reports.Latest()).Tried);
        Assert.Equal(("OOM policy", "threw InvalidOperationException: broken"), (step.What, step.Outcome));
    }

    [Fact]
    public void Policy_of_the_nearest_group_above_is_used_and_a_group_below_with_its_own_keeps_it()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        parent.Oom.Policy = new ScriptedPolicy(static scene => [new(scene.Candidates()[0], 0, "parent's")]);
        MemoryGroup without = parent.CreateGroup("without", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup with = parent.CreateGroup("with", new MemoryGroupOptions { Max = 1000 });
        with.Oom.Policy = new ScriptedPolicy(static scene => [new(scene.Candidates()[0], 0, "own")]);
        without.CreateMember("hog").Charge(1000);
        with.CreateMember("hog").Charge(1000);

        world.Charge(without.CreateMember("asker"), 100);
        world.Charge(with.CreateMember("asker"), 100);

        string[] reasons = [.. world.Root.Reports.Latest().Select(static report => report.Reason.Split("; ")[^1])];
        Assert.Equal(["own", "parent's"], reasons);
    }

    [Fact]
    public void Handler_that_frees_enough_spares_everybody()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, MemoryMember small) = Full(world);
        tenant.Oom.Handler = new ScriptedHandler((_, _) =>
        {
            Assert.False(world.Root.KillLock.IsHeld);
            big.Uncharge(100);
            return ValueTask.FromResult(OomDecision.Freed);
        });

        Assert.True(world.Charge(tenant.CreateMember("asker"), 100).Granted);

        Assert.False(big.IsKilled || small.IsKilled);
        Assert.Equal(0, world.Root.Reports.Count);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    public void Handler_that_only_says_it_freed_is_not_believed()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, _) = Full(world);
        tenant.Oom.Handler = new ScriptedHandler(static (_, _) => ValueTask.FromResult(OomDecision.Freed));

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.True(big.IsKilled);
    }

    [Fact]
    public void Handler_may_name_the_victim_within_the_subtree()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, MemoryMember small) = Full(world);
        tenant.Oom.Handler = new ScriptedHandler((_, _) => ValueTask.FromResult(OomDecision.Kill(small)));

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.Equal((false, true), (big.IsKilled, small.IsKilled));
        Assert.EndsWith(
            "named by the group's OOM handler",
            Assert.Single(world.Root.Reports.Latest()).Reason,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Handler_that_names_an_outsider_is_overruled_by_the_default()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, _) = Full(world);
        MemoryMember outsider = world.Root.CreateMember("outsider");
        outsider.Charge(5000);
        tenant.Oom.Handler = new ScriptedHandler((_, _) => ValueTask.FromResult(OomDecision.Kill(outsider)));

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.Equal((false, true), (outsider.IsKilled, big.IsKilled));
    }

    [Fact]
    public void Handler_that_declines_leaves_the_choice_to_the_policy()
    {
        using var world = new World();
        (MemoryGroup tenant, _, MemoryMember small) = Full(world);
        tenant.Oom.Handler = new ScriptedHandler(static (_, _) => ValueTask.FromResult(OomDecision.Decline));
        tenant.Oom.Policy = new ScriptedPolicy(_ => [new(small, 1, "this one")]);

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.True(small.IsKilled);
        Assert.Equal(
            ["OOM handler", "OOM policy"],
            Assert.Single(world.Root.Reports.Latest()).Tried.Select(static step => step.What));
    }

    [Fact]
    public void Late_handler_is_told_and_reported_and_what_it_still_answers_changes_nothing()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, MemoryMember small) = Full(world);
        var answer = new TaskCompletionSource<OomDecision>();
        CancellationToken told = default;
        tenant.Oom.Handler = new ScriptedHandler((_, token) =>
        {
            told = token;
            return new ValueTask<OomDecision>(answer.Task);
        });
        Pending asking = world.Charge(tenant.CreateMember("asker"), 100);

        world.Advance(TimeSpan.FromSeconds(1) - TimeSpan.FromTicks(1));
        Assert.False(big.IsKilled || told.IsCancellationRequested);
        world.Advance(TimeSpan.FromTicks(1));
        Assert.True(big.IsKilled && told.IsCancellationRequested);
        answer.SetResult(OomDecision.Kill(small));
        world.Run();

        Assert.False(small.IsKilled);
        Assert.Equal("late", Assert.Single(Assert.Single(world.Root.Reports.Latest()).Tried).Outcome);
        big.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    public void Handler_that_throws_is_reported_and_the_default_runs()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, _) = Full(world);
        tenant.Oom.Handler = new ScriptedHandler(static (_, _) => throw new InvalidOperationException("broken"));

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.True(big.IsKilled);
        Assert.Equal(
            "threw InvalidOperationException: broken",
            Assert.Single(Assert.Single(world.Root.Reports.Latest()).Tried).Outcome);
    }

    [Fact]
    [Requirement("B38")]
    public void Handler_that_charges_what_does_not_fit_fails_fast_and_starts_no_second_oom()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, _) = Full(world);
        MemoryMember own = tenant.CreateMember("own");
        Exception? inside = null;
        tenant.Oom.Handler = new ScriptedHandler(async (_, _) =>
        {
            inside = await Record.ExceptionAsync(async () => await own.ChargeAsync(100));
            return OomDecision.Decline;
        });

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.Equal(ChargeRefusal.Reentrant, Assert.IsType<MemoryLimitExceededException>(inside).Reason);
        Assert.Equal(1, tenant.Events.Current.Oom);
        Assert.True(big.IsKilled);
    }

    [Fact]
    public void Asker_killed_during_the_handlers_window_leaves_and_nobody_else_dies()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, MemoryMember small) = Full(world);
        var answer = new TaskCompletionSource<OomDecision>();
        tenant.Oom.Handler = new ScriptedHandler((_, _) => new ValueTask<OomDecision>(answer.Task));
        MemoryMember asker = tenant.CreateMember("asker");
        Pending asking = world.Charge(asker, 100);
        Assert.True(asking.Sleeps);

        asker.Kill("its client went away");
        world.Run();

        asking.Failed<OomKilledException>();
        Assert.False(big.IsKilled || small.IsKilled);
        answer.SetResult(OomDecision.Decline);
        asker.Dispose();
        world.Run();
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    public void Candidates_of_a_scene_hold_each_shared_space_once()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember first = tenant.CreateMember("first");
        MemoryMember sharer = tenant.CreateMember("sharer", new MemoryMemberOptions { Space = first.Space });
        MemoryMember other = tenant.CreateMember("other");
        first.Charge(500);
        sharer.Charge(100);
        other.Charge(400);
        IReadOnlyList<MemoryMember>? candidates = null;
        tenant.Oom.Policy = new ScriptedPolicy(scene =>
        {
            candidates = scene.Candidates();
            return [new(sharer, 600, "shares")];
        });

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.Equal([first, other], candidates);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(2, report.Candidates);
        Assert.Equal(["root/tenant/sharer", "root/tenant/other"], report.Scores.Select(static score => score.Path));
    }

    // It keeps one list and fills it anew each time.
    [Fact]
    public void Ranking_counts_as_it_was_given_whatever_its_policy_does_with_the_list_afterwards()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, MemoryMember small) = Full(world);
        List<OomCandidate> own = [];
        tenant.Oom.Policy = new ScriptedPolicy(_ =>
        {
            own.Add(new OomCandidate(small, 1, "ranked"));
            return own;
        });
        world.Once(ProbePoint.BeforeKillLock, own.Clear);

        Pending asking = world.Charge(tenant.CreateMember("asker"), 100);

        Assert.True(asking.Sleeps);
        Assert.Equal((false, true), (big.IsKilled, small.IsKilled));
    }

    // Lists are user code, too: reading one may throw, or take its time.
    [Fact]
    public void Ranking_that_cannot_be_read_is_reported_and_the_default_runs()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember big, _) = Full(world);
        tenant.Oom.Policy = new ScriptedPolicy(static _ => new Unreadable());

        Pending asking = world.Charge(tenant.CreateMember("asker"), 100);

        Assert.True(asking.Sleeps);
        Assert.True(big.IsKilled);
        Assert.Equal(
            "threw InvalidOperationException: broken",
            Assert.Single(Assert.Single(world.Root.Reports.Latest()).Tried).Outcome);
    }

    private static (MemoryGroup Tenant, MemoryMember Big, MemoryMember Small) Full(World world)
    {
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember big = tenant.CreateMember("big");
        MemoryMember small = tenant.CreateMember("small");
        big.Charge(700);
        small.Charge(300);
        return (tenant, big, small);
    }

    private sealed class Unreadable : IReadOnlyList<OomCandidate>
    {
        public int Count => throw new InvalidOperationException("broken");

        public OomCandidate this[int index] => throw new InvalidOperationException("broken");

        public IEnumerator<OomCandidate> GetEnumerator() => throw new InvalidOperationException("broken");

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
