// The hierarchical byte counter: one per group, chained to the root.
//
// A charge is visible in a group and in all its ancestors, or in none of them. It is added by compare-and-swap from the
// leaf upwards, never by fetch-add with rollback: a speculative add makes other charges fail on bytes that were never
// granted. Before the first swap the whole path is read once, so that a charge that an ancestor would refuse anyway
// does not appear for a moment in the groups below it (a blocked huge request that is retried would else refuse small
// ones). A swap that loses to a smaller limit, or to an ancestor that filled up meanwhile, is undone; the undo is a
// decrease like any other and wakes whoever it concerns.
//
// Must stay true: usage never exceeds the limit by a charge that was granted while that limit stood (forced charges
// excepted, they are counted by their callers); usage is never negative; whoever makes usage fall looks at Waiters
// after the decrease, whoever sleeps raises Waiters before the last look at the room. One of the two sees the other.
// Thresholds are looked at on every change and told after the walk: bytes that an upper level refuses cross nothing.
// Follows mm/page_counter.c in what it guarantees, not in how.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemoryGroups;

internal sealed class UsageCounter(MemoryGroup group, UsageCounter? parent, long limit)
{
    // The runtime lays structs out behind the other fields, so those share its line, which whoever comes here reads as
    // well, and nothing of another object does.
    private LastLong _usage;

    private long _limit = limit;

    // Null while none is registered: one predictable comparison for each level of a walk.
    private UsageThresholds? _thresholds;

    // The highest usage since somebody last reset a peak; see UsagePeaks.
    private long _peak;
    private RefusalTally _refusals;
    private int _waiters;

    internal MemoryGroup Group { get; } = group;

    internal UsageCounter? Parent { get; } = parent;

    internal long Usage => Volatile.Read(ref _usage.Value);

    internal long Limit => Volatile.Read(ref _limit);

    internal long Peak => Volatile.Read(ref _peak);

    // How often a charge was refused here (the v1 fail count); a batch and the exact retry count separately.
    internal long Refusals => _refusals.Total;

    // Queue entries whose refusing group is this one. Written under the root's guard, read anywhere.
    internal int Waiters => Volatile.Read(ref _waiters);

    internal bool IsRoot => Parent is null;

    // The floor is what a request must leave free at the root (its watermark); groups have none.
    internal long Room(long rootFloor) => Limit - (IsRoot ? rootFloor : 0) - Usage;

    internal bool TryCharge(long bytes, long rootFloor, out UsageCounter? refused)
    {
        for (UsageCounter? level = this; level is not null; level = level.Parent)
        {
            if (bytes > level.Room(rootFloor))
            {
                return level.Refuse(out refused);
            }
        }

        bool crossed = false;
        for (UsageCounter? level = this; level is not null; level = level.Parent)
        {
            if (!level.TryAdd(bytes, rootFloor, ref crossed))
            {
                UnchargeBelow(level, bytes);
                return level.Refuse(out refused);
            }
        }

        if (crossed)
        {
            CheckThresholds();
        }

        refused = null;
        return true;
    }

    // Over the limit of every group; the root still has to have the room, unless that is to be exceeded as well.
    internal bool TryForce(long bytes, long rootFloor, bool evenAtRoot)
    {
        UsageCounter root = this;
        while (root.Parent is not null)
        {
            root = root.Parent;
        }

        bool crossed = false;
        if (evenAtRoot)
        {
            crossed = root.Add(bytes);
        }
        else if (!root.TryAdd(bytes, rootFloor, ref crossed))
        {
            return root.Refuse(out _);
        }

        for (UsageCounter level = this; level.Parent is not null; level = level.Parent)
        {
            crossed |= level.Add(bytes);
        }

        if (crossed)
        {
            CheckThresholds();
        }

        return true;
    }

    // Gives bytes back at every level, then wakes: a waiter woken before the upper levels have fallen would only
    // be refused there.
    internal void Uncharge(long bytes)
    {
        if (bytes == 0)
        {
            return;
        }

        bool heard = false;
        for (UsageCounter? level = this; level is not null; level = level.Parent)
        {
            heard |= level.Subtract(bytes);
        }

        if (heard)
        {
            Tell();
        }
    }

    // The same without telling anybody: for callers that hold the stock gate and wake after it. True when they also
    // have to check the thresholds after it.
    internal bool UnchargeQuietly(long bytes)
    {
        bool crossed = false;
        for (UsageCounter? level = this; bytes > 0 && level is not null; level = level.Parent)
        {
            level.Subtract(bytes);
            crossed |= level.IsCrossedBy(level.Usage);
        }

        return crossed;
    }

    // Here and above; under no lock.
    internal void CheckThresholds()
    {
        for (UsageCounter? level = this; level is not null; level = level.Parent)
        {
            if (Volatile.Read(ref level._thresholds) is { } thresholds && thresholds.IsCrossedBy(level.Usage))
            {
                thresholds.Check();
            }
        }
    }

    // A full fence: whoever changes the usage after it sees them, and whoever changed it before is seen by a look at
    // the usage that follows.
    internal void Watch(UsageThresholds? thresholds) => Interlocked.Exchange(ref _thresholds, thresholds);

    // Installs a limit and answers the usage read after it. A charger adds and then reads the limit again, we
    // store the limit and then read the usage; both with a full fence, so one of the two sees the other.
    internal long SetLimit(long newLimit, out long before)
    {
        before = Interlocked.Exchange(ref _limit, newLimit);
        return Usage;
    }

    // Here or above: the closest level that could not admit so much even if it were empty. Unattributed bytes, for
    // which the root's limit is lowered, may go away.
    internal UsageCounter? NeverAdmits(long bytes, long rootFloor)
    {
        UsageCounter? level = this;
        while (level is not null && bytes <= level.Group.OwnLimit - (level.IsRoot ? rootFloor : 0))
        {
            level = level.Parent;
        }

        return level;
    }

    // Down to the usage now, unless it was raised meanwhile: then that is the highest since we came. The usage is read
    // after the swap: a charge that found the old mark high enough had added its bytes before.
    internal void RestartPeak(long was)
    {
        Interlocked.CompareExchange(ref _peak, 0, was);
        RaisePeak(Usage);
    }

    internal void RaisePeak(long usage)
    {
        long peak = Volatile.Read(ref _peak);
        while (usage > peak)
        {
            long was = Interlocked.CompareExchange(ref _peak, usage, peak);
            if (was == peak)
            {
                return;
            }

            peak = was;
        }
    }

    internal void ResetRefusals() => _refusals.Reset();

    // Under the root's guard only.
    internal void AddWaiterLocked(int count) => Interlocked.Add(ref _waiters, count);

    // Over the limit. True when a threshold was crossed.
    private bool Add(long bytes)
    {
        long now = Interlocked.Add(ref _usage.Value, bytes);
        RaisePeak(now);
        return IsCrossedBy(now);
    }

    private bool TryAdd(long bytes, long rootFloor, ref bool crossed)
    {
        long seen = Usage;
        while (true)
        {
            if (bytes > Limit - (IsRoot ? rootFloor : 0) - seen)
            {
                return false;
            }

            Probe.At(Group.Root, ProbePoint.BeforeSwap, this);
            long was = Interlocked.CompareExchange(ref _usage.Value, seen + bytes, seen);
            if (was == seen)
            {
                break;
            }

            seen = was;
        }

        if (seen + bytes > Limit)
        {
            // The limit fell between our look and our swap.
            Subtract(bytes);
            Tell();
            return false;
        }

        RaisePeak(seen + bytes);
        crossed |= IsCrossedBy(seen + bytes);
        return true;
    }

    private void UnchargeBelow(UsageCounter refusing, long bytes)
    {
        bool heard = false;
        for (UsageCounter level = this; level != refusing; level = level.Parent!)
        {
            heard |= level.Subtract(bytes);
        }

        if (heard)
        {
            Tell();
        }
    }

    private void Tell()
    {
        CheckThresholds();
        Group.Root.WaitQueue.WakeFitting(Group);
    }

    private bool IsCrossedBy(long now) =>
        Volatile.Read(ref _thresholds) is { } thresholds && thresholds.IsCrossedBy(now);

    // True when somebody may be waiting for this decrease, or for a threshold that it crossed.
    private bool Subtract(long bytes)
    {
        long now = Interlocked.Add(ref _usage.Value, -bytes);
        if (now < 0)
        {
            Group.Root.Books.Report($"group '{Group.Path}' was uncharged below zero ({now} bytes)");
            Interlocked.Add(ref _usage.Value, -now);
        }

        return Waiters > 0 || IsCrossedBy(now);
    }

    // Inlined where the compiler thinks that nobody is ever refused, too.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Refuse(out UsageCounter? refused)
    {
        _refusals.Count();
        refused = this;
        return false;
    }
}

// A long that shares its cache line with nothing.
[StructLayout(LayoutKind.Explicit, Size = 128)]
internal struct PaddedLong
{
    [FieldOffset(64)]
    internal long Value;
}

// A long with the rest of a cache line behind it, for a field that has its own object's fields before it.
[StructLayout(LayoutKind.Explicit, Size = 64)]
internal struct LastLong
{
    [FieldOffset(0)]
    internal long Value;
}
