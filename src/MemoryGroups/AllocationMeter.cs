// What a member has allocated on the managed heap, and the budget that has it killed.
//
// Allocation, never live bytes: it only rises, and what the collector took back does not come off it. That is what a
// runaway query is known by, and it needs no look at the heap. Counted by MeteredThread at the end of every stretch;
// the member's exit ends the count, and what its flows allocate afterwards belongs to nobody.
//
// Must stay true: adding is one interlocked operation and a comparison; the kill runs on a work item of its own,
// because whoever adds is somewhere in the middle of user code, perhaps under a lock of theirs. At most one kill is on
// its way, and who trips meanwhile has another look made after it; when nothing came of it (the killer was disabled, or
// the member may not be killed) the next bytes try again. Who has exited is not killed any more, nor is anybody for it.
namespace MemoryGroups;

internal sealed class AllocationMeter(MemoryMember member) : IThreadPoolWorkItem
{
    private const long NoBudget = long.MaxValue;

    private long _counted;
    private long _closedAs;
    private long _budget = NoBudget;

    // Since no kill was on its way; the first one posts it.
    private int _trips;

    internal long? Budget
    {
        get => Volatile.Read(ref _budget) is var budget && budget == NoBudget ? null : budget;
        set
        {
            Volatile.Write(ref _budget, value ?? NoBudget);
            LookAtEstimate();
        }
    }

    // Without the stretches under way.
    internal long Counted => Interlocked.Read(ref _counted);

    // The how-manieth metered member of the root it was to exit; 0 before. Written under the root's guard.
    internal long ClosedAs
    {
        get => Volatile.Read(ref _closedAs);
        set => Volatile.Write(ref _closedAs, value);
    }

    internal long Allocated
    {
        get
        {
            MeteredThread.Settle(member);
            return Counted + (member.IsExited ? 0 : MeteredThread.EstimateOf(member));
        }
    }

    internal void Add(long bytes)
    {
        if (!member.IsExited && Interlocked.Add(ref _counted, bytes) > Volatile.Read(ref _budget))
        {
            Trip();
        }
    }

    internal void LookAtEstimate()
    {
        if (Allocated > Volatile.Read(ref _budget))
        {
            Trip();
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = KillAsync();

    private void Trip()
    {
        if (!member.IsDying && Interlocked.Increment(ref _trips) == 1)
        {
            member.Root.Post(this);
        }
    }

    private async Task KillAsync()
    {
        int trips = Volatile.Read(ref _trips);
        MemoryGroup group = member.Group;
        try
        {
            OomReport? report = await group.Root.OomKiller.KillOneAsync(
                group, "an allocation budget was exceeded", kill => OverBudget(kill), default).ConfigureAwait(false);
            if (report is not null)
            {
                group.Events.Raise(MemoryEvent.BudgetKill);
            }
        }
        finally
        {
            // Who tripped meanwhile posted nothing, and may have seen bytes, or a budget, that we have not; who moved
            // meanwhile was no longer below the group that was asked.
            if (member.Group != group || Interlocked.CompareExchange(ref _trips, 0, trips) != trips)
            {
                member.Root.Post(this);
            }
        }
    }

    // Looked at again under the kill lock: the budget may have been raised meanwhile. Who has charged nothing is killed
    // all the same: it is not for its charges.
    private OomCandidate? OverBudget(OomKill kill)
    {
        long allocated = Allocated;
        return Budget is { } budget && allocated > budget
            && !member.IsDying && !member.IsExited && member.OomScoreAdjustment > MemoryMember.NeverKill
            ? new OomCandidate(member, kill.Score(member), string.Concat(
                "it allocated ", ByteSize.FormatRounded(allocated),
                ", more than its AllocationBudget of ", ByteSize.FormatRounded(budget)))
            : null;
    }
}
