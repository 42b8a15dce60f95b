// The stock under real threads: limits so tight that it is drained all the time, checked by counters of the test's own.
//
// A thread adds to its shadow counters after a charge was granted and subtracts before it uncharges, so the shadows
// never say more than is really charged: a shadow above a limit is an over-admission, whatever the library's books say.
// Limits are the smallest that have a stock; larger ones hide every mistake in the drain.
namespace MemoryGroups.Tests;

public sealed class StockStressTests
{
    private const int Threads = 4;

    // Charges are as large, against limits that grow with the number of CPUs, as they are on two of them.
    private static readonly int Scale = Math.Max(1, GroupStock.Slots / 2);

    // Only a hang reaches it.
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(120);

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [Requirement("I5")]
    [Requirement("I12")]
    public void Racing_chargers_admit_nothing_over_a_limit_and_leave_nothing(int seed, bool wide)
    {
        using var world = new World();
        var tree = new Tree(world.Root, wide);
        var threads = new List<Thread>();
        using var start = new Barrier(Threads);
        var errors = new System.Collections.Concurrent.ConcurrentQueue<string>();
        for (int i = 0; i < Threads; i++)
        {
            int own = (seed * 100) + i;
            var thread = new Thread(() =>
            {
                start.SignalAndWait();
                if (Churn(tree, new Random(own), 150_000) is { } error)
                {
                    errors.Enqueue(error);
                }
            });
            thread.Start();
            threads.Add(thread);
        }

        threads.ForEach(static thread => Assert.True(thread.Join(Watchdog), "a thread hangs"));

        Assert.True(errors.IsEmpty, $"seed {seed}: {string.Join("; ", errors)}");
        Assert.True(tree.Refusals > 10_000, $"seed {seed}: only {tree.Refusals} refusals, the limits are not tight");
        Assert.True(tree.StockSeen > 1000, $"seed {seed}: stock was seen only {tree.StockSeen} times");
        Assert.All(tree.Members, member => Assert.Equal(0, member.Usage));
        world.Root.Stocks.Drain(world.Root);
        MemoryGroup? left = world.AllGroups().FirstOrDefault(static group => group.Usage != 0);
        Assert.True(left is null, $"seed {seed}: {left?.Usage} bytes left in {left?.Path}");
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    // When the dust has settled a lone charger gets every byte of the limit: no drain missed anything.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("M8")]
    public void After_the_churn_a_lone_charger_still_reaches_every_limit_to_the_byte(bool wide)
    {
        using var world = new World();
        var tree = new Tree(world.Root, wide);
        Parallel.For(0, Threads, i => Assert.Null(Churn(tree, new Random(i), 20_000)));

        foreach (MemoryMember member in tree.Members)
        {
            Stocked.FillOwnStock(member.Group.Parent!);
            long limit = member.Group.Max;
            Assert.True(member.TryCharge(limit - 1), $"{member.Path}: refused below the limit");
            Assert.True(member.TryCharge(1), $"{member.Path}: the last byte was refused");
            Assert.False(member.TryCharge(1));
            member.Uncharge(limit);
        }
    }

    // The clock stands still: whoever misses its wake sleeps for ever, and the watchdog tells.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [Requirement("I3")]
    public async Task Sleepers_are_always_woken_by_what_passes_through_stocks(int seed)
    {
        var root = new MemoryRoot(new MemoryRootOptions { TimeProvider = new VirtualTime() });
        MemoryGroup parent = root.CreateGroup(
            "parent", new MemoryGroupOptions { Max = 2 * Stocked.SmallestLimit, KillDisabled = true });
        long limit = Stocked.SmallestLimit * 3 / 2;
        const int Chargers = 12;
        int here = 0;
        Task[] tasks = [.. Enumerable.Range(0, Chargers).Select(i => Task.Run(async () =>
        {
            var random = new Random((seed * 1000) + i);
            MemoryGroup group = parent.CreateGroup($"g{i}", new MemoryGroupOptions { Max = limit });
            using MemoryMember member = group.CreateMember("m");
            Interlocked.Increment(ref here);
            while (Volatile.Read(ref here) < Chargers)
            {
                // Or the first would be through before the last one runs at all.
                await default(OthersFirst);
            }

            for (int round = 0; round < 400; round++)
            {
                long large = random.NextInt64(limit / 4, limit);
                await member.ChargeAsync(large);
                await default(OthersFirst);
                for (int small = 0; small < 20; small++)
                {
                    if (member.TryCharge(256))
                    {
                        member.Uncharge(256);
                    }
                }

                member.Uncharge(large);
            }
        }))];

        await Task.WhenAll(tasks).WaitAsync(Watchdog, TestContext.Current.CancellationToken);

        Assert.True(parent.Events.Current.Waits > 100, $"seed {seed}: only {parent.Events.Current.Waits} sleeps");
        Assert.Equal(0, root.WaitingCharges);
        root.Stocks.Drain(root);
        Assert.Equal(0, root.Usage);
        root.Dispose();
    }

    // One thread's work. Null, or what went wrong.
    private static string? Churn(Tree tree, Random random, int operations)
    {
        var held = new Queue<(Leaf Leaf, long Bytes)>();
        string? error = null;
        for (int i = 0; i < operations && error is null; i++)
        {
            Leaf leaf = tree.Leaves[random.Next(tree.Leaves.Length)];
            long bytes = Scale * (random.Next(8) == 0 ? random.Next(1, 200_000) : random.Next(1, 4096));
            bool refused = false;
            if (random.Next(100) < 60)
            {
                refused = !leaf.Member.TryCharge(bytes);
                if (!refused)
                {
                    error = tree.Add(leaf, bytes);
                    held.Enqueue((leaf, bytes));
                    continue;
                }

                tree.NoteRefusal();
            }

            // Up to the limits and down again: only where there is room do stocks open, only at the limit are they
            // drained.
            int release = refused && random.Next(8) == 0 ? held.Count : 1;
            for (; release > 0 && held.TryDequeue(out (Leaf Leaf, long Bytes) back); release--)
            {
                tree.Remove(back.Leaf, back.Bytes);
                back.Leaf.Member.Uncharge(back.Bytes);
            }

            tree.NoteStock(leaf);
        }

        foreach ((Leaf leaf, long bytes) in held)
        {
            tree.Remove(leaf, bytes);
            leaf.Member.Uncharge(bytes);
        }

        return error;
    }

    // Goes on behind what others have queued. A plain yield goes on at once where a single worker runs, a task may have
    // ended before it is awaited, and nobody would meet.
    private readonly struct OthersFirst : System.Runtime.CompilerServices.INotifyCompletion
    {
        public bool IsCompleted => false;

        public OthersFirst GetAwaiter() => this;

        public void OnCompleted(Action continuation) =>
            ThreadPool.UnsafeQueueUserWorkItem(static next => next(), continuation, preferLocal: false);

        public void GetResult()
        {
        }
    }

    private sealed record Leaf(MemoryMember Member, int[] Path);

    // Three levels below the root: one top, two tenants, four leaves with two members each.
    private sealed class Tree
    {
        private readonly List<MemoryGroup> _groups = [];
        private readonly long[] _shadow = new long[7];
        private long _refusals;
        private long _stockSeen;

        public Tree(MemoryRoot root, bool wide)
        {
            MemoryGroup top = Group(root, "top", 3 * Stocked.SmallestLimit);
            var leaves = new List<Leaf>();
            for (int t = 0; t < 2; t++)
            {
                MemoryGroup tenant = Group(top, $"t{t}", 2 * Stocked.SmallestLimit);
                int tenantAt = _groups.Count - 1;
                for (int l = 0; l < 2; l++)
                {
                    MemoryGroup leaf = Group(tenant, $"l{l}", Stocked.SmallestLimit * 5 / 4);
                    int[] path = [_groups.Count - 1, tenantAt, 0];
                    leaves.Add(new Leaf(leaf.CreateMember("a"), path));
                    leaves.Add(new Leaf(leaf.CreateMember("b"), path));
                }
            }

            Leaves = [.. leaves];
            if (wide)
            {
                leaves.ForEach(static leaf => Stocked.Widen(leaf.Member));
            }
        }

        public Leaf[] Leaves { get; }

        public IEnumerable<MemoryMember> Members => Leaves.Select(static leaf => leaf.Member);

        public long Refusals => Interlocked.Read(ref _refusals);

        public long StockSeen => Interlocked.Read(ref _stockSeen);

        public string? Add(Leaf leaf, long bytes)
        {
            string? error = null;
            foreach (int at in leaf.Path)
            {
                long now = Interlocked.Add(ref _shadow[at], bytes);
                if (now > _groups[at].Max)
                {
                    error = $"{_groups[at].Path} holds {now}, its limit is {_groups[at].Max}";
                }
            }

            return error;
        }

        public void Remove(Leaf leaf, long bytes)
        {
            foreach (int at in leaf.Path)
            {
                Interlocked.Add(ref _shadow[at], -bytes);
            }
        }

        public void NoteRefusal() => Interlocked.Increment(ref _refusals);

        public void NoteStock(Leaf leaf) =>
            Interlocked.Add(ref _stockSeen, leaf.Member.Books.Held + leaf.Member.Group.Stock.Held > 0 ? 1 : 0);

        private MemoryGroup Group(MemoryGroup parent, string name, long max)
        {
            MemoryGroup group = parent.CreateGroup(name, new MemoryGroupOptions { Max = max });
            _groups.Add(group);
            return group;
        }
    }
}
