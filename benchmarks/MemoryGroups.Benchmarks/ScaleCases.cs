// Very many groups: what an idle one weighs, what making and closing one costs, and what a snapshot of all costs those
// who charge.
namespace MemoryGroups.Benchmarks;

internal static class ScaleCases
{
    private const string Area = "scale";

    internal static IEnumerable<Scene> Scenes =>
    [
        new Trial(Area, "a million groups", static effort => Groups(effort)),
        new PairedScene(Area, "snapshots", static effort => Snapshots(effort.Smoke ? 100 : 10_000)),
    ];

    private static IEnumerable<Row> Groups(Effort effort)
    {
        int count = effort.Smoke ? 1000 : 1_000_000;
        using var root = new MemoryRoot();
        MemoryGroup parent = root.CreateGroup("parent");
        var groups = new MemoryGroup[count];
        long before = GC.GetTotalMemory(forceFullCollection: true);
        for (int i = 0; i < count; i++)
        {
            groups[i] = parent.CreateGroup("idle");
        }

        double each = (GC.GetTotalMemory(forceFullCollection: true) - before) / (double)count;
        yield return Row.Single(Area, $"{count:N0} idle groups, each", Bound.AtMost(400), "B", Math.Round(each));

        int pairs = effort.Smoke ? 100 : 200_000;
        long start = TimeProvider.System.GetTimestamp();
        for (int i = 0; i < pairs; i++)
        {
            parent.CreateGroup("short").Dispose();
        }

        double nanos = TimeProvider.System.GetElapsedTime(start).TotalNanoseconds / pairs;
        yield return Row.Single(Area, "create and close one beside them", Bound.AtMost(1000), "ns", nanos);
        GC.KeepAlive(groups);
    }

    // The reader takes one snapshot of all every millisecond, on the other core; the charger alone is measured.
    private static PairedSet Snapshots(int groups)
    {
        var tree = new Tree(3);
        MemoryGroup[] all = [.. Enumerable.Range(0, groups).Select(_ => tree.SiblingGroup())];
        MemberCharger ours = tree.Member();
        var elsewhere = new CounterNode(null, 0);
        return new PairedSet
        {
            Cases =
            [
                Beside("alone", ours, Idle(elsewhere)),
                Beside("snapshot", ours, Reader(all)),
            ],
            Goals =
            [
                Goal.AtMost("a charger while all usages are read each millisecond / alone", 1.02, static at =>
                    at.Ratio("snapshot", "alone")),
            ],
            Owned = [tree],
        };
    }

    private static LoopCase Beside(string name, MemberCharger ours, Chunk other) =>
        new(name, 2, thread => thread == 0 ? n => Loops.Pair(ours, Patterns.Page, n) : other, counted: 1);

    private static Chunk Idle(CounterNode node) => _ =>
    {
        long sum = 0;
        for (int i = 0; i < 4096; i++)
        {
            sum |= node.Usage;
        }

        return Math.Min(0, sum);
    };

    private static Chunk Reader(MemoryGroup[] all)
    {
        long due = 0;
        return _ =>
        {
            long now = TimeProvider.System.GetTimestamp();
            long sum = 0;
            if (now >= due)
            {
                due = now + (TimeProvider.System.TimestampFrequency / 1000);
                foreach (MemoryGroup group in all)
                {
                    sum |= group.Usage;
                }
            }

            return Math.Min(0, sum);
        };
    }
}
