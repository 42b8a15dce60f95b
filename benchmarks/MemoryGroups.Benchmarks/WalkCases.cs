// Against the naive walk: fetch-add at every level up to the root, which is what a tree of counters costs without
// stock. On two threads all of them meet on the shared lines; on one the walk is only long.
namespace MemoryGroups.Benchmarks;

internal static class WalkCases
{
    private const string Area = "against the naive walk";
    private const int Groups = 1000;

    private static readonly int[] Depths = [1, 3, 5, 8];

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "pair", static _ => Pairs()),
        new PairedScene(Area, "patterns", static _ => AllPatterns()),
        new PairedScene(Area, "rotation", static _ => Rotation()),
    ];

    private static PairedSet Pairs()
    {
        var cases = new List<Case>();
        var goals = new List<Goal>();
        var trees = new List<Tree>();
        foreach (int threads in (int[])[1, 2])
        {
            foreach (int depth in Depths)
            {
                var tree = new Tree(depth);
                trees.Add(tree);
                var naive = new KernelWalk(CounterNode.Chain(depth));
                string name = $"pair, depth {depth}, {Patterns.Counted(threads)}";
                cases.Add(Patterns.Pair("ours " + name, threads, _ => tree.Member()));
                cases.Add(Patterns.Pair("naive " + name, threads, _ => naive));
                goals.Add(new Goal("naive / member " + name, Least(depth, threads), at =>
                    at.Ratio("naive " + name, "ours " + name)));
            }
        }

        return new PairedSet { Cases = cases, Goals = goals, Owned = trees };
    }

    private static Bound Least(int depth, int threads) => (depth, threads) switch
    {
        (3, 1) => Bound.AtLeast(2.3),
        (8, 1) => Bound.AtLeast(5),
        (3, 2) => Bound.AtLeast(15),
        (8, 2) => Bound.AtLeast(40),
        _ => Bound.None,
    };

    private static PairedSet AllPatterns()
    {
        var tree = new Tree(3);
        CounterNode node = CounterNode.Chain(3);
        var naive = new KernelWalk(node);
        MemberCharger one = tree.Member();
        var cases = new List<Case>
        {
            Patterns.HandOff("ours hand-off", _ => one),
            Patterns.HandOff("naive hand-off", _ => naive),
            Patterns.Pair("ours siblings", 2, _ => tree.Sibling()),
            Patterns.Pair("naive siblings", 2, _ => new KernelWalk(CounterNode.Chain(1, parent: node.Parent))),
        };
        List<Goal> goals =
        [
            Versus("hand-off between 2 threads, one member", "hand-off", 8),
            Versus("sibling leaves, 2 threads", "siblings", 8),
        ];
        foreach (int threads in (int[])[1, 2])
        {
            string suffix = Patterns.Counted(threads);
            cases.Add(Patterns.Walk($"ours walk {suffix}", threads, _ => tree.Member()));
            cases.Add(Patterns.Walk($"naive walk {suffix}", threads, _ => naive));
            cases.Add(Patterns.Mix($"ours mix {suffix}", threads, _ => tree.Member()));
            cases.Add(Patterns.Mix($"naive mix {suffix}", threads, _ => naive));
            goals.Add(Versus($"walk of 256, {suffix}", $"walk {suffix}", threads == 2 ? 8 : 0));
            goals.Add(Versus($"log-uniform mix 64 B to 64 KiB, {suffix}", $"mix {suffix}", threads == 2 ? 8 : 0));
        }

        return new PairedSet { Cases = cases, Goals = goals, Owned = [tree] };
    }

    private static PairedSet Rotation()
    {
        var tree = new Tree(3);
        CounterNode parent = CounterNode.Chain(2);
        MemberCharger[] ours = [.. Enumerable.Range(0, Groups).Select(_ => tree.Sibling())];
        KernelWalk[] naive =
            [.. Enumerable.Range(0, Groups).Select(_ => new KernelWalk(CounterNode.Chain(1, parent: parent)))];
        return new PairedSet
        {
            Cases =
            [
                Patterns.Rotate("ours 1 of 1", 1, ours[..1]),
                Patterns.Rotate("ours rotation 1", 1, ours),
                Patterns.Rotate("naive rotation 1", 1, naive),
                Patterns.Rotate("ours rotation 2", 2, ours),
                Patterns.Rotate("naive rotation 2", 2, naive),
            ],
            Goals =
            [
                Versus($"rotation over {Groups} groups, 1 thread", "rotation 1", 0),
                Versus($"rotation over {Groups} groups, 2 threads", "rotation 2", 8),
                Goal.AtMost($"rotation over {Groups} groups / over one", 1.25, static at =>
                    at.Ratio("ours rotation 1", "ours 1 of 1")),
            ],
            Owned = [tree],
        };
    }

    private static Goal Versus(string what, string name, double least) =>
        new("naive / member, " + what, least == 0 ? Bound.None : Bound.AtLeast(least), at =>
            at.Ratio("naive " + name, "ours " + name));
}
