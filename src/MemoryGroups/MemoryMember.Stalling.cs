// Whether a member counts as work, and whether that work is stalled on memory: what MemoryPressure counts.
//
// A member may have several charges in the slow path at once; it is stalled while there is one. What was counted last
// is remembered, and Recount brings it in line with what is true now: whoever freezes, thaws, exits or moves the member
// changes that first and recounts then, in whatever order these meet. A charge that ends after the exit finds nothing
// to take back.
// Must stay true: what is counted on a path is taken off the same path, in one walk.
namespace MemoryGroups;

public sealed partial class MemoryMember
{
    // Guarded by the root's guard, all of them.
    private int _stalls;
    private MemoryGroup? _countedIn;
    private bool _countedAsStalled;

    internal void BeginStall()
    {
        MakePressure(Group);
        using (Root.EnterGuard(Group))
        {
            _stalls++;
            RecountLocked();
        }
    }

    internal void EndStall()
    {
        using (Root.EnterGuard(Group))
        {
            _stalls--;
            RecountLocked();
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
        bool stalled = group is not null && _stalls > 0;
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
