// Every combination of threads, depth and size: pairs through separate members of one leaf.
//
// The table shows the worst depth for each number of threads and each size, the long set every combination and the
// naive walk beside it. A charge larger than a batch is a walk by nature; nothing is promised for it but exactness.
namespace MemoryGroups.Benchmarks;

internal static class MatrixCases
{
    private const string Area = "threads x depth x size";

    private static readonly int[] Threads = [1, 2, 4, 8, 16];
    private static readonly int[] Depths = [1, 3, 5, 8];
    private static readonly (string Name, long Bytes)[] Sizes = [("64 B", 64), ("4 KiB", 4096), ("1 MiB", 1 << 20)];

    internal static IEnumerable<Scene> Scenes =>
        from size in Sizes
        select new PairedScene(Area, size.Name, effort => Combinations(size.Name, size.Bytes, effort));

    private static PairedSet Combinations(string size, long bytes, Effort effort)
    {
        var cases = new List<Case> { Patterns.Unit() };
        var goals = new List<Goal>();
        Dictionary<int, Tree> trees = Depths.ToDictionary(static depth => depth, static depth => new Tree(depth));
        Bound most = bytes > 4096 ? Bound.None : Bound.AtMost(1.45);
        foreach (int threads in Threads)
        {
            string[] names = [.. Depths.Select(depth => $"{Patterns.Counted(threads)}, depth {depth}, {size}")];
            for (int i = 0; i < Depths.Length; i++)
            {
                Tree tree = trees[Depths[i]];
                string name = names[i];
                cases.Add(Patterns.Pair(name, threads, _ => tree.Member(), bytes));
                if (effort.Full)
                {
                    var naive = new KernelWalk(CounterNode.Chain(Depths[i]));
                    cases.Add(Patterns.Pair("naive " + name, threads, _ => naive, bytes));
                    goals.Add(new Goal("member pair, " + name, most, at => at.Ratio(name, "L"), "L"));
                    goals.Add(Goal.Shown("naive / member, " + name, at => at.Ratio("naive " + name, name)));
                }
            }

            goals.Add(new Goal($"member pair, {Patterns.Counted(threads)}, {size}, the worst depth", most, at =>
                names.Select(name => at.Ratio(name, "L")).Aggregate(Math.Max), "L"));
        }

        return new PairedSet { Cases = cases, Goals = goals, Owned = [.. trees.Values] };
    }
}
