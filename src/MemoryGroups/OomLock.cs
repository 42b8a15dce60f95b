// The hierarchical OOM lock: who owns the OOM of a subtree, without walking the subtree.
//
// A group is locked when it or an ancestor is held. Acquiring G succeeds when no ancestor-or-self is held and no
// descendant is; a count of held descendants at each group answers the second half. The truth table is that of flagging
// every group of the subtree (S000-3...5), at O(depth) instead of O(subtree), nothing needs to be rolled back (S000-4),
// and a group born under a held ancestor is locked by construction (S000-25).
//
// Acquiring is a trylock: it never blocks (S000-2). Releasing clears only what this holder holds, so it cannot fail.
// Guarded by the root's guard, which covers this and nothing slow (S000-6). Follows mm/memcontrol-v1.c.
using System.Diagnostics;

namespace MemoryGroups;

internal struct OomLock
{
    private object? _holder;
    private int _heldBelow;

    internal readonly object? Holder => _holder;

    internal readonly int HeldBelow => _heldBelow;

    internal static bool TryAcquireLocked(MemoryGroup group, object holder)
    {
        if (!MayBeAcquiredLocked(group))
        {
            return false;
        }

        group.OomLock._holder = holder;
        for (MemoryGroup? above = group.Parent; above is not null; above = above.Parent)
        {
            above.OomLock._heldBelow++;
        }

        return true;
    }

    internal static void ReleaseLocked(MemoryGroup group, object holder)
    {
        if (group.OomLock._holder != holder)
        {
            Debug.Fail($"'{group.Path}' is not held by this holder");
            return;
        }

        group.OomLock._holder = null;
        for (MemoryGroup? above = group.Parent; above is not null; above = above.Parent)
        {
            above.OomLock._heldBelow--;
        }
    }

    internal static bool MayBeAcquiredLocked(MemoryGroup group) =>
        group.OomLock._heldBelow == 0 && !IsLockedLocked(group);

    // True when this group may not be acquired because it, or one above it, is held.
    internal static bool IsLockedLocked(MemoryGroup group)
    {
        for (MemoryGroup? at = group; at is not null; at = at.Parent)
        {
            if (at.OomLock._holder is not null)
            {
                return true;
            }
        }

        return false;
    }
}
