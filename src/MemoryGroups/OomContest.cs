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
// What is woken after a release is one contender of each group, whose turn it is (OomWaitQueue.GiveTurnsLocked). Steps
// that follow one another without anything in between are one region under the guard: entering, and leaving.
//
// While a victim below this group is still on its way out, nobody tries the lock: its exit, or the reaper's deadline,
// wakes us. That is also what keeps one OOM from notifying again and again while the memory is already coming.
//
// The steps are called by who suspends for them (ChargeAttempt.RunAsync): a method around a sleep is one more to
// suspend and to resume.
//
// Must stay true: whatever happens in between, mark, queue entry and lock are undone by Leave, which comes last (I9).
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
    private bool _queued;
    private bool _locked;

    // The sleep ends before the request's deadline, and then it looks again.
    private bool _brief;

    internal OomContest(OomRequest request)
    {
        _request = request;
        _root = request.Root;
        _group = _root;
        _waiter = new OomWaiter(request, _root);
    }

    internal enum Next
    {
        LookAgain,
        Kill,
        Sleep,
    }

    internal bool IsClean => _waiter.IsClean;

    internal void Forget()
    {
        _group = _root;
        _waiter.Forget();
    }

    // Leaves the others a tick to settle what a decision now would be too early for; not at all when it fits by then.
    internal static ValueTask<OomVerdict> PauseAsync(OomRequest request, MemoryGroup group) =>
        WaitAsync(request, group, group.Root.PauseTick, () => !request.FitsIn(group));

    // Waits for an event at the group without taking part in its OOM: behind an aged request, for a victim of the root,
    // or for one tick when the kill lock was busy. It is not marked, so releases are not told to it: of two that pause
    // each would wake the other by its release, and enter an OOM each time.
    [AsyncMethodBuilder(typeof(PooledValueTaskBuilder<>))]
    internal static async ValueTask<OomVerdict> WaitAsync(
        OomRequest request, MemoryGroup group, TimeSpan? atMost, Func<bool> stillWaits)
    {
        OomContest contest = request.Contest.Begin(group);
        try
        {
            contest.EnterQueue();
            contest._root.WaitQueue.PassTurnOn(request);

            // As in the contest: stock that opened before we were counted as a waiter must not hide bytes from us.
            contest._root.Stocks.DrainAll(group);
            return stillWaits() && !request.HasLostItsGroup
                ? contest.VerdictOn(await contest.SleepAsync(atMost).ConfigureAwait(false))
                : OomVerdict.Retry;
        }
        finally
        {
            contest.Leave();
        }
    }

    // A waiter that somebody may still know is left to them, and the request with it.
    internal OomContest Begin(MemoryGroup group)
    {
        _group = group;
        if (_waiter.IsClean)
        {
            _waiter.Prepare(group);
        }
        else
        {
            _waiter = _request.NewWaiter(group);
        }

        return this;
    }

    // All of it at once, up to the point at which it has to wait for somebody.
    internal Next Compete()
    {
        Probe.At(_root, ProbePoint.ChargeRefused, _request);
        EnterQueue();
        if (_request.TurnAt != _group)
        {
            _root.WaitQueue.PassTurnOn(_request);
        }

        Probe.At(_root, ProbePoint.Queued, _request);
        Mark();
        Probe.At(_root, ProbePoint.Marked, _request);

        // Stock that opened before we were counted as a waiter comes back here; none opens after. A limit that was cut
        // before that woke nobody who may have to leave because of it, nor did a group that was closed before.
        _root.Stocks.DrainAll(_group);
        if (_request.FitsIn(_group) || _request.IsImpossible || _request.HasLostItsGroup)
        {
            return Next.LookAgain;
        }

        // A request that ended while it reclaimed starts no OOM: its sleep ends at once, with the reason.
        if (_request.IsOver)
        {
            return Next.Sleep;
        }

        if (!_root.OomKiller.HasVictimInFlight(_group))
        {
            TryLock();
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
            return Next.Kill;
        }

        // A winner whose group has its killer disabled sleeps holding the lock (S000-21).
        _group.Events.Raise(MemoryEvent.Wait);
        return Next.Sleep;
    }

    // Neither marked nor queued while killing (S000-12): the kill is what makes the wakes.
    internal async ValueTask<OomVerdict> KillAsync()
    {
        using (_root.EnterGuard(_group))
        {
            LeaveQueueLocked();
        }

        // Bytes that came back since we queued may have been kept for us. A handler can take its time: those bytes are
        // ours now, or somebody else's.
        if (_request.FitsIn(_group))
        {
            return OomVerdict.Retry;
        }

        _root.WaitQueue.PassHintOn(_request, granted: false);
        OomVerdict verdict = await _root.OomKiller.KillForGroupAsync(_request, _group).ConfigureAwait(false);
        Probe.At(_root, ProbePoint.KillReturned, _request);
        return verdict;
    }

    internal ValueTask<WakeReason> SleepAsync(TimeSpan? atMost)
    {
        TimeSpan left = _request.TimeLeft;
        _brief = atMost is { } limit && (left == Timeout.InfiniteTimeSpan || limit < left);
        if (left == TimeSpan.Zero)
        {
            return ValueTask.FromResult(WakeReason.TimedOut);
        }

        Probe.At(_root, ProbePoint.BeforeSleep, _request);
        return _waiter.SleepAsync(_brief ? atMost!.Value : left, _request.Cancel);
    }

    internal OomVerdict VerdictOn(WakeReason reason)
    {
        Probe.At(_root, ProbePoint.Woken, _request);
        return reason switch
        {
            WakeReason.Hint => OomVerdict.Retry,
            WakeReason.Killed => OomVerdict.Killed,
            WakeReason.Cancelled => OomVerdict.Cancelled,
            WakeReason.TimedOut => _brief ? OomVerdict.Retry : OomVerdict.TimedOut,
            _ => OomVerdict.Closed,
        };
    }

    private void EnterQueue()
    {
        _root.WaitQueue.Enter(_waiter);
        _queued = true;

        // We asked again and are waiting again: whatever we were woken for may do for somebody else.
        _root.WaitQueue.PassHintOn(_request, granted: false);
    }

    private void Mark()
    {
        using (_root.EnterGuard(_group))
        {
            _group.OomMarks++;
            _waiter.IsMarked = true;
        }
    }

    // Whoever tries has had its turn: if it loses, the holder gives the next one.
    private void TryLock()
    {
        using (_root.EnterGuard(_group))
        {
            _locked = OomLock.TryAcquireLocked(_group, this);
            _waiter.HasTurn = false;
            _request.TurnAt = null;
        }
    }

    // Also what it was woken for, by an event that it may have slept through.
    private void LeaveQueueLocked()
    {
        if (!_queued)
        {
            return;
        }

        _queued = false;
        if (_waiter.IsMarked)
        {
            _waiter.IsMarked = false;
            _group.OomMarks--;
        }

        _root.WaitQueue.LeaveLocked(_waiter);
        if (_waiter.Signal == WakeReason.Hint)
        {
            _request.HintFrom = _group;
        }

        if (_waiter.HasTurn)
        {
            _request.TurnAt = _group;
        }
    }

    // The only way out. Who did not hold the lock wakes nobody (S000-19).
    internal void Leave()
    {
        bool held = _locked;
        WokenWaiters next = default;
        using (_root.EnterGuard(_group))
        {
            LeaveQueueLocked();
            if (held)
            {
                _locked = false;
                OomLock.ReleaseLocked(_group, this);
                _root.WaitQueue.GiveTurnsLocked(_group, ref next);
            }
        }

        if (held)
        {
            Probe.At(_root, ProbePoint.Released, _request);
        }

        next.Complete();
    }
}
