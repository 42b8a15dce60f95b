// What the member's flows allocate on the managed heap: metered, not charged.
//
// Managed memory has no owner that the collector would tell of, so it cannot be charged like a buffer. What can be
// known is how much an async flow has allocated. It says nothing about what is still alive, and never touches a group's
// usage; the budget it can trip is the member's own.
namespace MemoryGroups;

public sealed partial class MemoryMember
{
    private AllocationMeter? _meter;

    /// <summary>
    /// Managed bytes that flows of this member (<see cref="Enter"/>) have allocated: never what is alive. Exact up to
    /// each thread's last await or return, and up to this moment for the thread that reads it. What a thread allocates
    /// that has not come back for a tenth of a second is estimated by the runtime's allocation events until it does, so
    /// the number may fall a little then. Stands still after the exit.
    /// </summary>
    public long AllocatedBytes => KnownMeter?.Allocated ?? 0;

    /// <summary>
    /// The most that <see cref="AllocatedBytes"/> may reach, in bytes, 0 or more; null, the default, is no budget. Who
    /// exceeds it is killed as by the OOM killer, with its own reason and a report, and counted as
    /// <see cref="MemoryEventCounts.BudgetKill"/>; a group with <see cref="OomControl.KillWholeGroup"/> dies with it. A
    /// member that is never killed is left alone, and so is everybody while the killer is disabled. May be changed at
    /// any time; lowered below what was allocated, it trips at once.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public long? AllocationBudget
    {
        get => KnownMeter?.Budget;
        set
        {
            if (value is < 0)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(value), value, "An allocation budget is 0 bytes or more, or null for none.");
            }

            Meter.Budget = value;
        }
    }

    // Null while nothing was metered and no budget set.
    internal AllocationMeter? KnownMeter => Volatile.Read(ref _meter);

    internal AllocationMeter Meter =>
        KnownMeter ?? Interlocked.CompareExchange(ref _meter, new AllocationMeter(this), null) ?? _meter;

    /// <summary>
    /// From here on, the managed bytes that this async flow allocates are metered for this member: over awaits, and in
    /// everything that is started from the flow (tasks, <see cref="Parallel"/>, threads), even when that outlives the
    /// scope. An inner scope takes over from an outer one. Work that is started with suppressed flow is not metered:
    /// see <see cref="MemoryRoot.UnmeteredBytes"/>.
    /// </summary>
    /// <returns>Dispose it where it was entered: the flow allocates for whom it did before.</returns>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    public MeteredScope Enter()
    {
        Gone.ThrowIf(IsExited, this);
        if (IsKilled)
        {
            throw OomKilledException.For(this);
        }

        // Made here, not by the first thread that ends a stretch, which may be anywhere.
        _ = Meter;
        StretchWatch.Start();
        return MeteredScope.Enter(this);
    }

    // With the last bytes of who calls; the others' that are still to come count for nobody.
    private void CloseMeterLocked()
    {
        if (KnownMeter is { } meter)
        {
            Root.CloseMeterLocked(meter);
        }
    }
}
