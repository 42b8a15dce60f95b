// Bugs that the memory controllers before us had, told in a sentence each and replayed here: choosing, killing and
// reaping.
namespace MemoryGroups.Tests;

public sealed partial class HistoricalBugTests
{
    // On one CPU the charger went round its reclaim, each time with a little success, and the victim never ran.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("B17")]
    public void Three_growers_on_one_worker_end_with_or_without_a_boasting_reclaimer(bool boasts)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 100_000 });
        if (boasts)
        {
            tenant.AddReclaimer(new ScriptedReclaimer("boasts", static request => request.Bytes));
        }

        var turns = new Queue<TaskCompletionSource>();
        async Task GrowAsync(MemoryMember member)
        {
            try
            {
                for (int page = 0; page < 40; page++)
                {
                    await member.ChargeAsync(1000);
                    var turn = new TaskCompletionSource();
                    turns.Enqueue(turn);
                    await turn.Task;
                }
            }
            finally
            {
                member.Dispose();
            }
        }

        // One queue, one worker: what the charger does not let run does not run.
        Task[] growing = [.. Enumerable.Range(0, 3).Select(i => GrowAsync(tenant.CreateMember($"grower{i}")))];
        while (turns.TryDequeue(out TaskCompletionSource? turn))
        {
            turn.SetResult();
            world.Run();
        }

        Assert.All(growing, static one => Assert.True(one.IsCompleted));
        Assert.Equal(2, growing.Count(static one => one.IsCompletedSuccessfully));
        Task killed = Assert.Single(growing, static one => one.IsFaulted);
        Assert.IsType<OomKilledException>(killed.Exception?.InnerException);
        Assert.Equal(1, tenant.Events.Current.OomKill);
        world.AssertQuiet();
    }

    // Suspending the machine disabled the killer while a kill was half done, and the victim ran on into the freeze.
    [Theory]
    [Requirement("B24")]
    [InlineData(ProbePoint.BeforeKillLock, false)]
    [InlineData(ProbePoint.VictimChosen, true)]
    [InlineData(ProbePoint.KillSent, true)]
    [InlineData(ProbePoint.KillReturned, true)]
    [InlineData(ProbePoint.Released, true)]
    internal void Killer_that_is_disabled_in_the_middle_of_a_kill_is_off_when_that_says_so(
        ProbePoint point, bool killed)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, tenant);
        Task<bool>? disabling = null;
        world.Once(point, () =>
        {
            disabling = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(20)).AsTask();
        });

        FullGroup.Ask(world, tenant, 100);
        Assert.Equal(killed, hog.IsKilled);
        Assert.Equal(!killed, disabling!.IsCompleted);

        // Reaped and hidden, but not gone: it may still run, so the killer is not off yet.
        world.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(!killed, disabling.IsCompleted);
        if (killed)
        {
            hog.Dispose();
            world.Run();
        }

        Assert.True(disabling.IsCompletedSuccessfully);
        Assert.True(world.Root.OomKiller.IsDisabled);
        world.Trace.Clear();
        MemoryMember next = tenant.CreateMember("next");
        Assert.True(next.TryCharge(tenant.Max - tenant.Usage));
        FullGroup.Ask(world, tenant, 100).Failed<MemoryLimitExceededException>();
        world.Advance(TimeSpan.FromSeconds(10));
        Assert.DoesNotContain(ProbePoint.VictimChosen, world.Trace);
        Assert.DoesNotContain(ProbePoint.BeforeReap, world.Trace);
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
    }

    // Every thread of every victim could take all of the reserve, and then nobody could finish.
    [Fact]
    [Requirement("B26")]
    public void Many_victims_together_leave_half_of_the_reserve_at_the_root()
    {
        using var world = new World(100_000, static options => options with
        {
            MinWatermarkBytes = 10_000,
            OomReserveBytes = 100_000,
        });
        MemoryGroup doomed = world.Root.CreateGroup("doomed", new MemoryGroupOptions { KillWholeGroup = true });
        MemoryMember[] victims = [.. Enumerable.Range(0, 50).Select(i => doomed.CreateMember($"victim{i}"))];
        Assert.All(victims, static one => Assert.True(one.TryCharge(1800)));
        Assert.NotNull(world.Await(world.Root.OomKiller.KillNowAsync()));

        int granted = 0;
        for (bool any = true; any;)
        {
            any = false;
            foreach (MemoryMember victim in victims)
            {
                if (world.Charge(victim, 7).Granted)
                {
                    any = true;
                    granted++;
                    Assert.True(world.Root.Usage <= 95_000, $"{100_000 - world.Root.Usage} bytes of 10,000 are left");
                }
            }
        }

        Assert.Equal(5000 / 7, granted);
    }

    // "There was an OOM a moment ago" decided who was allowed to kill: under load every moment was one.
    [Theory]
    [Requirement("B29")]
    [InlineData(0, 86_400)]
    [InlineData(4000, 0)]
    [InlineData(-4000, 0)]
    [InlineData(-1, 3600)]
    public void Decisions_are_the_same_whatever_the_wall_clock_says_and_however_recent_the_last_was(
        int jumpDays, int gapSeconds)
    {
        (List<ProbePoint> Trace, List<string> Ends) steady = ThreeOoms(0, 0);
        Assert.Equal(3, steady.Trace.Count(static point => point == ProbePoint.VictimChosen));

        (List<ProbePoint> Trace, List<string> Ends) other = ThreeOoms(jumpDays, gapSeconds);

        Assert.Equal(steady.Trace, other.Trace);
        Assert.Equal(steady.Ends, other.Ends);
    }

    // A scan of 56,000 candidates kept its CPU for seconds.
    [Fact]
    [Requirement("B31")]
    public void Selection_among_many_members_lets_others_work_in_between()
    {
        using var world = new World();
        MemoryGroup crowd = world.Root.CreateGroup("crowd", new MemoryGroupOptions { Max = 560_000 });
        for (int i = 0; i < 56_000; i++)
        {
            Assert.True(crowd.CreateMember("m").TryCharge(10));
        }

        MemoryGroup other = world.Root.CreateGroup("other", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, other);
        int turns = 0;
        for (int turn = 0; turn < 3; turn++)
        {
            world.Once(ProbePoint.ScanYields, () =>
            {
                Assert.True(world.Root.KillLock.IsHeld, "it is the selection that scans");

                // Whole charges, sleeps and wakes of others, and members that come and go where it scans.
                Pending waits = FullGroup.Ask(world, other, 10);
                Assert.True(waits.Sleeps);
                hog.Uncharge(10);
                world.Run();
                Assert.True(waits.Granted);
                crowd.CreateMember("passes by").Dispose();
                turns++;
            });
        }

        Pending asking = FullGroup.Ask(world, crowd, 10);

        Assert.Equal(3, turns);
        Assert.Equal(1, crowd.Events.Current.OomKill);
        Assert.True(asking.Sleeps);
    }

    private static (List<ProbePoint> Trace, List<string> Ends) ThreeOoms(int jumpDays, int gapSeconds)
    {
        using var world = new World(100_000, options => options with
        {
            TimeProvider = new JumpingClock(options.TimeProvider, TimeSpan.FromDays(jumpDays)),
        });
        var ends = new List<string>();
        for (int i = 0; i < 3; i++)
        {
            // The last one is the root's.
            MemoryGroup tenant = world.Root.CreateGroup(
                $"tenant{i}", new MemoryGroupOptions { Max = i == 2 ? long.MaxValue : 1000 });
            MemoryMember hog = tenant.CreateMember("hog");
            Assert.True(hog.TryCharge(i == 2 ? world.Root.Capacity - world.Root.Usage : 1000));
            Pending first = FullGroup.Ask(world, tenant, 100);
            Pending second = FullGroup.Ask(world, tenant, 100);
            world.Advance(TimeSpan.FromSeconds(1));
            ends.Add($"{hog.IsKilled} {first.Sleeps} {second.Sleeps}");
            hog.Dispose();
            world.Run();
            ends.Add($"{first.Granted} {second.Granted} {tenant.Usage}");
            ends.Add($"{world.Root.Reports.Latest(1)[0].TookMilliseconds}");
            world.Advance(TimeSpan.FromSeconds(gapSeconds));
        }

        return (world.Trace, ends);
    }

    // Time passes as the inner one says; the calendar is somewhere else at every look.
    private sealed class JumpingClock(TimeProvider inner, TimeSpan jump) : TimeProvider
    {
        private int _looks;

        public override long TimestampFrequency => inner.TimestampFrequency;

        public override DateTimeOffset GetUtcNow() => inner.GetUtcNow() + (jump * (++_looks % 3));

        public override long GetTimestamp() => inner.GetTimestamp();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            inner.CreateTimer(callback, state, dueTime, period);
    }
}
