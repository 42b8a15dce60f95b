// Exactness under stress: nothing over any limit, nobody refused who fits, no byte left. These rows must hold in every
// run on every machine. The controls are designs known to break them, put through the same.
namespace MemoryGroups.Benchmarks;

internal static class ExactnessCases
{
    private const string Area = "exactness";

    internal static IEnumerable<Scene> Scenes =>
    [
        new Trial(Area, "churn", static effort => Over(effort)),
        new Trial(Area, "false refusals", static effort => FalseRefusals(effort)),
    ];

    private static IEnumerable<Row> Over(Effort effort)
    {
        long charges = effort.Smoke ? 50_000 : effort.Full ? 210_000_000 : 20_000_000;
        int[] threads = effort.Smoke ? [4] : [2, 4, 8];
        long admitted = 0, refused = 0, over = 0, left = 0, errors = 0;
        foreach (int times in (int[])[1, 8])
        {
            foreach (int count in threads)
            {
                Churn.Limits limits = Churn.Limits.Tight(times);
                using var tree = new ChurnTree(limits, count);
                var churn = new Churn<MemberCharger>(limits, tree.Charger);
                churn.Run(count, charges / threads.Length / 2, effort.Seed);
                admitted += churn.Admitted;
                refused += churn.Refused;
                over = Math.Max(over, churn.MostOver);
                left += tree.LeftOver();
                errors += tree.Root.BooksErrorCount;
            }
        }

        string what = $"{admitted / 1e6:0.#} M charges, {refused / 1e6:0.#} M refused: most over any limit";
        Row[] judged = Goal.Judge(Row.Exact(Area, what, over, unit: "B"), LatePosting(effort));
        return
        [
            .. judged,
            Row.Exact(Area, "bytes left when all is returned", left, unit: "B"),
            Row.Exact(Area, "errors in the books", errors),
        ];
    }

    // Leaves are all one here, and the top is what counts.
    private static Row LatePosting(Effort effort)
    {
        var limits = new Churn.Limits(16L << 20, 16L << 20, 16L << 20);
        CounterNode node = CounterNode.Chain(3, limits.Top);
        var churn = new Churn<ThreadBuffer>(limits, (_, _) => new ThreadBuffer(node));
        churn.Run(8, effort.Smoke ? 50_000 : 400_000, effort.Seed);
        return Row.Single(
            Area, "  control: late posting, 8 threads: most over 16 MiB", Bound.AtLeast(1), "B", churn.MostOver);
    }

    private static Row[] FalseRefusals(Effort effort)
    {
        long charges = effort.Smoke ? 20_000 : effort.Full ? 20_000_000 : 2_000_000;
        long limit = Churn.Limits.Tight(2).Top;
        long asked = 0, refused = 0;
        int[] threads = [2, 4];
        foreach (int count in threads)
        {
            using var tree = new Tree(2, max: limit);
            MemoryGroup top = tree.Leaf;
            top.CreateGroup("filler").CreateMember("m").Charge(limit / 2);
            MemoryMember[] members =
                [.. Enumerable.Range(0, count).Select(i => top.CreateGroup($"g{i}").CreateMember("m"))];
            var fitting = new Fitting<MemberCharger>(
                limit, i => new MemberCharger(members[i]), new MemberCharger(members[0]));
            fitting.Run(count, charges / threads.Length, effort.Seed);
            asked += fitting.Asked;
            refused += fitting.FalselyRefused;
        }

        return Goal.Judge(
            Row.Exact(Area, $"{asked / 1e6:0.#} M charges that fit, beside one that cannot: refused", refused),
            NaiveRefusals(limit, charges / 4, effort.Seed));
    }

    private static Row NaiveRefusals(long limit, long charges, int seed)
    {
        var top = new CounterNode(null, limit);
        new KernelWalk(top).TryCharge(limit / 2);
        KernelWalk Below() => new(new CounterNode(top, Tree.Plenty));
        var fitting = new Fitting<KernelWalk>(limit, _ => Below(), Below());
        fitting.Run(2, charges, seed);
        double share = 100.0 * fitting.FalselyRefused / fitting.Asked;
        return Row.Single(Area, "  control: naive walk, the same: refused", Bound.AtLeast(0.1), "%", share);
    }

    // Each leaf has a member for each thread, and one that all threads share.
    private sealed class ChurnTree : IDisposable
    {
        private readonly MemoryMember[][] _members;
        private readonly int _threads;

        internal ChurnTree(Churn.Limits limits, int threads)
        {
            _threads = threads;
            MemoryGroup top = Add(Root, "top", limits.Top);
            MemoryGroup[] tenants = [Add(top, "t0", limits.Tenant), Add(top, "t1", limits.Tenant)];
            _members =
            [
                .. Enumerable.Range(0, Churn.Leaves).Select(leaf =>
                {
                    MemoryGroup group = Add(tenants[leaf / 2], $"l{leaf}", limits.Leaf);
                    return Enumerable.Range(0, threads + 1).Select(i => group.CreateMember($"m{i}")).ToArray();
                }),
            ];
        }

        internal MemoryRoot Root { get; } = new(new MemoryRootOptions { CapacityBytes = Tree.Plenty });

        public void Dispose() => Root.Dispose();

        // Odd threads share.
        internal MemberCharger Charger(int thread, int leaf) =>
            new(_members[leaf][thread % 2 == 1 ? _threads : thread]);

        // What members and groups still say, and what a lone charger does not get of a limit.
        internal long LeftOver()
        {
            long left = _members.Sum(static leaf => leaf.Sum(static member => member.Usage)) + Root.UsageLower;
            foreach (MemoryMember[] leaf in _members)
            {
                long limit = leaf[0].Group.Max;
                bool reached = leaf[0].TryCharge(limit - 1) && leaf[0].TryCharge(1);
                left += reached && !leaf[0].TryCharge(1) ? 0 : 1;
                leaf[0].Uncharge(leaf[0].Usage);
            }

            return left;
        }

        private static MemoryGroup Add(MemoryGroup parent, string name, long max) =>
            parent.CreateGroup(name, new MemoryGroupOptions { Max = max });
    }
}
