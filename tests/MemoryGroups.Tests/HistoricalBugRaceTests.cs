// The bug of an older memory controller that only a race of real threads can show.
namespace MemoryGroups.Tests;

public sealed class HistoricalBugRaceTests
{
    // The exit and the reaper both took the same memory down. On real threads, 10^5 times.
    [Fact]
    [Requirement("B21")]
    public async Task Exit_that_races_the_reaper_a_hundred_thousand_times_returns_every_byte_once()
    {
        const int rounds = 500;
        const int members = 200;
        var time = new VirtualTime();
        using MemoryRoot root = RacingRoot.On(time);
        int reaped = 0;
        for (int round = 0; round < rounds; round++)
        {
            MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { KillWholeGroup = true });
            MemoryMember[] dying = [.. Enumerable.Range(0, members).Select(i => tenant.CreateMember("m"))];
            CountedMemory[] memories = [.. dying.Select(static one => new CountedMemory(one.Lease(100)))];
            Array.ForEach(memories, static one => one.Charge.Member.Space.AddReapable(one));
            Assert.NotNull(await root.OomKiller.KillNowAsync());

            // Both walk through the same members in the same order.
            using var start = new Barrier(2);
            Task exits = Task.Run(() =>
            {
                start.SignalAndWait();
                for (int i = 0; i < members; i++)
                {
                    if (dying[i].Space.RemoveReapable(memories[i]))
                    {
                        memories[i].Free();
                        memories[i].Charge.Dispose();
                    }

                    dying[i].Dispose();
                }
            });
            start.SignalAndWait();
            time.Advance(TimeSpan.FromSeconds(2));
            await exits;

            Assert.All(memories, one => Assert.True(one.Freed <= 1, $"round {round}: freed {one.Freed} times"));
            reaped += memories.Count(static one => one.ByReaper);
            tenant.Dispose();
            Assert.Equal((0, 0), (root.Usage, root.BooksErrorCount));
            Assert.Equal(0, root.OomKiller.VictimsInFlight);
        }

        // Else the two never met.
        Assert.InRange(reaped, 1, (rounds * members) - 1);
    }

    private sealed class CountedMemory(MemoryCharge charge) : ReapableMemory(charge)
    {
        private int _freed;

        public int Freed => Volatile.Read(ref _freed);

        public bool ByReaper { get; private set; }

        public void Free() => Interlocked.Increment(ref _freed);

        protected internal override bool TryFree()
        {
            ByReaper = true;
            Free();
            return true;
        }
    }
}
