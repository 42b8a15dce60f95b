// At the limit, where stock is no help: what a refusal costs, and a pair when only a few pages are left.
//
// Limits are set on the middle of three levels, and a member of another leaf below it fills it. Nothing can be
// reclaimed: this is about the books. The naive walk refuses falsely and the exact one does not; that is what is paid
// for.
namespace MemoryGroups.Benchmarks;

internal static class PressureCases
{
    private const string Area = "at the limit";
    private const long Limit = 64L << 20;
    private const long Room = 32 * Patterns.Page;

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "refusal", static _ => Refusals()),
        new PairedScene(Area, "under pressure", static _ => UnderPressure()),
    ];

    private static PairedSet Refusals()
    {
        var cases = new List<Case> { Patterns.Unit() };
        var owned = new List<IDisposable>();
        foreach (int threads in (int[])[1, 2])
        {
            Add(threads, room: 0, cases, owned);
        }

        return new PairedSet
        {
            Cases = cases,
            Goals =
            [
                Goal.AtMost("refusal / naive refusal, depth 3, 1 thread", 0.7, static at =>
                    at.Ratio("ours 1", "naive 1")),
                Goal.AtMost("refusal / naive refusal, depth 3, 2 threads", 0.1, static at =>
                    at.Ratio("ours 2", "naive 2")),
                Goal.AtLeast("refused, of all charges", 100, static at =>
                    100.0 * at.Refused("ours 2") / at.Operations("ours 2"), "%"),
                Goal.AtMost("allocated by a refusal", 0, static at => at.Bytes("ours 1"), "B"),
            ],
            Owned = owned,
        };
    }

    private static PairedSet UnderPressure()
    {
        var cases = new List<Case>();
        var owned = new List<IDisposable>();
        foreach (int threads in (int[])[1, 2])
        {
            Add(threads, Room, cases, owned);
        }

        return new PairedSet
        {
            Cases = cases,
            Goals =
            [
                Goal.AtMost("pair with 32 pages of room / naive, depth 3, 1 thread", 1.3, static at =>
                    at.Ratio("ours 1", "naive 1")),
                Goal.AtMost("pair with 32 pages of room / naive, depth 3, 2 threads", 1.5, static at =>
                    at.Ratio("ours 2", "naive 2")),
                Goal.AtMost("falsely refused with 32 pages of room", 0, static at => at.Refused("ours 2"), ""),
            ],
            Owned = owned,
        };
    }

    private static void Add(int threads, long room, List<Case> cases, List<IDisposable> owned)
    {
        var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = Tree.Plenty });
        owned.Add(root);
        MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { Max = Limit });
        MemoryGroup leaf = tenant.CreateGroup("leaf", new MemoryGroupOptions { Max = Tree.Plenty });
        tenant.CreateGroup("other").CreateMember("filler").Charge(Limit - room);
        cases.Add(Patterns.Pair($"ours {threads}", threads, i => new MemberCharger(leaf.CreateMember($"m{i}"))));

        var top = new CounterNode(null, Tree.Plenty);
        var middle = new CounterNode(top, Limit);
        new KernelWalk(middle).TryCharge(Limit - room);
        var naive = new KernelWalk(new CounterNode(middle, Tree.Plenty));
        cases.Add(Patterns.Pair($"naive {threads}", threads, _ => naive));
    }
}
