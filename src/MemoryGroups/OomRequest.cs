// What one asker wants, and what happened to it so far: the object that travels through reclaim, contest and killer.
//
// Made when a charge leaves the fast path (or a limit is lowered below the usage), used by one flow at a time. The
// ticket is the order of arrival; a request that has been passed over often enough becomes the aged one of its group,
// and younger requests then wait behind it instead of taking the bytes it needs.
namespace MemoryGroups;

internal sealed class OomRequest(MemoryRoot root, MemoryMember? asker, long bytes, ChargeFlags flags, TimeSpan timeout)
{
    internal const int PassesBeforeAged = 64;

    // Requests that may not wait, or that others would wait for in vain, wait behind nobody.
    internal const ChargeFlags NeverHeldBack =
        ChargeFlags.NoWait | ChargeFlags.NoFail | ChargeFlags.HighPriority | ChargeFlags.FromReclaim;

    private readonly long _startedAt = root.TimeProvider.GetTimestamp();
    private List<ReclaimStep>? _tried;

    internal MemoryRoot Root { get; } = root;

    // Null when nobody charges: a limit change, or an administrator's kill.
    internal MemoryMember? Asker { get; } = asker;

    internal long Bytes { get; } = bytes;

    internal ChargeFlags Flags { get; } = flags;

    internal CancellationToken Cancel { get; init; }

    // The group that a charge is for: the asker may have moved since. Null when nobody charges.
    internal MemoryGroup? Charged { get; init; }

    internal long Ticket { get; } = root.WaitQueue.NextTicket();

    // Guarded by the root's guard.
    internal int PassedOver { get; set; }

    // Where this request holds younger ones back; guarded.
    internal MemoryGroup? AgedIn { get; set; }

    // Set when a reclaimer was busy with somebody else's request.
    internal bool SawBusy { get; set; }

    // The process was to be stopped because of it; whoever goes on all the same is not told again.
    internal bool HasPanicked { get; set; }

    // Set when background reclaim was started for it, because it may not reclaim itself: once for each request.
    internal bool HasLeftReclaimToOthers { get; set; }

    // The group whose queue this request was last woken from without having been granted yet; its hint must not be
    // lost.
    internal MemoryGroup? HintFrom { get; set; }

    internal IReadOnlyList<ReclaimStep> Tried => _tried ?? [];

    // Nobody waits for the answer any more: nobody is told, asked or killed for it.
    internal bool IsOver => Cancel.IsCancellationRequested || Asker is { IsExited: true };

    internal TimeSpan Waited => Root.TimeProvider.GetElapsedTime(_startedAt);

    internal TimeSpan TimeLeft
    {
        get
        {
            if (timeout == Timeout.InfiniteTimeSpan)
            {
                return timeout;
            }

            TimeSpan left = timeout - Waited;
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    internal OomWaiter NewWaiter(MemoryGroup group) => new(this, group);

    internal bool YieldsTo(OomRequest aged) => Ticket > aged.Ticket && (Flags & NeverHeldBack) == 0;

    // Passed over once more. Aged after many passes, but not before a quarter of the deadline is gone: small requests
    // that come and go quickly make thousands of passes while a large one waits no time worth mentioning.
    internal bool AgesByPassLocked()
    {
        TimeSpan patience = timeout == Timeout.InfiniteTimeSpan ? MemoryRootOptions.DefaultWaitTimeout : timeout;
        return ++PassedOver > PassesBeforeAged && Waited >= patience / 4;
    }

    internal bool Has(ChargeFlags flag) => (Flags & flag) != 0;

    // No uncharge and no kill can help: waiting would be for a limit to be raised again.
    internal bool IsImpossible => Charged?.Counter.NeverAdmits(Bytes, RootFloor) is not null;

    internal bool FitsIn(MemoryGroup group) => Bytes <= group.Counter.Room(RootFloor);

    internal long RootFloor => Root.FloorFor(Flags, Asker is { MayUseReserve: true });

    // One line for each source and outcome, however often it was asked; bounded, because a request that retries for its
    // whole deadline must not grow a report without end.
    internal void Note(ReclaimStep step)
    {
        _tried ??= [];
        int known = _tried.FindIndex(one => one.What == step.What && one.Outcome == step.Outcome);
        if (known >= 0)
        {
            ReclaimStep before = _tried[known];
            _tried[known] = before with
            {
                AskedBytes = Math.Max(before.AskedBytes, step.AskedBytes),
                GaveBytes = before.GaveBytes + Math.Min(step.GaveBytes, long.MaxValue - before.GaveBytes),
                Times = before.Times + 1,
            };
        }
        else if (_tried.Count < 32)
        {
            _tried.Add(step);
        }
    }
}

/// <summary>One thing that was tried before a charge was refused or somebody was killed.</summary>
/// <remarks>Thread safety: immutable.</remarks>
/// <param name="What">The reclaimer's name, or what else was done.</param>
/// <param name="AskedBytes">What it was asked for, in bytes; of several times the most.</param>
/// <param name="GaveBytes">What it says it gave back, in bytes, in all.</param>
/// <param name="Outcome">"done", "late", "threw ...", "busy" or "abandoned", in words.</param>
/// <param name="Times">How often it was asked with this outcome, at least 1.</param>
public sealed record ReclaimStep(string What, long AskedBytes, long GaveBytes, string Outcome, int Times = 1);
