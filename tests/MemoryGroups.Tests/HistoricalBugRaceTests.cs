// The bug of an older memory controller that only a race of real threads can show.
namespace MemoryGroups.Tests;

public sealed class HistoricalBugRaceTests
{
    // The exit and the reaper both took the same memory down. On real threads, 10^5 times.
    [Fact]
    [Requirement("B21")]
    public async Task Exit_that_races_the_reaper_a_hundred_thousand_times_returns_every_byte_once()
    {
        const int rounds = 512;
        const int members = 200;
        var time = new VirtualTime();
        using MemoryRoot root = RacingRoot.On(time);
        int reaped = 0;
        for (int round = 0; round < rounds; round++)
        {
            MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { KillWholeGroup = true });
            MemoryMember[] dying = [.. Enumerable.Range(0, members).Select(i => tenant.CreateMember("m"))];
            var meeting = new Meeting();
            CountedMemory[] memories = [.. dying.Select(one => new CountedMemory(one.Lease(100), meeting))];
            Array.ForEach(memories, static one => one.Charge.Member.Space.AddReapable(one));
            Assert.NotNull(await root.OomKiller.KillNowAsync());

            // Both walk through the same members in the same order. The exits are a few ahead, and go on at the moment
            // at which the reaper has come to where they are: on one core one of the two would be through before the
            // other begins.
            int ahead = round % 8;
            using var start = new Barrier(2);
            Task exits = Task.Run(() =>
            {
                Array.ForEach(memories[..ahead], Exit);
                start.SignalAndWait();
                meeting.Await();
                Array.ForEach(memories[ahead..], Exit);
            });
            start.SignalAndWait();
            try
            {
                time.Advance(TimeSpan.FromSeconds(2));
            }
            finally
            {
                meeting.Begin();
            }

            await exits;

            Assert.All(memories, one => Assert.True(one.Freed <= 1, $"round {round}: freed {one.Freed} times"));
            reaped += memories.Count(static one => one.ByReaper);
            tenant.Dispose();
            Assert.Equal((0, 0), (root.Usage, root.BooksErrorCount));
            Assert.Equal(0, root.OomKiller.VictimsInFlight);
        }

        // Else the two never met.
        Assert.InRange(reaped, rounds, (rounds * members) - 1);
    }

    private static void Exit(CountedMemory memory)
    {
        MemoryMember member = memory.Charge.Member;
        if (member.Space.RemoveReapable(memory))
        {
            memory.Free();
            memory.Charge.Dispose();
        }

        member.Dispose();
    }

    // The reaper is in the middle of its work, or over.
    private sealed class Meeting
    {
        private bool _begun;

        public void Begin() => Volatile.Write(ref _begun, true);

        // Without sleeping: the other one is a few instructions further already.
        public void Await()
        {
            var spin = new SpinWait();
            while (!Volatile.Read(ref _begun))
            {
                spin.SpinOnce(sleep1Threshold: -1);
            }
        }
    }

    private sealed class CountedMemory(MemoryCharge charge, Meeting meeting) : ReapableMemory(charge)
    {
        private int _freed;

        public int Freed => Volatile.Read(ref _freed);

        public bool ByReaper { get; private set; }

        public void Free() => Interlocked.Increment(ref _freed);

        protected internal override bool TryFree()
        {
            ByReaper = true;
            meeting.Begin();
            Free();
            return true;
        }
    }
}
