// Charging and uncharging through a member: the path that everything else stands on.
namespace MemoryGroups.Benchmarks;

internal static class ChargeCases
{
    private const string Area = "charge";

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "pair in L", static _ => PairInL()),
    ];

    private static PairedSet PairInL()
    {
        var cases = new List<Case> { Unit() };
        var goals = new List<Goal>();
        var owned = new List<IDisposable>();
        foreach (int depth in (int[])[1, 3, 5, 8])
        {
            var tree = new Tree(depth);
            owned.Add(tree);
            cases.Add(new LoopCase($"d{depth}", 1, _ => n => Loops.Pair(new MemberCharger(tree.Member), 4096, n)));
            goals.Add(Goal.AtMost($"member pair, depth {depth}, 4 KiB", 1.45, at => at.Ratio($"d{depth}", "L"), "L"));
        }

        return new PairedSet { Cases = cases, Goals = goals, Owned = owned };
    }

    private static LoopCase Unit()
    {
        var unit = new AtomicCharger();
        return new LoopCase("L", 1, _ => n => Loops.Pair(unit, 4096, n));
    }
}
