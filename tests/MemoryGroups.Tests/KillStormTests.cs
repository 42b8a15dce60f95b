// Many threads of one member charge at once on real threads, as a process with many threads does: it dies once, as a
// whole, and nobody hangs.
//
// The clock is virtual and moved while the work runs, so pauses pass and nobody sleeps. Waits have no deadline: whoever
// is forgotten hangs, and the watchdog says so.
namespace MemoryGroups.Tests;

public sealed class KillStormTests
{
    private const long Block = 1000;

    // Only a hang reaches it.
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(120);

    [Fact]
    [Requirement("T38")]
    public async Task Member_with_many_threads_and_reclaimable_memory_dies_once_and_every_thread_ends()
    {
        using var scene = new Scene();
        MemoryMember member = scene.Group.CreateMember("many threads");

        // What swapping out would give back: a part, and then no more.
        int left = 20;
        using IDisposable registered = scene.Group.AddReclaimer(new ScriptedReclaimer("swap", _ =>
        {
            if (member.Usage < 10 * Block || Interlocked.Decrement(ref left) < 0)
            {
                return 0;
            }

            member.Uncharge(Block);
            return Block;
        }));

        await scene.GrowUntilStoppedAsync(member);

        Assert.True(member.IsKilled);
        Assert.InRange(scene.Group.Events.Current.OomKill, 0, 1);
        scene.AssertEmptyAfter(member);
    }

    [Fact]
    [Requirement("T39")]
    public async Task Member_with_many_threads_and_pinned_memory_dies_once_and_every_thread_ends()
    {
        using var scene = new Scene();
        MemoryMember member = scene.Group.CreateMember("many threads");
        using SpacePin pin = member.Space.Pin();

        await scene.GrowUntilStoppedAsync(member);

        Assert.True(member.IsKilled);
        Assert.InRange(scene.Group.Events.Current.OomKill, 0, 1);
        scene.AssertEmptyAfter(member);
    }

    [Fact]
    [Requirement("T40")]
    public async Task Supervisor_that_is_never_killed_outlives_twenty_children_of_many_threads()
    {
        using var scene = new Scene();
        MemoryMember supervisor = scene.Group.CreateMember(
            "supervisor", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        Assert.True(supervisor.TryCharge(5 * Block));
        for (int child = 1; child <= 20; child++)
        {
            MemoryMember grower = scene.Group.CreateMember($"child {child}");

            await scene.GrowUntilStoppedAsync(grower);
            grower.Dispose();

            Assert.True(grower.IsKilled, $"child {child} lives");
            Assert.False(supervisor.IsKilled, $"the supervisor died with child {child}");
            Assert.Equal((child, 5 * Block), (scene.Group.Events.Current.OomKill, scene.Group.Usage));
        }

        scene.AssertEmptyAfter(supervisor);
    }

    private sealed class Scene : IDisposable
    {
        private static readonly int Threads = Math.Max(4, Environment.ProcessorCount - 1);

        private readonly VirtualTime _time = new();
        private readonly MemoryRoot _root;

        public Scene()
        {
            _root = new MemoryRoot(new MemoryRootOptions
            {
                OomReserveBytes = 0,
                WaitTimeout = Timeout.InfiniteTimeSpan,
                TimeProvider = _time,
            });
            Group = _root.CreateGroup("group", new MemoryGroupOptions { Max = 100 * Block });
        }

        public MemoryGroup Group { get; }

        // Each thread takes large blocks until it is stopped: by the kill, or by a clean refusal.
        public async Task GrowUntilStoppedAsync(MemoryMember member)
        {
            Task growing = Task.WhenAll(Enumerable.Range(0, Threads).Select(_ => Task.Run(() => GrowAsync(member))));
            using var watchdog = new CancellationTokenSource(Watchdog);
            while (!growing.IsCompleted)
            {
                watchdog.Token.ThrowIfCancellationRequested();
                _time.Advance(_root.PauseTick);
                await Task.Yield();
            }

            await growing;
        }

        public void AssertEmptyAfter(MemoryMember last)
        {
            last.Dispose();
            Assert.Equal((0, 0, 0), (Group.Usage, _root.WaitingCharges, _root.BooksErrorCount));
            Assert.Equal((0, 0), (_root.OomKiller.VictimsInFlight, Group.OomMarks));
            Assert.Null(Group.OomLock.Holder);
        }

        public void Dispose() => _root.Dispose();

        private static async Task GrowAsync(MemoryMember member)
        {
            for (int block = 0; block < 1000; block++)
            {
                try
                {
                    await member.ChargeAsync(Block);
                }
                catch (Exception error) when (error is OomKilledException or MemoryLimitExceededException)
                {
                    return;
                }
            }

            Assert.Fail("1000 blocks fitted where 100 do");
        }
    }
}
