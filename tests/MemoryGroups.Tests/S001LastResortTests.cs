// S001, the chain of last-resort reclaimers: one run at a time, under no lock, shared by all who came while it ran.
namespace MemoryGroups.Tests;

public sealed class S001LastResortTests
{
    [Fact]
    [Requirement("S001-1")]
    [Requirement("S001-2")]
    [Requirement("T72")]
    [Requirement("D3")]
    public void Sleeping_reclaimer_stops_nobody_else()
    {
        using var world = new World(2000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryGroup small = world.Root.CreateGroup("small", new MemoryGroupOptions { Max = 500 });
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember asker = tenant.CreateMember("asker");
        MemoryMember filling = small.CreateMember("filling");
        MemoryMember other = small.CreateMember("other");
        Assert.True(world.Charge(filling, 500).Granted);
        Assert.True(world.Charge(hog, 1500).Granted);
        var gate = new TaskCompletionSource();
        using IDisposable registered = world.Root.AddLastResortReclaimer(new ScriptedReclaimer("sleeps", async (_, _) =>
        {
            await gate.Task;
            hog.Uncharge(300);
            return 300;
        }));

        Pending waiting = world.Charge(asker, 200);
        Assert.False(world.Root.KillLock.IsHeld);

        // A group's OOM elsewhere needs the kill lock and gets it.
        Pending elsewhere = world.Charge(other, 100);
        Assert.True(filling.IsKilled);
        filling.Dispose();
        gate.SetResult();
        world.Run();

        Assert.True(elsewhere.Granted);
        Assert.True(waiting.Granted);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    public void Who_was_helped_by_the_chain_is_not_known_as_a_sleeper_any_more()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        using IDisposable registered = world.Root.AddLastResortReclaimer(
            new ScriptedReclaimer("cache", request => hog.Free(request.Bytes)));

        Assert.True(world.Charge(asker, 200).Granted);

        Assert.Equal(0, asker.Waiters?.Count ?? 0);
    }

    [Fact]
    [Requirement("S001-6")]
    [Requirement("S001-15")]
    public void Chain_is_asked_for_the_request_and_its_bytes_are_in_the_report_when_they_do_not_do()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var first = new ScriptedReclaimer("first", static _ => 0);
        var second = new ScriptedReclaimer("second", static _ => 0);
        using IDisposable one = world.Root.AddLastResortReclaimer(first);
        using IDisposable two = world.Root.AddLastResortReclaimer(second);

        world.Charge(asker, 200);

        ReclaimRequest request = Assert.Single(first.Calls);
        Assert.Equal(new ReclaimRequest(world.Root, 200, ReclaimReason.LastResort), request);
        Assert.Single(second.Calls);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(["first (last resort)", "second (last resort)"], report.Tried.Select(static step => step.What));
        Assert.True(hog.IsKilled);
    }

    [Fact]
    [Requirement("S001-15")]
    public void Ordinary_reclaimers_come_before_the_chain()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var order = new List<string>();
        using IDisposable last = world.Root.AddLastResortReclaimer(new ScriptedReclaimer("chain", _ =>
        {
            order.Add("chain");
            return 0;
        }));
        using IDisposable ordinary = hog.Group.AddReclaimer(new ScriptedReclaimer("cache", _ =>
        {
            order.Add("cache");
            return 0;
        }));

        world.Charge(asker, 200);

        Assert.Equal("cache", order[0]);
        Assert.Equal("chain", order[^1]);
        Assert.True(hog.IsKilled);
    }

    [Fact]
    [Requirement("S001-7")]
    [Requirement("T71")]
    public void Killed_while_waiting_for_the_chain_leaves_at_once_and_runs_nothing()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember first) = Full(world);
        MemoryMember second = first.Group.CreateMember("second");
        var gate = new TaskCompletionSource<long>();
        var chain = new ScriptedReclaimer("blocks", (_, _) => new ValueTask<long>(gate.Task));
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);
        Pending running = world.Charge(first, 200);
        Pending sharing = world.Charge(second, 200);

        second.Kill("asked for");
        world.Run();

        sharing.Failed<OomKilledException>();
        Assert.Single(chain.Calls);
        Assert.False(hog.IsKilled);
        Assert.True(running.Sleeps);
        second.Dispose();
        hog.Uncharge(500);
        gate.SetResult(500);
        world.Run();
        Assert.True(running.Granted);
        world.AssertQuiet(leftAtRoot: 700);
    }

    [Fact]
    [Requirement("S001-7")]
    public void Dead_asker_does_not_start_the_chain()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var chain = new ScriptedReclaimer("cache", static _ => 0);
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);
        asker.Kill("its client went away");

        world.Charge(asker, 200).Failed<OomKilledException>();

        Assert.Empty(chain.Calls);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    [Requirement("S001-16")]
    [Requirement("S001-18")]
    public void Runner_that_gives_up_leaves_its_run_to_those_who_share_it()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember first) = Full(world);
        MemoryMember second = first.Group.CreateMember("second");
        var gate = new TaskCompletionSource();
        var chain = new ScriptedReclaimer("blocks", async (_, _) =>
        {
            await gate.Task;
            hog.Uncharge(400);
            return 400;
        });
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);
        using var cancel = new CancellationTokenSource();
        Pending running = world.Charge(first, 200, cancel: cancel.Token);
        Pending sharing = world.Charge(second, 200);

        cancel.Cancel();
        world.Run();
        running.Failed<OperationCanceledException>();
        Assert.False(hog.IsKilled);
        Assert.True(sharing.Sleeps);
        gate.SetResult();
        world.Run();

        Assert.True(sharing.Granted);
        Assert.False(hog.IsKilled);
        Assert.Single(chain.Calls);
        world.AssertQuiet(leftAtRoot: 800);
    }

    [Fact]
    [Requirement("S001-6")]
    [Requirement("S001-17")]
    [Requirement("D4")]
    [Requirement("M20")]
    public void Memory_freed_by_the_chain_vetoes_the_kill_of_this_round_even_when_it_is_too_little()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var killedBefore = new List<bool>();
        var chain = new ScriptedReclaimer("little", _ =>
        {
            killedBefore.Add(hog.IsKilled);
            if (killedBefore.Count > 2)
            {
                return 0;
            }

            hog.Uncharge(50);
            return 50;
        });
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);

        world.Charge(asker, 200);

        Assert.Equal([false, false, false], killedBefore);
        Assert.True(hog.IsKilled);
    }

    [Theory]
    [InlineData(ChargeFlags.None)]
    [InlineData(ChargeFlags.NoReclaim)]
    [Requirement("S001-17")]
    public void Chain_that_only_claims_to_free_is_believed_for_a_bounded_number_of_rounds(ChargeFlags flags)
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var chain = new ScriptedReclaimer("boasts", static request => request.Bytes);
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);

        Pending asking = world.Charge(asker, 200, flags);

        Assert.True(hog.IsKilled);
        Assert.InRange(chain.Calls.Count, 2, ChargeAttempt.MaxRounds);
        hog.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("S001-18")]
    [Requirement("S001-16")]
    [Requirement("B37")]
    public void Fifty_askers_share_one_run_and_nobody_dies()
    {
        using var world = new World(100_000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(world.Charge(hog, 100_000).Granted);
        var gate = new TaskCompletionSource();
        var chain = new ScriptedReclaimer("cache", async (_, _) =>
        {
            await gate.Task;
            hog.Uncharge(60_000);
            return 60_000;
        });
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);
        Pending[] asking =
            [.. Enumerable.Range(0, 50).Select(i => world.Charge(tenant.CreateMember($"asker{i}"), 1000))];

        Assert.All(asking, static one => Assert.True(one.Sleeps));
        gate.SetResult();
        world.Run();

        Assert.All(asking, static one => Assert.True(one.Granted));
        Assert.Single(chain.Calls);
        Assert.False(hog.IsKilled);
        world.AssertQuiet(leftAtRoot: 90_000);
    }

    [Fact]
    [Requirement("S001-8")]
    [Requirement("B38")]
    public void Reclaimer_that_charges_what_does_not_fit_fails_fast_and_does_not_enter_the_oom_again()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        MemoryMember spill = asker.Group.CreateMember("spill");
        Exception? inside = null;
        var chain = new ScriptedReclaimer("charges", async (_, _) =>
        {
            inside = await Record.ExceptionAsync(async () => await spill.ChargeAsync(100));
            return 0;
        });
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);

        world.Charge(asker, 200);

        Assert.Equal(ChargeRefusal.Reentrant, Assert.IsType<MemoryLimitExceededException>(inside).Reason);
        Assert.Single(chain.Calls);
        Assert.Equal(1, world.Root.Reports.Count);
        Assert.True(hog.IsKilled);
    }

    [Fact]
    [Requirement("S001-8")]
    public void Throwing_and_late_reclaimers_are_reported_and_the_rest_of_the_chain_runs()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var never = new TaskCompletionSource<long>();
        CancellationToken told = default;
        using IDisposable throws = world.Root.AddLastResortReclaimer(
            new ScriptedReclaimer("throws", static _ => throw new InvalidOperationException("broken")));
        using IDisposable late = world.Root.AddLastResortReclaimer(new ScriptedReclaimer("late", (_, token) =>
        {
            told = token;
            return new ValueTask<long>(never.Task);
        }));
        var good = new ScriptedReclaimer("good", static _ => 0);
        using IDisposable third = world.Root.AddLastResortReclaimer(good);

        Pending asking = world.Charge(asker, 200);
        Assert.Empty(good.Calls);
        Assert.False(told.IsCancellationRequested);
        world.Advance(TimeSpan.FromSeconds(1));

        Assert.True(told.IsCancellationRequested);
        Assert.Single(good.Calls);
        Assert.True(hog.IsKilled);
        Assert.Equal(
            ["threw InvalidOperationException: broken", "late", "done"],
            Assert.Single(world.Root.Reports.Latest()).Tried.Select(static step => step.Outcome));
        never.SetResult(0);
        hog.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("S001-15")]
    public void Reclaimer_whose_registration_was_disposed_is_not_asked()
    {
        using var world = new World(1000);
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var twice = new ScriptedReclaimer("twice", static _ => 0);
        IDisposable first = world.Root.AddLastResortReclaimer(twice);
        using IDisposable second = world.Root.AddLastResortReclaimer(twice);
        first.Dispose();
        first.Dispose();

        world.Charge(asker, 200);

        Assert.Single(twice.Calls);
        Assert.True(hog.IsKilled);
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
