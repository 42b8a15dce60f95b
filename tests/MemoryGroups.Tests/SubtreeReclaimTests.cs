// Who is asked for how much, in which order, and what becomes of reclaimers that throw, hang, lie or are busy.
namespace MemoryGroups.Tests;

public sealed class SubtreeReclaimTests
{
    [Fact]
    public void Larger_user_is_asked_for_the_larger_share()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        ScriptedReclaimer small = Cache(tenant.CreateGroup("small"), 200);
        ScriptedReclaimer large = Cache(tenant.CreateGroup("large"), 700);

        Assert.True(world.Charge(tenant.CreateMember("m"), 190).Granted);

        Assert.InRange(large.Calls.Sum(call => call.Bytes), 100, 190);
        Assert.True(large.Calls.Sum(call => call.Bytes) > 2 * small.Calls.Sum(call => call.Bytes));
        Assert.All(large.Calls, call => Assert.Equal(ReclaimReason.Max, call.Reason));
    }

    [Fact]
    public void Cheap_reclaimer_is_asked_first()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        var order = new List<string>();
        foreach ((string name, int cost) in (ReadOnlySpan<(string, int)>)[("dear", 5), ("cheap", -5), ("middle", 0)])
        {
            tenant.AddReclaimer(new Costly(name, cost, order));
        }

        Assert.True(tenant.CreateMember("hog").TryCharge(1000));
        world.Charge(tenant.CreateMember("m"), 10);

        Assert.Equal(["cheap", "middle", "dear"], order.Take(3));
    }

    [Fact]
    public void Reclaimer_that_throws_is_noted_and_the_next_one_is_asked()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        tenant.AddReclaimer(new ScriptedReclaimer("bad", _ => throw new InvalidOperationException("broken")));
        Cache(tenant.CreateGroup("good"), 950);

        Pending charge = world.Charge(tenant.CreateMember("m"), 100);

        Assert.True(charge.Granted);
        Assert.Equal(0, tenant.Events.Current.OomKill);
    }

    [Fact]
    public void Reclaimer_that_hangs_costs_its_deadline_and_is_not_called_again_before_it_ends()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        var never = new TaskCompletionSource<long>();
        var hanging = new ScriptedReclaimer("hanging", (_, _) => new ValueTask<long>(never.Task));
        tenant.AddReclaimer(hanging);
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(1000));

        Pending charge = world.Charge(tenant.CreateMember("m"), 100);
        Assert.False(hog.IsKilled);
        world.Advance(TimeSpan.FromSeconds(1.1));

        // Whoever comes after it finds it busy, waits a tick for it a few times, and then has somebody killed.
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.Single(hanging.Calls);
        Assert.True(hog.IsKilled);
        Assert.Contains(
            Assert.Single(world.Root.Reports.Latest()).Tried,
            step => step.What == "hanging" && step.Outcome.StartsWith("late", StringComparison.Ordinal));
        never.SetResult(0);
        hog.Dispose();
        world.Run();
        Assert.True(charge.Granted);
    }

    [Fact]
    public void Reclaimer_that_claims_and_gives_nothing_is_not_believed_for_ever()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        var liar = new ScriptedReclaimer("liar", request => request.Bytes);
        tenant.AddReclaimer(liar);
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(1000));

        world.Charge(tenant.CreateMember("m"), 100);

        Assert.True(hog.IsKilled);
        Assert.InRange(liar.Calls.Count, 1, 3 * ChargeAttempt.MaxRounds);
    }

    [Fact]
    public void Busy_reclaimer_is_waited_for_instead_of_killing_early()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryMember cache = tenant.CreateMember("cache");
        Assert.True(cache.TryCharge(1000));
        var slow = new TaskCompletionSource<long>();
        tenant.AddReclaimer(new ScriptedReclaimer("slow", (_, _) => new ValueTask<long>(slow.Task)));
        Pending first = world.Charge(tenant.CreateMember("first"), 100);
        Pending second = world.Charge(tenant.CreateMember("second"), 100);
        world.Advance(TimeSpan.FromMilliseconds(30));
        Assert.False(cache.IsKilled);

        cache.Uncharge(500);
        slow.SetResult(500);
        world.Advance(TimeSpan.FromMilliseconds(30));

        Assert.True(first.Granted && second.Granted);
        Assert.False(cache.IsKilled);
    }

    [Fact]
    public void Charge_counts_a_reclaimer_that_does_not_finish_on_its_thread_as_nothing_yet()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryMember cache = tenant.CreateMember("cache");
        Assert.True(cache.TryCharge(1000));
        var slow = new TaskCompletionSource<long>();
        tenant.AddReclaimer(new ScriptedReclaimer("slow", (_, _) => new ValueTask<long>(slow.Task)));
        MemoryMember member = tenant.CreateMember("m");

        MemoryLimitExceededException refused = Assert.Throws<MemoryLimitExceededException>(() => member.Charge(10));

        Assert.Contains("slow", refused.Message, StringComparison.Ordinal);
        Assert.False(cache.IsKilled);
        slow.SetResult(0);
    }

    [Fact]
    public void Reclaimer_that_was_taken_out_is_not_asked()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        var gone = new ScriptedReclaimer("gone", _ => 0);
        var first = new ScriptedReclaimer("first", _ => 0);
        IDisposable registration = tenant.AddReclaimer(gone);
        tenant.AddReclaimer(first);
        Assert.True(tenant.CreateMember("hog").TryCharge(1000));

        registration.Dispose();
        registration.Dispose();
        world.Charge(tenant.CreateMember("m"), 100);

        Assert.Empty(gone.Calls);
        Assert.NotEmpty(first.Calls);
        Assert.Equal(1, world.Root.ReclaimersInSubtree);
        tenant.Dispose();
        Assert.Equal(0, world.Root.ReclaimersInSubtree);
    }

    // What a call starts and leaves running inherits its flow, and is somebody like any other when the call is over.
    [Fact]
    public void Work_that_outlives_a_call_on_the_askers_thread_may_wait()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        ExecutionContext? flow = null;
        IDisposable registration = tenant.AddReclaimer(new ScriptedReclaimer("starts work", _ =>
        {
            flow = ExecutionContext.Capture();
            return 0;
        }));
        Assert.Throws<MemoryLimitExceededException>(() => tenant.CreateMember("m").Charge(10));
        registration.Dispose();

        Pending? asking = null;
        ExecutionContext.Run(flow!, _ => asking = FullGroup.Ask(world, tenant, 10), null);

        Assert.True(asking!.Sleeps);
        hog.Uncharge(10);
        world.Run();
        Assert.True(asking.Granted);
    }

    // Inside a reclaimer nobody waits for the memory it works for: above it and below it, and nowhere else.
    [Theory]
    [InlineData("own", true)]
    [InlineData("below", true)]
    [InlineData("beside", false)]
    public void Reclaimer_may_wait_for_memory_beside_its_own_and_not_below_it(string where, bool isReentrant)
    {
        using var world = new World();
        MemoryGroup own = world.Root.CreateGroup("own", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, own);
        MemoryGroup full = own;
        if (where != "own")
        {
            hog.Uncharge(where == "below" ? 500 : 0);
            full = (where == "below" ? own : world.Root).CreateGroup("g", FullGroup.Sleepy with { Max = 500 });
            FullGroup.Fill(world, full);
        }

        Pending? inside = null;
        using IDisposable registration = own.AddReclaimer(new ScriptedReclaimer("charges", request =>
        {
            inside ??= world.Begin(full.CreateMember("inside"), 10);
            return hog.Free(request.Bytes);
        }));

        Assert.True(FullGroup.Ask(world, own, 10).Granted);

        Assert.Equal(isReentrant, inside!.Error is MemoryLimitExceededException { Reason: ChargeRefusal.Reentrant });
    }

    [Fact]
    public void Work_that_outlives_a_call_somebody_waited_for_may_wait()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        ExecutionContext? flow = null;
        using (tenant.AddReclaimer(new ScriptedReclaimer("starts work", request =>
        {
            flow = ExecutionContext.Capture();
            return hog.Free(request.Bytes);
        })))
        {
            Assert.True(FullGroup.Ask(world, tenant, 10).Granted);
        }

        Pending? asking = null;
        ExecutionContext.Run(flow!, _ => asking = FullGroup.Ask(world, tenant, 10), null);

        Assert.True(asking!.Sleeps);
        hog.Uncharge(10);
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("T26")]
    public void Requested_reclaim_stops_at_what_was_asked_for()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("t", new MemoryGroupOptions { BatchBytes = 1 });
        Cache(tenant, 50_000_000);

        long given = world.Await(tenant.ReclaimAsync(20_000_000));

        Assert.Equal(20_000_000, given);
        Assert.Equal(30_000_000, tenant.Usage);
        Assert.Equal(0, tenant.Events.Current.Max);
        Assert.Equal(30_000_000, world.Await(tenant.ReclaimAsync(long.MaxValue)));
    }

    [Fact]
    public void Requested_reclaim_asks_nobody_any_more_when_it_is_cancelled()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("t", new MemoryGroupOptions { BatchBytes = 1 });
        Assert.True(tenant.CreateMember("m").TryCharge(1000));
        using var cancel = new CancellationTokenSource();
        var cache = new ScriptedReclaimer("cache", request => request.Bytes);
        tenant.AddReclaimer(cache);
        cancel.Cancel();

        Assert.Equal(0, world.Await(tenant.ReclaimAsync(100, cancel.Token)));

        Assert.Empty(cache.Calls);
    }

    private static MemoryGroup Tenant(World world) =>
        world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });

    private static ScriptedReclaimer Cache(MemoryGroup group, long bytes)
    {
        MemoryMember member = group.CreateMember(
            "cache", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        Assert.True(member.TryCharge(bytes));
        var cache = new ScriptedReclaimer("cache of " + group.Name, request =>
        {
            long give = Math.Min(request.Bytes, member.Usage);
            member.Uncharge(give);
            return give;
        });
        group.AddReclaimer(cache);
        return cache;
    }

    private sealed class Costly(string name, int cost, List<string> order) : MemoryReclaimer(name)
    {
        public override int Cost => cost;

        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
        {
            order.Add(Name);
            return ValueTask.FromResult(0L);
        }
    }
}
