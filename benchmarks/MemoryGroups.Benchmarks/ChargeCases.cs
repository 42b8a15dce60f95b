// Charging and uncharging through a member: the path that everything else stands on.
//
// Depth and size must not show, nor other members on other cores; more threads than cores must not cost more than their
// share of the cores.
namespace MemoryGroups.Benchmarks;

internal static class ChargeCases
{
    private const string Area = "charge";

    private static readonly int[] Depths = [1, 3, 5, 8];
    private static readonly int[] Threads = [1, 2, 4, 8, 16];

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "depth and size", static _ => DepthAndSize()),
        new PairedScene(Area, "threads", static _ => ManyThreads()),
        new PairedScene(Area, "no limit", static _ => NoLimit()),
    ];

    private static PairedSet DepthAndSize()
    {
        var cases = new List<Case> { Patterns.Unit() };
        var goals = new List<Goal>();
        var trees = new List<Tree>();
        foreach (int depth in Depths)
        {
            var tree = new Tree(depth);
            trees.Add(tree);
            foreach ((string size, long bytes) in ((string, long)[])[("4 KiB", 4096), ("64 B", 64), ("1 MiB", 1 << 20)])
            {
                string name = $"depth {depth}, {size}";
                cases.Add(Patterns.Pair(name, 1, _ => tree.Member(), bytes));
                goals.Add(bytes > 4096
                    ? Goal.Shown($"member pair, {name} (larger than a batch: a walk)", at => at.Ratio(name, "L"), "L")
                    : Goal.AtMost($"member pair, {name}", 1.45, at => at.Ratio(name, "L"), "L"));
            }
        }

        goals.Add(Goal.AtMost("depth 8 / depth 1", 1.05, static at => at.Ratio("depth 8, 4 KiB", "depth 1, 4 KiB")));
        goals.Add(Goal.AtMost("64 B / 4 KiB, depth 3", 1.05, static at => at.Ratio("depth 3, 64 B", "depth 3, 4 KiB")));
        goals.Add(Goal.AtMost("allocated by a pair, depth 3", 0, static at => at.Bytes("depth 3, 4 KiB"), "B"));
        return new PairedSet { Cases = cases, Goals = goals, Owned = trees };
    }

    private static PairedSet ManyThreads()
    {
        var tree = new Tree(3);
        var shared = new AtomicCharger();
        List<Case> cases =
        [
            Patterns.Unit(),
            .. Threads.Select(threads => Patterns.Pair($"{threads} threads", threads, _ => tree.Member())),
            Patterns.Pair("atomic 1", 1, _ => shared),
            Patterns.Pair("atomic 2", 2, _ => shared),
        ];
        List<Goal> goals =
        [
            Goal.AtLeast("separate members: 2 threads / 1 thread", 1.9, static at =>
                at.Rate("2 threads") / at.Rate("1 threads")) with
            {
                Control = new Control("one shared atomic: 2 threads / 1 thread", static at =>
                    at.Rate("atomic 2") / at.Rate("atomic 1"), Bound.AtMost(1.2)),
            },
            .. Threads[2..].Select(threads => Goal.AtLeast(
                $"separate members: {threads} threads / 2 threads", 0.9, at =>
                at.Rate($"{threads} threads") / at.Rate("2 threads"))),
            Goal.AtMost("allocated by a pair, 16 threads", 0, static at => at.Bytes("16 threads"), "B"),
        ];
        return new PairedSet { Cases = cases, Goals = goals, Owned = [tree] };
    }

    // Nobody has set a limit: what does accounting cost then? The plain counter is one that any thread may add to.
    private static PairedSet NoLimit()
    {
        var tree = new Tree(3, long.MaxValue, long.MaxValue);
        return new PairedSet
        {
            Cases = [Patterns.Unit(), Patterns.Pair("ours", 1, _ => tree.Member())],
            Goals =
            [
                Goal.AtMost("no limit anywhere / a plain thread-safe counter", 1.1, static at => at.Ratio("ours", "L")),
            ],
            Owned = [tree],
        };
    }
}
