// Whether the published usage drifts from the truth under load: threads charge a mix of sizes in a tree, stop together
// at audits, and what every group says is compared with what the threads hold.
//
// True usage lies between UsageLower and UsageUpper at every audit, exactly; the gap above it stays within what is
// published: an eighth of the usage and, for each group in the subtree, two batches for each CPU. An error that grows
// would show as a gap that does. The control posts late, as thread-local buffers do.
namespace MemoryGroups.Benchmarks;

internal static class DriftAudit
{
    private const string Area = "drift";
    private const int Threads = 4;
    private const long Batch = 256 * 1024;

    internal static IEnumerable<Scene> Scenes => [new Trial(Area, "audit", static effort => Audit(effort))];

    private static IEnumerable<Row> Audit(Effort effort)
    {
        int audits = effort.Smoke ? 4 : effort.Full ? 2000 : 200;
        using var tree = new Tree(2);
        MemoryGroup[] leaves = [.. Enumerable.Range(0, Threads).Select(_ => tree.SiblingGroup())];
        Live[] lives = [.. Enumerable.Range(0, Threads).Select(i => new Live(effort.Seed + i))];
        var buffered = new CounterNode(null, long.MaxValue);
        var buffers = new Live[Threads];
        long wrong = 0, lateBy = 0;
        var gaps = new List<double>();
        double largest = 0;
        void Compare(Barrier _)
        {
            long all = lives.Sum(static live => live.Bytes);
            for (int i = 0; i < Threads; i++)
            {
                Check(leaves[i], lives[i].Bytes, groups: 1);
            }

            Check(tree.Root, all, groups: Threads + 1);
            gaps.Add(tree.Root.UsageUpper - all);
            lateBy = Math.Max(lateBy, buffers.Sum(static live => live.Bytes) - buffered.Usage);
        }

        void Check(MemoryGroup group, long held, int groups)
        {
            wrong += group.UsageLower <= held && held <= group.UsageUpper ? 0 : 1;
            double allowed = (0.125 * held) + (2.0 * Batch * Environment.ProcessorCount * groups);
            largest = Math.Max(largest, (group.UsageUpper - held) / allowed);
        }

        using var together = new Barrier(Threads, Compare);
        Thread[] running = [.. Enumerable.Range(0, Threads).Select(i => new Thread(() =>
        {
            var random = new Random(effort.Seed + i);
            var ours = new MemberCharger(leaves[i].CreateMember("m"));
            var late = new ThreadBuffer(buffered);
            buffers[i] = new Live(effort.Seed + i);
            for (int audit = 0; audit < audits; audit++)
            {
                int operations = random.Next(1000, effort.Smoke ? 2000 : 20_000);
                Loops.Mix(ours, lives[i], operations);
                Loops.Mix(late, buffers[i], operations / 10);
                together.SignalAndWait();
            }
        }))];
        Array.ForEach(running, static thread => thread.Start());
        Array.ForEach(running, static thread => thread.Join());

        string what = $"{audits} audits, {Threads} threads: groups whose usage was outside its bounds";
        Row late = Row.Single(Area, "  control: late posting: bytes that are missing", Bound.AtLeast(1), "B", lateBy);
        double growth = gaps.Skip(audits * 3 / 4).Average() / gaps.Take(audits * 3 / 4).Skip(audits / 2).Average();
        return
        [
            .. Goal.Judge(Row.Exact(Area, what, wrong), late),
            Row.Single(Area, "largest gap, of the published bound", Bound.AtMost(1), "x", largest),
            Row.Single(Area, "gap in the last quarter of the audits / in the one before", Bound.None, "x", growth),
        ];
    }
}
