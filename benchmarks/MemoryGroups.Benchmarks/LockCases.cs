// The OOM lock: acquired and released by somebody whom nobody disputes it, at depth 8, in a small tree and a large one.
//
// Acquiring takes the root's guard; releasing happens in the guard that leaving the queue takes anyway, so one is what
// the lock costs; by itself it would take two. The baseline is the kernel's way: a walk over the subtree that flags
// every group of it, and a second one that takes the flags back.
namespace MemoryGroups.Benchmarks;

internal static class LockCases
{
    private const string Area = "OOM lock";
    private const int Depth = 8;

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "acquire and release", static effort => AcquireAndRelease(effort)),
    ];

    private static PairedSet AcquireAndRelease(Effort effort)
    {
        var few = new Tree(Depth);
        var many = new Tree(Depth);
        Fill(few.Leaf, 10);
        Fill(many.Leaf, effort.Smoke ? 1000 : 1_000_000);
        FlaggedNode top = FlaggedNode.Tree(effort.Smoke ? 1000 : 100_000, effort.Seed);
        return new PairedSet
        {
            Cases =
            [
                Patterns.Unit(),
                new LoopCase("guards", 1, _ => n => Guards(few.Leaf, n)),
                new LoopCase("few", 1, _ => n => Lock(few.Leaf, n)),
                new LoopCase("many", 1, _ => n => Lock(many.Leaf, n)),
                new LoopCase("two guards", 1, _ => n => LockApart(few.Leaf, n)),
                new LoopCase("walk", 1, _ => n => Walk(top, n), chunk: 1),
            ],
            Goals =
            [
                Goal.AtMost("acquire and release at depth 8, beside 10 groups", 30, static at =>
                    at.Nanos("few"), "ns"),
                Goal.Shown("of that: taking the root's guard", static at => at.Nanos("guards"), "ns"),
                Goal.Shown("the same in interlocked pairs", static at => at.Ratio("few", "L"), "L"),
                Goal.Shown("the same with a guard for each of the two", static at => at.Nanos("two guards"), "ns"),
                Goal.AtMost("above 1,000,000 groups / above 10", 1.1, static at => at.Ratio("many", "few")),
                Goal.AtMost("above 1,000,000 groups / a walk that flags 100,000", 1e-4, static at =>
                    at.Ratio("many", "walk")),
            ],
            Owned = [few, many],
        };
    }

    private static void Fill(MemoryGroup parent, int groups)
    {
        for (int i = 0; i < groups; i++)
        {
            parent.CreateGroup("idle");
        }
    }

    private static long Guards(MemoryGroup group, int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            using (group.Root.EnterGuard(group))
            {
            }
        }

        return 0;
    }

    private static long Lock(MemoryGroup group, int operations)
    {
        var holder = new object();
        long failed = 0;
        for (int i = 0; i < operations; i++)
        {
            using (group.Root.EnterGuard(group))
            {
                failed += OomLock.TryAcquireLocked(group, holder) ? 0 : 1;
                OomLock.ReleaseLocked(group, holder);
            }
        }

        return failed;
    }

    private static long LockApart(MemoryGroup group, int operations)
    {
        var holder = new object();
        long failed = 0;
        for (int i = 0; i < operations; i++)
        {
            using (group.Root.EnterGuard(group))
            {
                failed += OomLock.TryAcquireLocked(group, holder) ? 0 : 1;
            }

            using (group.Root.EnterGuard(group))
            {
                OomLock.ReleaseLocked(group, holder);
            }
        }

        return failed;
    }

    private static long Walk(FlaggedNode top, int operations)
    {
        long conflicts = 0;
        for (int i = 0; i < operations; i++)
        {
            conflicts += top.Flag(true) + top.Flag(false);
        }

        return conflicts;
    }
}

/// <summary>A group as the kernel's walk sees it: a flag, and children that lie anywhere in the heap.</summary>
internal sealed class FlaggedNode
{
    private readonly List<FlaggedNode> _children = [];
    private bool _underOom;

    internal static FlaggedNode Tree(int nodes, int seed)
    {
        var all = new FlaggedNode[nodes];
        for (int i = 0; i < nodes; i++)
        {
            all[i] = new FlaggedNode();
        }

        new Random(seed).Shuffle(all);
        for (int i = 1; i < nodes; i++)
        {
            all[(i - 1) / 10]._children.Add(all[i]);
        }

        return all[0];
    }

    /// <returns>How many were flagged so already, by another holder.</returns>
    internal long Flag(bool underOom)
    {
        long conflicts = _underOom == underOom ? 1 : 0;
        _underOom = underOom;
        foreach (FlaggedNode child in _children)
        {
            conflicts += child.Flag(underOom);
        }

        return conflicts;
    }
}
