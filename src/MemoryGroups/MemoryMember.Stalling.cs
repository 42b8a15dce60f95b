// Whether a member counts as work, and whether that work is stalled on memory: what MemoryPressure counts.
//
// A member may have several charges in the slow path at once; it is stalled while there is one, so only the first and
// the last of them have something to count. What was counted last is remembered, and Recount brings it in line with
// what is true now: whoever begins or ends a stall, freezes, thaws, exits or moves the member changes that first and
// recounts then, in whatever order these meet. A charge that ends after the exit finds nothing to take back.
// Must stay true: what is counted on a path is taken off the same path, in one walk.
namespace MemoryGroups;

public sealed partial class MemoryMember
{
    // Changed without the guard; whether it is zero is looked at under it.
    private int _stalls;

    // Guarded by the root's guard, both.
    private MemoryGroup? _countedIn;
    private bool _countedAsStalled;

    internal void BeginStall()
    {
        // First, because it may fail, and then there is no stall to end.
        MakePressure(Group);
        if (Interlocked.Increment(ref _stalls) == 1)
        {
            Recount();
        }
    }

    internal void EndStall()
    {
        if (Interlocked.Decrement(ref _stalls) == 0)
        {
            Recount();
        }
    }

    internal void Recount()
    {
        using (Root.EnterGuard(Group))
        {
            RecountLocked();
        }
    }

    // Before the guard is taken: a walk that fails half-way would leave wrong counts.
    private static void MakePressure(MemoryGroup group)
    {
        for (MemoryGroup? at = group; at is not null; at = at.Parent)
        {
            _ = at.Pressure;
        }
    }

    internal void RecountLocked()
    {
        MemoryGroup? group = IsExited || IsFrozen ? null : Group;
        bool stalled = group is not null && Volatile.Read(ref _stalls) > 0;
        if (group == _countedIn)
        {
            if (group is not null && stalled != _countedAsStalled)
            {
                MemoryPressure.CountLocked(group, 0, stalled ? 1 : -1);
            }
        }
        else
        {
            if (_countedIn is { } before)
            {
                MemoryPressure.CountLocked(before, -1, _countedAsStalled ? -1 : 0);
            }

            if (group is not null)
            {
                MemoryPressure.CountLocked(group, 1, stalled ? 1 : 0);
            }
        }

        _countedIn = group;
        _countedAsStalled = stalled;
    }
}
