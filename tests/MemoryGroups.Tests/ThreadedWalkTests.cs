// The random walk's operations on the real thread pool: not replayable step by step, but the books must balance at the
// end, whatever the order was.
//
// Each worker owns its members and what they hold; groups, limits, switches and the killer belong to everybody. The
// clock is virtual and moved by one driver, so deadlines pass but nobody sleeps.
using System.Collections.Concurrent;

namespace MemoryGroups.Tests;

public sealed class ThreadedWalkTests
{
    private const int Workers = 4;
    private const int Operations = 6000;

    // Only a hang reaches it.
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(180);

    [Theory]
    [InlineData(1, 20_000)]
    [InlineData(2, 20_000)]
    [InlineData(3, 64L << 20)]
    [InlineData(4, 64L << 20)]
    [Requirement("I5")]
    [Requirement("I9")]
    [Requirement("I10")]
    [Requirement("T43")]
    public async Task Threaded_walk_ends_with_balanced_books(int seed, long largest)
    {
        var time = new VirtualTime();
        var root = new MemoryRoot(new MemoryRootOptions
        {
            CapacityBytes = 4 * largest,
            MinWatermarkBytes = 0,
            OomReserveBytes = largest / 8,
            CostlyChargeBytes = largest,
            TimeProvider = time,
        });
        var shared = new Shared(root, largest);
        Task work = Task.WhenAll(Enumerable.Range(0, Workers).Select(i => Task.Run(() =>
            new Worker(shared, new Random((seed * 100) + i)).RunAsync())));

        await DriveAsync(time, () => work.IsCompleted);
        await work;
        root.OomKiller.Enable();
        await DriveAsync(time, () => root.OomKiller.VictimsInFlight == 0 && root.WaitingCharges == 0);

        AssertBalanced(root, $"seed {seed}");
        foreach (MemoryGroup group in shared.Groups())
        {
            group.Dispose();
        }

        root.Dispose();
        Assert.Equal((0, 0, 0), (root.Usage, root.OomReserveUsed, root.BooksErrorCount));
    }

    // Moves the clock until it is so.
    private static async Task DriveAsync(VirtualTime time, Func<bool> isSo)
    {
        using var watchdog = new CancellationTokenSource(Watchdog);
        while (!isSo())
        {
            watchdog.Token.ThrowIfCancellationRequested();
            time.Advance(TimeSpan.FromMilliseconds(20));
            await Task.Yield();
        }
    }

    private static void AssertBalanced(MemoryRoot root, string seed)
    {
        Assert.True(root.BooksErrorCount == 0, $"{seed}: {root.FirstBooksError}");
        Assert.False(root.KillLock.IsHeld, $"{seed}: the kill lock is held");
        root.Stocks.Drain(root);
        var stack = new Stack<MemoryGroup>([root]);
        while (stack.TryPop(out MemoryGroup? group))
        {
            long below = group.Children.Sum(static child => child.Usage) + group.Members.Sum(static one => one.Usage);
            Assert.True(group.Usage == below, $"{seed}: {group.Path} uses {group.Usage}, all below it {below}");
            Assert.True(
                group.OomMarks == 0 && group.OomLock.Holder is null && group.OomLock.HeldBelow == 0
                && group.AgedRequest is null && group.Counter.Waiters == 0,
                $"{seed}: something of an OOM is left at {group.Path}");
            foreach (MemoryGroup child in group.Children)
            {
                stack.Push(child);
            }
        }
    }

    private sealed class Shared(MemoryRoot root, long largest)
    {
        private readonly ConcurrentDictionary<int, MemoryGroup> _groups = new() { [0] = root };

        public MemoryRoot Root => root;

        public long Largest => largest;

        public MemoryGroup Group(Random random)
        {
            int slot = random.Next(12);
            if (_groups.TryGetValue(slot, out MemoryGroup? group) && !group.IsClosed)
            {
                return group;
            }

            MemoryGroup parent = _groups.TryGetValue(random.Next(slot + 1), out MemoryGroup? above) ? above : root;
            try
            {
                group = parent.CreateGroup($"g{slot}", new MemoryGroupOptions
                {
                    Max = 100 + (long)Math.Pow(largest, random.NextDouble()),
                    High = random.Next(6) == 0 ? largest / 4 : long.MaxValue,
                    KillDisabled = random.Next(8) == 0 ? true : null,
                    KillWholeGroup = random.Next(8) == 0,
                    WaitTimeout = TimeSpan.FromMilliseconds(random.Next(3000)),
                });
                _groups[slot] = group;
                return group;
            }
            catch (ObjectDisposedException)
            {
                return root;
            }
        }

        public IEnumerable<MemoryGroup> Groups() => _groups.Values.Where(group => group != root);
    }

    private sealed class Worker(Shared shared, Random random)
    {
        private readonly List<WalkActor> _actors = [];
        private readonly List<WalkAsking> _asking = [];

        public async Task RunAsync()
        {
            for (int i = 0; i < Operations; i++)
            {
                try
                {
                    Operate(random.Next(25));
                }
                catch (ObjectDisposedException)
                {
                    // Another worker closed the group in the middle of this.
                }
                catch (Exception error) when (error is MemoryLimitExceededException or OomKilledException)
                {
                    // As it should be: nothing was charged.
                }

                if (_asking.Count >= 6)
                {
                    await FinishAsync(_asking[0]);
                }

                _actors.RemoveAll(static actor => actor.Member.IsExited);
            }

            while (_asking.Count > 0)
            {
                await FinishAsync(_asking[0]);
            }

            foreach (WalkActor actor in _actors)
            {
                Assert.True(actor.Member.IsExited || actor.Member.Usage == actor.Held, actor.Member.Path);
                actor.Exit();
            }
        }

        private void Operate(int what)
        {
            WalkActor actor = _actors.Count == 0 || (what == 0 && _actors.Count < 8)
                ? NewActor()
                : _actors[random.Next(_actors.Count)];
            long bytes = (long)Math.Pow(shared.Largest / 4, random.NextDouble());
            switch (what)
            {
                case < 6:
                    if (actor.Member.TryCharge(bytes))
                    {
                        actor.Raw.Add(bytes);
                    }

                    break;
                case < 11 when actor.Raw.Count > 0:
                    actor.Member.Uncharge(actor.Raw[^1]);
                    actor.Raw.RemoveAt(actor.Raw.Count - 1);
                    break;
                case < 15:
                    WalkKind kind = random.Next(2) == 0 ? WalkKind.Raw : WalkKind.Lease;
                    var asking = new WalkAsking(actor, bytes, Flags(), kind);
                    _asking.Add(asking);
                    asking.Begin();
                    break;
                case < 19 when actor.Leases.Count > 0:
                    actor.Leases[^1].Dispose();
                    actor.Leases.RemoveAt(actor.Leases.Count - 1);
                    break;
                case 19 when _asking.Count > 0:
                    _asking[random.Next(_asking.Count)].Cancel.Cancel();
                    break;
                case 20:
                    actor.Exit();
                    break;
                case 21 or 22:
                    actor.Member.MoveTo(shared.Group(random));
                    break;
                default:
                    Switch();
                    break;
            }

            if (actor.Member.IsKilled)
            {
                actor.Exit();
            }
        }

        private void Switch()
        {
            MemoryGroup group = shared.Group(random);
            switch (random.Next(12))
            {
                case 0:
                    group.Kill("the walk said so");
                    break;
                case 1 when group.Parent is not null:
                    group.Dispose();
                    break;
                case 2:
                    shared.Root.OomKiller.Enable();
                    break;
                case 3:
                    _ = shared.Root.OomKiller.DisableAsync(TimeSpan.FromMilliseconds(50)).AsTask();
                    break;
                case 4 when group.Parent is not null:
                    group.Oom.KillDisabled = random.Next(3) == 0;
                    break;
                default:
                    if (group.Parent is not null)
                    {
                        group.Max = 100 + (long)Math.Pow(shared.Largest, random.NextDouble());
                    }

                    break;
            }
        }

        private WalkActor NewActor()
        {
            var actor = new WalkActor(shared.Group(random).CreateMember("m"));
            _actors.Add(actor);
            return actor;
        }

        private ChargeFlags Flags() => random.Next(8) switch
        {
            0 => ChargeFlags.NoFail,
            1 => ChargeFlags.HighPriority,
            2 => ChargeFlags.NoRetry,
            3 => ChargeFlags.NoReclaim,
            _ => ChargeFlags.None,
        };

        private async Task FinishAsync(WalkAsking asking)
        {
            await asking.Task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            asking.End();
            _asking.Remove(asking);
        }
    }
}
