// The reaper: when it comes, how long it tries, what it takes, and that nobody's hanging code stops it.
namespace MemoryGroups.Tests;

public sealed class OomReaperTests
{
    [Fact]
    [Requirement("T74")]
    [Requirement("B22")]
    [Requirement("M31")]
    public void Victim_is_left_alone_for_two_seconds_and_then_loses_what_it_registered()
    {
        using var world = new World();
        (MemoryMember hog, Pending asking, FakeMemory memory) = Killed(world, registered: 700);

        world.Advance(TimeSpan.FromSeconds(2) - TimeSpan.FromTicks(1));
        Assert.Equal(0, memory.Freed);
        Assert.False(hog.Space.IsUnstable);
        Assert.True(asking.Sleeps);
        world.Advance(TimeSpan.FromTicks(1));

        Assert.Equal(1, memory.Freed);
        Assert.Equal(0, memory.Charge.Bytes);
        Assert.True(hog.Space.IsUnstable);
        Assert.True(hog.Space.IsHidden);
        Assert.True(asking.Granted);
        Assert.Equal(300, hog.Usage);
        Assert.Throws<OomKilledException>(() => hog.Space.Pin());
        Assert.Throws<OomKilledException>(() => hog.Space.AddReapable(memory));
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal((OomOutcome.Reaped, 700, 2000.0), (report.Outcome, report.ReapedBytes, report.TookMilliseconds));
    }

    [Fact]
    [Requirement("T75")]
    [Requirement("B22")]
    [Requirement("M31")]
    public void Victim_that_exits_after_a_second_is_not_reaped()
    {
        using var world = new World();
        (MemoryMember hog, Pending asking, FakeMemory memory) = Killed(world, registered: 700);
        world.Advance(TimeSpan.FromSeconds(1));
        hog.Dispose();
        memory.Charge.Dispose();
        world.Run();
        Assert.True(asking.Granted);

        world.Advance(TimeSpan.FromSeconds(5));

        Assert.Equal(0, memory.Freed);
        Assert.DoesNotContain(ProbePoint.BeforeReap, world.Trace);
        Assert.Equal(OomOutcome.Exited, Assert.Single(world.Root.Reports.Latest()).Outcome);
        world.AssertQuiet(leftAtRoot: 200);
    }

    [Fact]
    [Requirement("T75")]
    [Requirement("B19")]
    [Requirement("M31")]
    public void Space_queued_several_times_is_reaped_once()
    {
        using var world = new World();
        (MemoryMember hog, _, FakeMemory memory) = Killed(world, registered: 700);
        int timers = world.Time.ArmedTimers;
        world.Root.Reaper.Queue(hog.Space);
        Assert.Equal(timers, world.Time.ArmedTimers);
        world.Advance(TimeSpan.FromSeconds(1));
        world.Root.Reaper.Queue(hog.Space);

        world.Advance(TimeSpan.FromSeconds(5));
        world.Root.Reaper.Queue(hog.Space);
        world.Advance(TimeSpan.FromSeconds(5));

        Assert.Equal(1, memory.Freed);
        Assert.Single(world.Trace, ProbePoint.BeforeReap);
        Assert.Single(world.Trace, ProbePoint.Reaped);
    }

    [Fact]
    [Requirement("M32")]
    [Requirement("M33")]
    [Requirement("B27")]
    public void Pinned_space_is_tried_ten_times_a_tenth_of_a_second_apart_and_then_hidden()
    {
        using var world = new World();
        (MemoryMember hog, Pending asking, FakeMemory memory) = Killed(world, registered: 700);
        using SpacePin pin = hog.Space.Pin();

        world.Advance(TimeSpan.FromSeconds(2.9) - TimeSpan.FromTicks(1));
        Assert.Equal(9, world.Trace.Count(static point => point == ProbePoint.BeforeReap));
        Assert.False(hog.Space.IsHidden);
        Assert.True(asking.Sleeps);
        world.Advance(TimeSpan.FromTicks(1));

        Assert.Equal(10, world.Trace.Count(static point => point == ProbePoint.BeforeReap));
        Assert.True(hog.Space.IsHidden);
        Assert.False(hog.Space.IsUnstable);
        Assert.Equal(0, memory.Freed);
        Assert.Equal(OomOutcome.NotReapable, Assert.Single(world.Root.Reports.Latest()).Outcome);
        world.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(10, world.Trace.Count(static point => point == ProbePoint.BeforeReap));
        asking.Failed<MemoryLimitExceededException>();
    }

    [Fact]
    [Requirement("M32")]
    public void Space_whose_pin_is_let_go_is_reaped_at_the_next_try()
    {
        using var world = new World();
        (MemoryMember hog, Pending asking, FakeMemory memory) = Killed(world, registered: 700);
        SpacePin pin = hog.Space.Pin();
        world.Advance(TimeSpan.FromSeconds(2.25));
        pin.Dispose();
        pin.Dispose();
        Assert.Equal(0, memory.Freed);

        world.Advance(TimeSpan.FromSeconds(0.05));

        Assert.Equal(1, memory.Freed);
        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("T74")]
    [Requirement("M32")]
    public void Memory_that_cannot_be_freed_or_throws_stays_charged_and_the_rest_is_taken()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        hog.Space.AddReapable(new FakeMemory(hog.Lease(300), static () => false));
        hog.Space.AddReapable(new FakeMemory(hog.Lease(300), static () => throw new InvalidOperationException("no")));
        hog.Space.AddReapable(new FakeMemory(hog.Lease(400), static () => true));
        Pending asking = world.Charge(tenant.CreateMember("asker"), 200);

        world.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal(600, hog.Usage);
        Assert.True(asking.Granted);
        Assert.Equal(400, Assert.Single(world.Root.Reports.Latest()).ReapedBytes);
        hog.Dispose();
        world.AssertQuiet(leftAtRoot: 200);
    }

    [Fact]
    [Requirement("B18")]
    public void Two_victims_within_a_millisecond_are_both_reaped()
    {
        using var world = new World();
        (MemoryMember first, Pending one, FakeMemory a) = Killed(world, registered: 700, name: "one");
        world.Advance(TimeSpan.FromMilliseconds(1));
        (MemoryMember second, Pending two, FakeMemory b) = Killed(world, registered: 700, name: "two");

        world.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal((1, 1), (a.Freed, b.Freed));
        Assert.True(first.Space.IsHidden && second.Space.IsHidden);
        Assert.True(one.Granted && two.Granted);
    }

    [Fact]
    [Requirement("B20")]
    public void Memory_that_hangs_while_it_is_freed_stops_neither_the_next_reap_nor_its_own_hiding()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember stuck = tenant.CreateMember("stuck");
        MemoryMember next = tenant.CreateMember("next");
        Assert.True(world.Charge(next, 400).Granted);
        (_, Pending elsewhere, FakeMemory other) = Killed(world, registered: 700, name: "elsewhere");
        bool nextDiedMeanwhile = false;
        stuck.Space.AddReapable(new FakeMemory(stuck.Lease(600), () =>
        {
            // All this happens while the call has not returned.
            world.Advance(TimeSpan.FromSeconds(1));
            nextDiedMeanwhile = next.IsKilled;
            return true;
        }));
        world.Charge(tenant.CreateMember("asker"), 500);
        Assert.True(stuck.IsKilled);

        world.Advance(TimeSpan.FromSeconds(2));

        Assert.True(nextDiedMeanwhile);
        Assert.Equal(1, other.Freed);
        Assert.True(elsewhere.Granted);
        Assert.Contains(
            world.Root.Reports.Latest(),
            static report => report is { VictimPath: "root/tenant/stuck", Outcome: OomOutcome.ReapStuck });
    }

    [Fact]
    [Requirement("B21")]
    public void Exit_in_the_middle_of_reaping_returns_every_byte_once()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        hog.Space.AddReapable(new FakeMemory(hog.Lease(500), () =>
        {
            hog.Dispose();
            return true;
        }));
        var second = new FakeMemory(hog.Lease(500), static () => true);
        hog.Space.AddReapable(second);
        Pending asking = world.Charge(tenant.CreateMember("asker"), 200);

        world.Advance(TimeSpan.FromSeconds(3));

        Assert.True(asking.Granted);
        Assert.Equal(1, second.Freed);
        Assert.Equal(0, world.Root.BooksErrorCount);
        world.AssertQuiet(leftAtRoot: 200);
    }

    [Fact]
    [Requirement("B21")]
    [Requirement("B23")]
    public async Task Exit_and_reap_that_race_on_real_threads_return_every_byte_once()
    {
        for (int round = 0; round < 1000; round++)
        {
            var time = new VirtualTime();
            using MemoryRoot root = RacingRoot.On(time);
            MemoryMember hog = root.CreateGroup("tenant").CreateMember("hog");
            FakeMemory[] memories = [.. Enumerable.Range(0, 4).Select(_ => new FakeMemory(hog.Lease(100)))];
            Array.ForEach(memories, hog.Space.AddReapable);
            Assert.NotNull(await root.OomKiller.KillNowAsync());

            // By turns both begin together, and the exit begins when the reaper is known to be at work.
            using var start = new Barrier(2);
            memories[0].WhenReaped = round % 2 == 0 ? null : start.SignalAndWait;
            Task exit = Task.Run(() =>
            {
                start.SignalAndWait();
                foreach (FakeMemory memory in memories)
                {
                    if (hog.Space.RemoveReapable(memory))
                    {
                        memory.Free();
                        memory.Charge.Dispose();
                    }
                }

                hog.Dispose();
            });
            if (round % 2 == 0)
            {
                start.SignalAndWait();
            }

            time.Advance(TimeSpan.FromSeconds(2));
            await exit;

            Assert.True(Array.TrueForAll(memories, static memory => memory.Freed <= 1), $"round {round}");
            Assert.Equal((0, 0, 0), (root.Usage, root.BooksErrorCount, root.OomKiller.VictimsInFlight));
        }
    }

    private static (MemoryMember Hog, Pending Asking, FakeMemory Memory) Killed(
        World world, long registered, string name = "tenant")
    {
        MemoryGroup group = world.Root.CreateGroup(name, new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = group.CreateMember("hog");
        var memory = new FakeMemory(hog.Lease(registered));
        hog.Space.AddReapable(memory);
        hog.Charge(1000 - registered);
        Pending asking = world.Charge(group.CreateMember("asker"), 200);
        Assert.True(hog.Space.IsVictim);
        return (hog, asking, memory);
    }

    private sealed class FakeMemory(MemoryCharge charge, Func<bool>? free = null) : ReapableMemory(charge)
    {
        private int _freed;

        public Action? WhenReaped { get; set; }

        public int Freed => Volatile.Read(ref _freed);

        public void Free() => Interlocked.Increment(ref _freed);

        protected internal override bool TryFree()
        {
            Free();
            WhenReaped?.Invoke();
            return free is null || free();
        }
    }
}
