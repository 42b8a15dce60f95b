// What users of other memory governors complained about in public, shown not to happen here: locks, queues and code of
// the user's that comes back to us. Each test names the report that it answers.
namespace MemoryGroups.Tests;

public sealed partial class ComplaintTests
{
    // ClickHouse#82160, #82157, #41467, #39030: a kill, a cancellation or a log line under the trackers' locks blocked
    // on something that wanted the same locks.
    [Fact]
    [Requirement("C05")]
    public void C05_every_kind_of_user_code_runs_without_a_lock_and_may_call_back()
    {
        using var world = new World(10_000, static options => options with { PanicOnOom = OomPanic.Always });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 4000 });
        var watch = new LockWatch(world.Root);
        tenant.AddReclaimer(new ScriptedReclaimer("ordinary", _ => watch.Check("reclaimer")));
        world.Root.AddLastResortReclaimer(new ScriptedReclaimer("last", _ => watch.Check("last resort")));
        tenant.AddReclaimer(new ScriptedReclaimer("late", (_, token) =>
        {
            token.Register(() => watch.Check("cancellation of what is late"));
            return new ValueTask<long>(new TaskCompletionSource<long>().Task);
        }));
        tenant.Oom.Handler = new ScriptedHandler((_, _) =>
        {
            watch.Check("handler");
            return ValueTask.FromResult(OomDecision.Decline);
        });
        tenant.Oom.Policy = new ScriptedPolicy(scene =>
        {
            watch.Check("policy");
            return [.. scene.Candidates().Select(static one => new OomCandidate(one, one.Usage, "in order"))];
        });
        world.Root.Panicking = _ => watch.Check("panic");
        MemoryMember hog = tenant.CreateMember("hog");
        hog.Killed.Register(() => watch.Check("kill"));
        hog.Space.AddReapable(new CheckedMemory(hog.Lease(4000), () => watch.Check("reaping")));
        async Task AskAsync(MemoryMember member, long bytes)
        {
            await member.ChargeAsync(bytes);
            watch.Check("continuation");
        }

        Task first = AskAsync(tenant.CreateMember("asker"), 100);
        world.Run();
        Assert.Throws<MemoryLimitExceededException>(() => tenant.CreateMember("sync").Charge(100));
        world.Advance(TimeSpan.FromSeconds(10));
        Assert.True(first.IsCompletedSuccessfully);
        world.Root.CreateMember("outside").Charge(world.Root.Capacity - world.Root.Usage);
        _ = AskAsync(world.Root.CreateMember("global"), 100);
        world.Advance(TimeSpan.FromSeconds(10));

        Assert.Empty(watch.Wrong);
        Assert.Equal(
            [
                "cancellation of what is late", "continuation", "handler", "kill", "last resort", "panic", "policy",
                "reaping", "reclaimer",
            ],
            watch.Ran.Order(StringComparer.Ordinal));
    }

    // velox#15637, #15431: 8 MB wanted, 7.98 MB free, and behind it a request for 1 MB that waited for the time-out.
    [Fact]
    [Requirement("C06")]
    public void C06_small_request_behind_a_blocked_huge_one_is_granted()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = 16_000, KillDisabled = true });
        MemoryMember hog = FullGroup.Fill(world, tenant);
        Pending huge = FullGroup.Ask(world, tenant, 8000);
        Pending small = FullGroup.Ask(world, tenant, 1000);
        hog.Uncharge(7980);
        world.Run();
        Assert.True(small.Granted);
        Assert.True(huge.Sleeps);
        MemoryMember busy = tenant.CreateMember("busy");
        Assert.True(busy.TryCharge(1000));

        // But not for ever: after many that passed, the huge one is next, and what comes back adds up for it.
        for (int passed = 0; passed <= OomRequest.PassesBeforeAged; passed++)
        {
            busy.Uncharge(1000);
            Assert.True(busy.TryCharge(1000));
        }

        world.Advance(tenant.WaitTimeout / 4);
        busy.Uncharge(1000);
        Pending late = FullGroup.Ask(world, tenant, 1000);
        Assert.True(late.Sleeps);
        hog.Uncharge(1020);
        world.Run();
        Assert.True(huge.Granted);
        hog.Uncharge(1000);
        world.Run();
        Assert.True(late.Granted);
    }

    // velox#13631, #18118; gluten#9846, #7800, #7161, #6622, #6477: reclaim waited for a task that waited for reclaim.
    [Fact]
    [Requirement("C07")]
    public void C07_reclaimer_that_waits_for_a_waiting_charge_costs_one_deadline_and_is_named()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        Pending task = FullGroup.Ask(world, tenant, 500);
        var pausing = new ScriptedReclaimer("pauses its task", async (_, _) =>
        {
            await task.Task.ConfigureAwait(false);
            return 1;
        });
        tenant.AddReclaimer(pausing);
        Pending unlucky = FullGroup.Ask(world, tenant, 200);
        Pending another = FullGroup.Ask(world, tenant, 100);
        Assert.True(task.Sleeps && unlucky.Sleeps && another.Sleeps);

        // After the deadline of the step they are in the queue as if it were not there.
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(3, world.Root.WaitingCharges);
        hog.Uncharge(100);
        world.Run();
        Assert.True(another.Granted);
        Assert.Single(pausing.Calls);

        world.Advance(tenant.WaitTimeout);
        Assert.Contains(
            "pauses its task gave 0 (late, and charges wait for memory here: it may be waiting for one of them)",
            unlucky.Failed<MemoryLimitExceededException>().Message, StringComparison.Ordinal);
    }

    // velox#9734, #6625: the mark "this is reclaim" was the thread's, and was lost in a pool; or one operator charged
    // what another one owns.
    [Fact]
    [Requirement("C08")]
    public void C08_flag_of_a_charge_made_for_reclaim_travels_in_the_call_on_any_thread()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember cache = FullGroup.Fill(world, tenant);
        MemoryMember spill = tenant.CreateMember("spill");
        Exception? refused = null;
        var spilling = new ScriptedReclaimer("spills", request =>
        {
            // A pool that carries nothing of ours along.
            using AsyncFlowControl nothing = ExecutionContext.SuppressFlow();
            var worker = new Thread(() =>
                refused = Record.Exception(() => spill.Charge(50, ChargeFlags.FromReclaim)))
            { IsBackground = true };
            worker.Start();
            Assert.True(worker.Join(TimeSpan.FromSeconds(30)), "the charge waits");
            cache.Uncharge(request.Bytes + 50);
            return request.Bytes + 50;
        });
        tenant.AddReclaimer(spilling);

        Assert.True(FullGroup.Ask(world, tenant, 100).Granted);

        Assert.Null(refused);
        Assert.Single(spilling.Calls);
        Assert.Equal(50, spill.Usage);
        Assert.Equal(0, tenant.Events.Current.Oom);

        // Nothing stays behind on a thread: without the flag the next charge is an ordinary one.
        Assert.False(spill.TryCharge(tenant.Max - tenant.Usage + 1));
    }

    // apache/spark#24269 (SPARK-27341), #36680 (SPARK-39283); apache/auron#1803: a consumer's lock and the memory
    // manager's were taken in both orders. Ours is not held while the consumer takes his.
    [Theory]
    [Requirement("C20")]
    [InlineData("reclaimer of Charge")]
    [InlineData("reclaimer of ChargeAsync")]
    [InlineData("last resort")]
    [InlineData("handler")]
    public void C20_consumer_that_waits_for_its_own_lock_is_not_in_the_way_of_who_holds_it(string who)
    {
        using var world = new World(2000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember cache = FullGroup.Fill(world, tenant);
        MemoryMember outside = world.Root.CreateMember("outside");
        Assert.True(outside.TryCharge(1000));
        Exception? wrong = null;
        void WaitForTheOther()
        {
            // The other thread has the consumer's lock and, holding it, wants everything of ours.
            var other = new Thread(() => wrong = Record.Exception(() => UseEverything(tenant, cache)))
            {
                IsBackground = true,
            };
            other.Start();
            wrong = other.Join(TimeSpan.FromSeconds(30)) ? wrong : new TimeoutException("it waits for a lock of ours");
        }

        var consumer = new ScriptedReclaimer("consumer", _ =>
        {
            WaitForTheOther();
            return 50;
        });
        MemoryMember asker = tenant.CreateMember("asker");
        switch (who)
        {
            case "handler":
                tenant.Oom.Handler = new ScriptedHandler((_, _) =>
                {
                    WaitForTheOther();
                    return ValueTask.FromResult(OomDecision.Freed);
                });
                break;
            case "last resort":
                world.Root.AddLastResortReclaimer(consumer);
                asker = world.Root.CreateMember("asker");
                break;
            default:
                tenant.AddReclaimer(consumer);
                break;
        }

        if (who == "reclaimer of Charge")
        {
            asker.Charge(50);
        }
        else
        {
            Assert.True(world.Charge(asker, 50).Granted);
        }

        Assert.Null(wrong);
        Assert.Equal(1000, tenant.Usage + (asker.Group == tenant ? 0 : 50));
        Assert.False(cache.IsKilled || outside.IsKilled);
    }

    private static void UseEverything(MemoryGroup tenant, MemoryMember cache)
    {
        cache.Uncharge(100);
        Assert.True(cache.TryCharge(50));
        using MemoryGroup group = tenant.CreateGroup("new");
        group.CreateMember("m").Dispose();
        group.AddReclaimer(new ScriptedReclaimer("none", static _ => 0)).Dispose();
        tenant.Max = 1001;
        Assert.False(tenant.GetStatistics().UsageBytes > 1001);
        Assert.NotNull(tenant.Root.Reports.Latest());
    }

    // What user code throws is swallowed, so what is wrong is noted. Answers 0, as a reclaimer that has nothing.
    private sealed class LockWatch(MemoryRoot root)
    {
        private readonly MemoryGroup _scratch = root.CreateGroup("scratch");

        public HashSet<string> Ran { get; } = [];

        public List<string> Wrong { get; } = [];

        public long Check(string kind)
        {
            if (root.Guard.IsHeldByCurrentThread || root.KillLock.IsHeld)
            {
                Wrong.Add(kind);
            }

            // Once for each kind: a group that closes wakes who waits, and that leads here again.
            if (!Ran.Add(kind))
            {
                return 0;
            }

            using MemoryGroup group = _scratch.CreateGroup("g");
            using MemoryMember member = group.CreateMember("m");
            member.Kill("test");
            group.Max = 100;
            return 0;
        }
    }

    private sealed class CheckedMemory(MemoryCharge charge, Func<long> whenReaped) : ReapableMemory(charge)
    {
        protected internal override bool TryFree()
        {
            whenReaped();
            return true;
        }
    }
}
