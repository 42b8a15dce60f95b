// One request in the OOM of one group: queue, mark, look again, try the lock; the winner notifies and kills, others
// sleep.
//
// The order is the protocol, and each step closes a race:
//   queue before mark       marking is what makes wakes be sent here; marked but not queued would be wakes nobody hears
//   mark before trylock     a holder that releases between our failed trylock and our queueing would wake an empty
//                           queue
//   look again after mark   bytes freed before we were marked woke nobody; nobody would free them again (S000-24)
//   unmark before dequeue   the mirror image, on every way out, a kill and a cancellation included
//   release before wake     a woken contender must be able to win
//   wake after release      a newcomer may have lost the trylock after the victim's last uncharge (S000-17)
// While a victim below this group is still on its way out, nobody tries the lock: its exit, or the reaper's deadline,
// wakes us. That is also what keeps one OOM from notifying again and again while the memory is already coming.
//
// Must stay true: whatever happens in between, mark, queue entry and lock are undone before RunAsync returns (I9).
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal enum OomVerdict
{
    // Something changed, or may have: try the charge again.
    Retry,

    // Nothing can be killed and nothing was freed.
    NoVictim,

    // Nobody can be killed at this moment, but bytes are on their way into or out of somebody's books: look again soon.
    Unsettled,

    // The killer is switched off for the whole root.
    KillerDisabled,
    Killed,
    Cancelled,
    TimedOut,
    Closed,
}

internal sealed class OomContest
{
    private readonly OomRequest _request;
    private readonly MemoryRoot _root;
    private MemoryGroup _group;
    private OomWaiter _waiter;
    private bool _marked;
    private bool _queued;
    private bool _locked;

    internal OomContest(OomRequest request)
    {
        _request = request;
        _root = request.Root;
        _group = _root;
        _waiter = new OomWaiter(request, _root);
    }

    internal bool IsClean => _waiter.IsClean;

    internal void Forget()
    {
        _group = _root;
        _waiter.Forget();
    }

    [AsyncMethodBuilder(typeof(PooledValueTaskBuilder<>))]
    internal static async ValueTask<OomVerdict> RunAsync(OomRequest request, MemoryGroup group)
    {
        OomContest contest = request.Contest.Begin(group);
        try
        {
            return await contest.RunAsync().ConfigureAwait(false);
        }
        finally
        {
            contest.Leave();
        }
    }

    // Leaves the others a tick to settle what a decision now would be too early for; not at all when it fits by then.
    internal static ValueTask<OomVerdict> PauseAsync(OomRequest request, MemoryGroup group) =>
        WaitAsync(request, group, group.Root.PauseTick, () => !request.FitsIn(group));

    // Waits for an event at the group without taking part in its OOM: behind an aged request, for a victim of the root,
    // or for one tick when the kill lock was busy.
    [AsyncMethodBuilder(typeof(PooledValueTaskBuilder<>))]
    internal static async ValueTask<OomVerdict> WaitAsync(
        OomRequest request, MemoryGroup group, TimeSpan? atMost, Func<bool> stillWaits)
    {
        OomContest contest = request.Contest.Begin(group);
        contest._waiter.IsPause = atMost is not null;
        try
        {
            contest.EnterQueue();

            // As in the contest: stock that opened before we were counted as a waiter must not hide bytes from us.
            contest._root.Stocks.DrainAll(group);
            return stillWaits() ? await contest.SleepAsync(atMost).ConfigureAwait(false) : OomVerdict.Retry;
        }
        finally
        {
            contest.Leave();
        }
    }

    // A waiter that somebody may still know is left to them, and the request with it.
    private OomContest Begin(MemoryGroup group)
    {
        _group = group;
        if (_waiter.IsClean)
        {
            _waiter.Restart(group);
        }
        else
        {
            _waiter = _request.NewWaiter(group);
        }

        return this;
    }

    [AsyncMethodBuilder(typeof(PooledValueTaskBuilder<>))]
    private async ValueTask<OomVerdict> RunAsync()
    {
        Probe.At(_root, ProbePoint.ChargeRefused, _request);
        EnterQueue();
        Probe.At(_root, ProbePoint.Queued, _request);
        Mark(+1);
        Probe.At(_root, ProbePoint.Marked, _request);

        // Stock that opened before we were counted as a waiter comes back here; none opens after. A limit that was cut
        // before that woke nobody who may have to leave because of it.
        _root.Stocks.DrainAll(_group);
        if (_request.FitsIn(_group) || _request.IsImpossible)
        {
            return OomVerdict.Retry;
        }

        // A request that ended while it reclaimed starts no OOM: its sleep ends at once, with the reason.
        if (_request.IsOver)
        {
            return await SleepAsync(null).ConfigureAwait(false);
        }

        if (_root.OomKiller.HasVictimInFlight(_group))
        {
            _group.Events.Raise(MemoryEvent.Wait);
            return await SleepAsync(null).ConfigureAwait(false);
        }

        using (_root.EnterGuard(_group))
        {
            _locked = OomLock.TryAcquireLocked(_group, this);
        }

        if (_locked)
        {
            Probe.At(_root, ProbePoint.BeforeNotify, _request);
            _group.Events.Raise(MemoryEvent.Oom);
            OomControl.NotifySubtree(_group, _request);
        }

        // Read after the trylock, by winner and loser alike; it does not change who notifies (S000-14).
        if (_locked && !_group.Oom.KillDisabled)
        {
            // Neither marked nor queued while killing (S000-12): the kill is what makes the wakes.
            Unmark();
            LeaveQueue();

            // Bytes that came back since we queued may have been kept for us. A handler can take its time: those bytes
            // are ours now, or somebody else's.
            if (_request.FitsIn(_group))
            {
                return OomVerdict.Retry;
            }

            _root.WaitQueue.PassHintOn(_request, granted: false);
            OomVerdict verdict = await _root.OomKiller.KillForGroupAsync(_request, _group).ConfigureAwait(false);
            Probe.At(_root, ProbePoint.KillReturned, _request);
            return verdict;
        }

        // A winner whose group has its killer disabled sleeps holding the lock (S000-21).
        _group.Events.Raise(MemoryEvent.Wait);
        return await SleepAsync(null).ConfigureAwait(false);
    }

    [AsyncMethodBuilder(typeof(PooledValueTaskBuilder<>))]
    private async ValueTask<OomVerdict> SleepAsync(TimeSpan? atMost)
    {
        TimeSpan left = _request.TimeLeft;
        bool brief = atMost is { } limit && (left == Timeout.InfiniteTimeSpan || limit < left);
        if (left == TimeSpan.Zero)
        {
            return OomVerdict.TimedOut;
        }

        Probe.At(_root, ProbePoint.BeforeSleep, _request);
        WakeReason reason = await _waiter.SleepAsync(brief ? atMost!.Value : left, _request.Cancel)
            .ConfigureAwait(false);
        Probe.At(_root, ProbePoint.Woken, _request);
        if (reason == WakeReason.Hint)
        {
            _request.HintFrom = _group;
        }

        return reason switch
        {
            WakeReason.Hint => OomVerdict.Retry,
            WakeReason.Killed => OomVerdict.Killed,
            WakeReason.Cancelled => OomVerdict.Cancelled,
            WakeReason.TimedOut => brief ? OomVerdict.Retry : OomVerdict.TimedOut,
            _ => OomVerdict.Closed,
        };
    }

    private void EnterQueue()
    {
        _root.WaitQueue.AttachToMember(_waiter);
        _root.WaitQueue.Enqueue(_waiter);
        _queued = true;

        // We asked again and are waiting again: whatever we were woken for may do for somebody else.
        _root.WaitQueue.PassHintOn(_request, granted: false);
    }

    private void Mark(int by)
    {
        using (_root.EnterGuard(_group))
        {
            _group.OomMarks += by;
            _marked = by > 0;
        }
    }

    private void Unmark()
    {
        if (_marked)
        {
            Mark(-1);
        }
    }

    private void LeaveQueue()
    {
        if (_queued)
        {
            _queued = false;
            _root.WaitQueue.Dequeue(_waiter);
            _root.WaitQueue.DetachFromMember(_waiter);
            if (_waiter.Signal == WakeReason.Hint)
            {
                _request.HintFrom = _group;
            }
        }
    }

    // The only way out. Who did not hold the lock wakes nobody (S000-19).
    private void Leave()
    {
        Unmark();
        LeaveQueue();
        if (!_locked)
        {
            return;
        }

        bool someoneUnderOom;
        using (_root.EnterGuard(_group))
        {
            _locked = false;
            OomLock.ReleaseLocked(_group, this);
            someoneUnderOom = _root.WaitQueue.Length > 0;
        }

        Probe.At(_root, ProbePoint.Released, _request);
        if (someoneUnderOom)
        {
            // Not those who pause for a tick, because nothing could be settled: two of them would wake one another by
            // their releases, and enter an OOM each time, for as long as a third keeps its bytes on the way.
            _root.WaitQueue.WakeAll(_group, evenPauses: false);
        }
    }
}
