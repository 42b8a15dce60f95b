// What one asker wants, and what happened to it so far: the object that travels through reclaim, contest and killer.
//
// Made when a charge leaves the fast path (or a limit is lowered below the usage), used by one flow at a time. That of
// a charge is used again for another one (Restart), unless somebody else may still know it (IsKept). The ticket is the
// order of arrival; a request that has been passed over often enough becomes the aged one of its group, and younger
// requests then wait behind it instead of taking the bytes it needs.
namespace MemoryGroups;

internal sealed class OomRequest
{
    internal const int PassesBeforeAged = 64;

    // Requests that may not wait, or that others would wait for in vain, wait behind nobody.
    internal const ChargeFlags NeverHeldBack =
        ChargeFlags.NoWait | ChargeFlags.NoFail | ChargeFlags.HighPriority | ChargeFlags.FromReclaim;

    private TimeSpan _timeout;
    private long _startedAt;
    private OomContest? _contest;
    private List<ReclaimStep>? _tried;

    internal OomRequest(MemoryRoot root, MemoryMember? asker, long bytes, ChargeFlags flags, TimeSpan timeout)
        : this(root) => Restart(asker, bytes, flags, timeout, default);

    // Wants nothing yet; Restart comes next.
    internal OomRequest(MemoryRoot root) => Root = root;

    internal MemoryRoot Root { get; }

    // Null when nobody charges: a limit change, or an administrator's kill.
    internal MemoryMember? Asker { get; private set; }

    internal long Bytes { get; private set; }

    internal ChargeFlags Flags { get; private set; }

    internal CancellationToken Cancel { get; set; }

    // The group that a charge is for: the asker may have moved since. Null when nobody charges.
    internal MemoryGroup? Charged { get; set; }

    internal long Ticket { get; private set; }

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

    // The group for whose OOM lock it is this request's turn, until it has tried to take it.
    internal MemoryGroup? TurnAt { get; set; }

    // Somebody else may still look at it, or at one of its waiters, when its charge is over: a call into user code, a
    // kill and its report, a late callback, who was held back by it. It is not used again.
    internal bool IsKept { get; private set; }

    internal IReadOnlyList<ReclaimStep> Tried => _tried ?? [];

    // Nobody waits for the answer any more: nobody is told, asked or killed for it.
    internal bool IsOver => Cancel.IsCancellationRequested || Asker is { IsExited: true };

    internal TimeSpan Waited => Root.TimeProvider.GetElapsedTime(_startedAt);

    internal TimeSpan TimeLeft
    {
        get
        {
            if (_timeout == Timeout.InfiniteTimeSpan)
            {
                return _timeout;
            }

            TimeSpan left = _timeout - Waited;
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    // The contests of one request come one after the other.
    internal OomContest Contest => _contest ??= new OomContest(this);

    internal bool MayRestart => !IsKept && _contest is null or { IsClean: true };

    internal void Restart(
        MemoryMember? asker, long bytes, ChargeFlags flags, TimeSpan timeout, CancellationToken cancel)
    {
        Asker = asker;
        Bytes = bytes;
        Flags = flags;
        Cancel = cancel;
        _timeout = timeout;
        _startedAt = Root.TimeProvider.GetTimestamp();
        _tried = null;
        PassedOver = 0;
        SawBusy = HasPanicked = HasLeftReclaimToOthers = false;
        Ticket = Root.WaitQueue.NextTicket();
    }

    // Between two uses it refers to nobody.
    internal void Forget()
    {
        Asker = null;
        Charged = null;
        Cancel = default;
        HintFrom = null;
        TurnAt = null;
        _tried = null;
        _contest?.Forget();
    }

    internal OomRequest Keep()
    {
        IsKept = true;
        return this;
    }

    internal OomWaiter NewWaiter(MemoryGroup group) => new(Keep(), group);

    internal bool YieldsTo(OomRequest aged) => Ticket > aged.Ticket && (Flags & NeverHeldBack) == 0;

    // Passed over once more. Aged after many passes, but not before a quarter of the deadline is gone: small requests
    // that come and go quickly make thousands of passes while a large one waits no time worth mentioning.
    internal bool AgesByPassLocked()
    {
        TimeSpan patience = _timeout == Timeout.InfiniteTimeSpan ? MemoryRootOptions.DefaultWaitTimeout : _timeout;
        return ++PassedOver > PassesBeforeAged && Waited >= patience / 4;
    }

    internal bool Has(ChargeFlags flag) => (Flags & flag) != 0;

    // No uncharge and no kill can help: waiting would be for a limit to be raised again.
    internal bool IsImpossible => Charged?.Counter.NeverAdmits(Bytes, RootFloor) is not null;

    // Its group was closed, and its asker lives on elsewhere: refused, and nobody will ever wake it here again.
    internal bool HasLostItsGroup => Charged is { IsClosed: true } group && Asker?.Group != group;

    internal bool FitsIn(MemoryGroup group) => Bytes <= group.Counter.Room(RootFloor);

    // Who may use the reserve is let over the limits of groups, as far as both it and the root have the bytes.
    internal bool FitsInReserve => Asker is { MayUseReserve: true } && !Has(ChargeFlags.NoReserve)
        && Bytes <= Root.Reserve.Left && FitsIn(Root);

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
