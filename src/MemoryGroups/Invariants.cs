// The invariants that can be checked under the root's guard, as sentences. Debug only, at every guarded region.
//
// Small trees are checked as a whole, large ones along the path that the region is about to touch: a check must not
// make a test of a hundred thousand groups quadratic.
using System.Diagnostics;

namespace MemoryGroups;

internal static class Invariants
{
    private const int SmallTree = 64;

    [Conditional("DEBUG")]
    internal static void AssertLocked(MemoryRoot root, MemoryGroup at)
    {
        Debug.Assert(root.Guard.IsHeldByCurrentThread, "the guard is held");
        Debug.Assert(root.Reserve.Used >= 0, "I8: the reserve is never overpaid");
        int left = SmallTree;
        if (IsSmall(root, ref left))
        {
            AssertSubtree(root);
            return;
        }

        for (MemoryGroup? above = at; above is not null; above = above.Parent)
        {
            AssertGroup(above);
        }
    }

    private static void AssertSubtree(MemoryGroup group)
    {
        AssertGroup(group);
        AssertHolders(group);
        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            if (child is not null)
            {
                AssertSubtree(child);
            }
        }
    }

    private static void AssertGroup(MemoryGroup group)
    {
        Debug.Assert(group.OomMarks >= 0, "I9: no mark is taken back twice");
        Debug.Assert(group.OomLock.HeldBelow >= 0, "I9: no lock is released twice");
        Debug.Assert(
            group.Counter.Waiters == (group.Waiters?.Count ?? 0), "the counter knows how many wait because of it");
        Debug.Assert(group.OomMarks <= group.Counter.Waiters, "who is marked is queued: queue before mark");
        Debug.Assert(group.StalledMembers >= 0, "no stall ends twice");
        Debug.Assert(group.StalledMembers <= group.LiveMembers, "who is stalled is live");
        Debug.Assert(
            group.OomLock.Holder is null || group.OomLock.HeldBelow == 0, "I4: nobody is held below a held group");
    }

    // Every holder is counted at every ancestor, and no two are on one path (I4).
    private static void AssertHolders(MemoryGroup group)
    {
        int held = 0;
        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            if (child is not null)
            {
                held += child.OomLock.HeldBelow + (child.OomLock.Holder is null ? 0 : 1);
            }
        }

        // A closed child that still holds has left the roster: the count may exceed what is seen, never fall below.
        Debug.Assert(group.OomLock.HeldBelow >= held, "I4: held descendants are counted");
    }

    // Counts at most `left` groups: on every entry of the guard, and without a byte of garbage.
    private static bool IsSmall(MemoryGroup group, ref int left)
    {
        if (--left < 0)
        {
            return false;
        }

        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            if (child is not null && !IsSmall(child, ref left))
            {
                return false;
            }
        }

        return true;
    }
}
