// What it costs to take idle stock back: a charge that fits only after a drain, over 100 and 1,000 groups whose stocks
// were filled on another core.
//
// Time is per slot: one cell of a member, or one per-CPU cell of a group. Each repetition fills the stocks anew; the
// charge is as large as the room that the counters show plus what lies in the stocks, so it drains all of them.
namespace MemoryGroups.Benchmarks;

internal sealed class DrainLatency : IDisposable
{
    private const string Area = "drain";
    private const long Capacity = 64L << 30;

    private readonly Machine _machine = new();
    private readonly MemoryRoot _root = new(new MemoryRootOptions { CapacityBytes = Capacity, MinWatermarkBytes = 0 });
    private readonly MemoryMember[] _members;
    private readonly MemoryMember _large;

    private DrainLatency(int groups)
    {
        MemoryGroup top = _root.CreateGroup("top", new MemoryGroupOptions { Max = Capacity / 2 });
        _members = [.. Enumerable.Range(0, groups).Select(i => top.CreateGroup($"g{i}").CreateMember("m"))];
        _large = top.CreateGroup("large", new MemoryGroupOptions { BatchBytes = 1 }).CreateMember("m");
    }

    internal static IEnumerable<Scene> Scenes => [new Trial(Area, "per slot", static effort => Measure(effort))];

    public void Dispose() => _root.Dispose();

    private static IEnumerable<Row> Measure(Effort effort)
    {
        foreach (int groups in (int[])[1, 100, 1000])
        {
            using var drain = new DrainLatency(groups);
            int repetitions = effort.Smoke ? 2 : effort.Full ? 1000 : 150;
            double[] nanos = [.. Enumerable.Range(0, repetitions + 5).Select(_ => drain.Once()).Skip(5).Order()];
            string what = groups == 1 ? "1 group" : $"{groups:#,0} groups";
            yield return Row.Single(Area, $"{what}: p50 per slot", Bound.None, "ns", Figures.Quantile(nanos, 0.5));
            yield return Row.Single(Area, $"{what}: p99 per slot", Bound.None, "ns", Figures.Quantile(nanos, 0.99));
            if (groups > 1)
            {
                double trip = drain._machine.LineRoundTrip();
                double share = Figures.Quantile(nanos, 0.5) / trip;
                yield return Row.Single(Area, $"{what}: p50 per slot / line round trip", Bound.AtMost(1), "x", share);
            }
        }
    }

    // Nanoseconds per slot of one drain.
    private double Once()
    {
        OnCore(1, Fill);
        double nanos = 0;
        OnCore(0, () =>
        {
            MemoryGroup top = _large.Group.Parent!;
            long stocked = top.Usage - top.UsageLower;
            long bytes = top.Max - top.UsageLower;
            if (stocked == 0)
            {
                throw new InvalidOperationException("there was no stock to drain");
            }

            double start = _machine.Nanos();
            bool fits = _large.TryCharge(bytes);
            nanos = _machine.Nanos() - start;
            if (!fits)
            {
                throw new InvalidOperationException("what fits after a drain was refused");
            }

            _large.Uncharge(bytes);
        });
        return nanos / (_members.Length * (Tree.StockSlots + 1));
    }

    // A few walks open a group's stock; the pairs after them fill it.
    private void Fill()
    {
        foreach (MemoryMember member in _members)
        {
            for (int i = 0; i < 12; i++)
            {
                member.Charge(40_000);
            }

            member.Uncharge(12 * 40_000);
        }
    }

    private void OnCore(int core, Action action)
    {
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            _machine.Pin(core);
            try
            {
                action();
            }
            catch (Exception e)
            {
                failure = e;
            }
        });
        thread.Start();
        thread.Join();
        if (failure is not null)
        {
            throw new InvalidOperationException("a drain was not measured", failure);
        }
    }
}
