// Bugs that the memory controllers before us had, told in a sentence each and replayed here: owning and waiting.
namespace MemoryGroups.Tests;

public sealed partial class HistoricalBugTests
{
    private const long MiB = 1 << 20;

    // The lock was a counter once: as long as anybody arrived before the last one had left, it never reached zero, so
    // nobody was the owner and nobody was killed.
    [Fact]
    [Requirement("B01")]
    public void Convoy_of_growers_in_one_group_is_thinned_at_least_every_second_until_it_fits()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions
        {
            Max = 200 * MiB,
            WaitTimeout = Timeout.InfiniteTimeSpan,
        });
        var turns = new Queue<TaskCompletionSource>();
        var kills = new List<TimeSpan>();
        long start = world.Time.GetTimestamp();
        async Task GrowAsync(MemoryMember member)
        {
            // A victim takes half a second to leave.
            member.Killed.UnsafeRegister(_ =>
            {
                kills.Add(world.Time.GetElapsedTime(start));
                world.Time.CreateTimer(
                    _ => member.Dispose(), null, TimeSpan.FromMilliseconds(500), Timeout.InfiniteTimeSpan);
            }, null);
            for (int grown = 0; grown < 10; grown++)
            {
                await member.ChargeAsync(MiB);
                var turn = new TaskCompletionSource();
                turns.Enqueue(turn);
                await turn.Task;
            }
        }

        Task[] growing = [.. Enumerable.Range(0, 120).Select(i => GrowAsync(tenant.CreateMember($"grower{i}")))];
        for (int tenths = 0; tenths < 2000 && !Array.TrueForAll(growing, static one => one.IsCompleted); tenths++)
        {
            while (turns.TryDequeue(out TaskCompletionSource? turn))
            {
                turn.SetResult();
                world.Run();
            }

            world.Advance(TimeSpan.FromMilliseconds(100));
        }

        int finished = growing.Count(static one => one.IsCompletedSuccessfully);
        Assert.All(growing, static one =>
            Assert.True(one.IsCompletedSuccessfully || one.Exception!.InnerException is OomKilledException));
        Assert.Equal(120, finished + growing.Count(static one => one.IsFaulted));
        TimeSpan previous = TimeSpan.Zero;
        Assert.All(kills, at =>
        {
            Assert.InRange(at - previous, TimeSpan.Zero, TimeSpan.FromSeconds(1));
            previous = at;
        });
        Assert.InRange(tenant.Members.Sum(static member => member.Usage), 150 * MiB, 200 * MiB);
        Assert.Equal(0, world.Root.WaitingCharges);
        world.AssertQuiet(leftAtRoot: tenant.Usage);
    }

    // A sleeper compared a number of wake-ups that the waker raised only after waking: it looked in between, saw no
    // change and slept on.
    [Theory]
    [Requirement("B05")]
    [InlineData("before the sleep")]
    [InlineData("between reason and delivery")]
    public void Waiter_that_looks_between_the_two_steps_of_its_waker_gets_its_bytes(string when)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        bool early = when == "before the sleep";
        if (early)
        {
            // The reason is set and the delivery is posted; only then the waiter goes to sleep.
            world.Once(ProbePoint.BeforeSleep, () => hog.Uncharge(100));
        }

        Pending asking = world.Begin(tenant.CreateMember("asker"), 100);
        if (!early)
        {
            hog.Uncharge(100);
        }

        // The waker stands still until the waiter's deadline is over: the reason that was set first must hold.
        Assert.True(asking.Sleeps);
        Assert.Equal(1, world.PostedCount);
        world.Once(ProbePoint.WakeDelivered, () => world.Time.Advance(tenant.WaitTimeout));
        world.Run();

        Assert.True(asking.Granted);
        world.AssertQuiet(leftAtRoot: 1000);
    }

    // The charge waited with its caller's locks held, and the victim needed one of them to finish: both for ever.
    [Theory]
    [Requirement("B06")]
    [InlineData("TryCharge", 0)]
    [InlineData("Charge", 0)]
    [InlineData("ChargeAsync", 4)]
    public void Charge_made_under_a_lock_that_the_victim_needs_ends_and_so_does_the_victim(string how, int seconds)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember victim = FullGroup.Fill(world, tenant);
        MemoryMember holder = tenant.CreateMember("holder");
        var appLock = new AppLock();
        victim.Killed.UnsafeRegister(_ => appLock.Enter(() =>
        {
            victim.Dispose();
            appLock.Exit();
        }), null);
        Pending? refused = null;
        appLock.Enter(() => { });
        if (how == "ChargeAsync")
        {
            refused = world.Charge(holder, 100);
            Assert.True(refused.Sleeps);
        }
        else
        {
            FullGroup.Ask(world, tenant, 50);
            Exception? error = Record.Exception(() =>
            {
                if (how == "Charge")
                {
                    holder.Charge(100);
                }
                else
                {
                    Assert.False(holder.TryCharge(100));
                }
            });
            Assert.Equal(how == "Charge", error is MemoryLimitExceededException);
        }

        Assert.True(victim.IsKilled && !victim.IsExited);
        world.Advance(TimeSpan.FromSeconds(seconds));
        refused?.Failed<MemoryLimitExceededException>();
        appLock.Exit();
        world.Run();

        Assert.True(victim.IsExited);
        Assert.True(FullGroup.Ask(world, tenant, 900).Granted);
        Assert.Equal(0, world.Root.WaitingCharges);
    }

    // Somebody failed in the middle of an OOM, its caller coped, and the group stayed locked for the next one.
    [Theory]
    [Requirement("B07")]
    [InlineData(ChargeRefusal.NoVictim)]
    [InlineData(ChargeRefusal.TimedOut)]
    [InlineData(ChargeRefusal.KillerDisabled)]
    public void Refusal_that_the_caller_ignores_leaves_no_lock_and_the_next_charge_elsewhere_works(ChargeRefusal how)
    {
        using var world = new World();
        bool sleepy = how == ChargeRefusal.TimedOut;
        MemoryGroup full = world.Root.CreateGroup(
            "full", new MemoryGroupOptions { Max = 1000, KillDisabled = sleepy });
        MemoryGroup other = world.Root.CreateGroup("other", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, full);
        hog.OomScoreAdjustment = how == ChargeRefusal.NoVictim ? MemoryMember.NeverKill : 0;
        if (how == ChargeRefusal.KillerDisabled)
        {
            Assert.True(world.Await(world.Root.OomKiller.DisableAsync(TimeSpan.Zero)));
        }

        Pending ignored = FullGroup.Ask(world, full, 100);
        world.Advance(sleepy ? full.WaitTimeout : TimeSpan.Zero);
        Assert.Equal(how, ignored.Failed<MemoryLimitExceededException>().Reason);

        Assert.Null(full.OomLock.Holder);
        Assert.False(full.Oom.UnderOom);
        world.Root.OomKiller.Enable();
        Assert.True(FullGroup.Ask(world, other, 1000).Granted);
        hog.OomScoreAdjustment = 0;
        full.Oom.KillDisabled = false;
        Pending next = FullGroup.Ask(world, full, 100);
        Assert.True(hog.IsKilled);
        hog.Dispose();
        world.Run();
        Assert.True(next.Granted);
        world.AssertQuiet(leftAtRoot: 1100);
    }

    // The holder of the kill lock ran callbacks that slept, and everybody else went round a trylock for as long.
    [Fact]
    [Requirement("B16")]
    public void Nobody_sleeps_or_hands_over_while_the_kill_lock_is_held()
    {
        using var world = new World(10_000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 4000 });
        var never = new TaskCompletionSource<long>();
        tenant.AddReclaimer(new ScriptedReclaimer("hangs", (_, _) => new ValueTask<long>(never.Task)));
        world.Root.AddLastResortReclaimer(
            new ScriptedReclaimer("hangs too", (_, _) => new ValueTask<long>(never.Task)));
        MemoryMember[] hogs = [.. Enumerable.Range(0, 4).Select(i => tenant.CreateMember($"hog{i}"))];
        Array.ForEach(hogs, hog => Assert.True(hog.TryCharge(1000)));
        MemoryMember outside = world.Root.CreateMember("outside");
        Assert.True(outside.TryCharge(6000));
        Pending[] asking =
        [
            .. Enumerable.Range(0, 10).Select(i => world.Begin(tenant.CreateMember($"asker{i}"), 300)),
            .. Enumerable.Range(0, 10).Select(i => world.Begin(world.Root.CreateMember($"global{i}"), 300)),
        ];

        int steps = 0;
        for (int tenths = 0; tenths < 400; tenths++)
        {
            while (world.RunOne())
            {
                steps++;
                Assert.False(world.Root.KillLock.IsHeld, "held across a hand-over");
            }

            world.Time.Advance(TimeSpan.FromMilliseconds(100));
            Assert.False(world.Root.KillLock.IsHeld, "held while time passes");
            foreach (MemoryMember gone in hogs.Append(outside).Where(static one => one.IsKilled))
            {
                gone.Dispose();
            }
        }

        Assert.True(steps > 100, "too few hand-overs to mean anything");
        Assert.All(asking, static one => Assert.False(one.Sleeps));
        never.SetResult(0);
    }

    // A lock of the application, of which the library knows nothing.
    private sealed class AppLock
    {
        private readonly Queue<Action> _waiting = new();
        private bool _held;

        public void Enter(Action then)
        {
            if (_held)
            {
                _waiting.Enqueue(then);
                return;
            }

            _held = true;
            then();
        }

        public void Exit()
        {
            _held = _waiting.TryDequeue(out Action? next);
            next?.Invoke();
        }
    }
}
