// What it costs to know at any moment who would have to die: the table of bounds, kept while members charge.
//
// The baseline is a plain usage update, one atomic counter under the same charges. A bound is published when a member
// draws or returns a quantum, so steady charges pay nothing for it. A mix of sizes pays now and then; its figure has
// the rest of that slow path in it as well. The control keeps members in a sorted set at every change, which is the
// first thing that finds the largest quickly. Depth 3, one thread; every member holds 1 MiB.
namespace MemoryGroups.Benchmarks;

internal static class UpkeepCases
{
    private const string Area = "victims";
    private const int Members = 10_000;

    internal static IEnumerable<Scene> Scenes => [new PairedScene(Area, "upkeep", static _ => Upkeep())];

    private static PairedSet Upkeep()
    {
        var tree = new Tree(3);
        MemberCharger[] ours = [.. Enumerable.Range(0, Members).Select(_ => tree.Member())];
        Array.ForEach(ours, static member => member.TryCharge(1 << 20));
        var ranked = new RankedMembers(Members);
        return new PairedSet
        {
            Cases =
            [
                Patterns.Unit(),
                Patterns.Pair("pair", 1, _ => ours[0]),
                Patterns.Pair("ranked pair", 1, _ => new RankedCharger(ranked, 0)),
                Patterns.Mix("counter mix", 1, static _ => new AtomicCharger()),
                Patterns.Mix("mix", 1, _ => ours[1]),
            ],
            Goals =
            [
                Goal.AtMost("a pair, the table of 10,000 members kept / a counter's", 1.3, static at =>
                    at.Ratio("pair", "L")) with
                {
                    Control = new Control("the same with members in a sorted set", static at =>
                        at.Ratio("ranked pair", "L"), Bound.AtLeast(4)),
                },
                Goal.Shown("a mix of sizes, table and slow paths / a counter's", static at =>
                    at.Ratio("mix", "counter mix")),
            ],
            Owned = [tree],
        };
    }
}

internal sealed class RankedMembers
{
    private readonly Lock _gate = new();
    private readonly SortedSet<(long Usage, int Member)> _byUsage = [];
    private readonly long[] _usages;

    internal RankedMembers(int count)
    {
        _usages = new long[count];
        for (int i = 0; i < count; i++)
        {
            Add(i, i);
        }
    }

    internal void Add(int member, long bytes)
    {
        lock (_gate)
        {
            _byUsage.Remove((_usages[member], member));
            _usages[member] += bytes;
            _byUsage.Add((_usages[member], member));
        }
    }
}

internal readonly struct RankedCharger(RankedMembers members, int member) : ICharger
{
    public bool TryCharge(long bytes)
    {
        members.Add(member, bytes);
        return true;
    }

    public void Uncharge(long bytes) => members.Add(member, -bytes);
}
