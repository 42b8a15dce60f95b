// One sleep of one actor: a latch that is completed once, with a reason.
//
// A wake may come before the sleep begins; the latch keeps it. Whoever sets the reason does so under the root's guard
// and completes the latch after it, by way of the root's Post, so continuations never run under a lock of ours or on
// the stack of somebody who merely uncharged. Exactly one setter wins; the others do nothing.
//
// The waiter of a contest sleeps again and again, for one request after the other, as long as it is clean: a latch that
// somebody may still complete, or a token that may still call, is never used again. Only its timer may call late.
using System.Threading.Tasks.Sources;

namespace MemoryGroups;

internal enum WakeReason
{
    None = 0,

    // Something changed: look again. Never a promise.
    Hint,
    Killed,
    Cancelled,
    TimedOut,

    // The member or its group is gone.
    Closed,
}

internal sealed class OomWaiter : IValueTaskSource<WakeReason>, IThreadPoolWorkItem
{
    private const long Never = long.MaxValue;

    private ManualResetValueTaskSourceCore<WakeReason> _latch;
    private ITimer? _timer;
    private CancellationTokenRegistration _cancellation;

    // When this sleep ends at the latest, as a timestamp.
    private long _deadline = Never;

    private bool _wasDelivered;

    // Guarded by the root's guard, both.
    internal WaiterLinks QueueLinks;
    internal WaiterLinks MemberLinks;

    internal OomWaiter(OomRequest request, MemoryGroup group)
    {
        Request = request;
        Group = group;
    }

    internal OomRequest Request { get; }

    // The group that refused; only events related to it concern this waiter.
    internal MemoryGroup Group { get; private set; }

    internal MemoryRoot Root => Request.Root;

    internal MemoryMember? Member => Request.Asker;

    internal long Bytes => Request.Bytes;

    internal long Ticket => Request.Ticket;

    // Guarded by the root's guard, down to Signal.
    internal bool IsQueued { get; set; }

    // It is in the contest for the OOM lock of its group, and counted among the group's marks.
    internal bool IsMarked { get; set; }

    // It was told to look again because the OOM lock became free: if it does not try it, somebody else must.
    internal bool HasTurn { get; set; }

    internal WakeReason Signal { get; private set; }

    // Nobody else can know it any more: it was never signalled, or only told to look again, and that was delivered. The
    // timer's callback may still come, and looks at the clock. A token whose callback may still come is cancelled, and
    // then its charge ends in an exception.
    internal bool IsClean => Signal == WakeReason.None || (Signal == WakeReason.Hint && _wasDelivered);

    // Between two requests: no group is kept alive by a waiter that sleeps for nobody.
    internal void Forget() => Group = Root;

    // For the next sleep. It still has its last signal, so a late timer finds nothing to end before the queue is
    // entered, under the guard (RestartLocked).
    internal void Prepare(MemoryGroup group)
    {
        Group = group;
        _wasDelivered = false;
        _latch.Reset();
    }

    internal void RestartLocked()
    {
        Signal = WakeReason.None;
        HasTurn = false;
        Volatile.Write(ref _deadline, Never);
    }

    // True for the one caller that has to Complete it, after the guard.
    internal bool TrySignalLocked(WakeReason reason)
    {
        if (Signal != WakeReason.None)
        {
            return false;
        }

        Signal = reason;
        if (IsQueued)
        {
            Group.Waiters!.MoveToLeaving(this);
        }

        return true;
    }

    internal void Complete() => Root.Post(this);

    // Sleeps until signalled. The deadline and the token are armed here and disarmed by the sleeper itself (GetResult),
    // so nobody disposes a registration under a lock its callback may want.
    internal ValueTask<WakeReason> SleepAsync(TimeSpan timeout, CancellationToken cancel)
    {
        try
        {
            Arm(timeout, cancel);
        }
        catch
        {
            Disarm();
            throw;
        }

        return new ValueTask<WakeReason>(this, _latch.Version);
    }

    // Without memory for a timer there is no deadline, and without a deadline no sleep: the wait is over at once. No
    // exception: who waits has queue entries and locks to undo, and the way out through TimedOut undoes them.
    private void Arm(TimeSpan timeout, CancellationToken cancel)
    {
        try
        {
            if (timeout != Timeout.InfiniteTimeSpan)
            {
                ArmTimer(timeout);
            }

            _cancellation = cancel.UnsafeRegister(
                static state => ((OomWaiter)state!).End(WakeReason.Cancelled), this);
        }
        catch (OutOfMemoryException)
        {
            End(WakeReason.TimedOut);
        }
    }

    private void ArmTimer(TimeSpan timeout)
    {
        TimeProvider time = Root.TimeProvider;
        double stampsPerTick = time.TimestampFrequency / (double)TimeSpan.TicksPerSecond;
        Volatile.Write(ref _deadline, time.GetTimestamp() + (long)(timeout.Ticks * stampsPerTick));
        if (_timer is null)
        {
            // The timer outlives this sleep; what flows with it must not.
            AsyncFlowControl? flow = ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();
            try
            {
                _timer = time.CreateTimer(
                    static state => ((OomWaiter)state!).OnTimer(), this, timeout, Timeout.InfiniteTimeSpan);
            }
            finally
            {
                flow?.Undo();
            }
        }
        else
        {
            _timer.Change(timeout, Timeout.InfiniteTimeSpan);
        }
    }

    // A timer that fires says no more than: look at the clock. It may have been set for an earlier sleep and come late,
    // or come a little early for this one.
    private void OnTimer()
    {
        long deadline;
        do
        {
            TimeSpan left;
            using (Root.EnterGuard())
            {
                deadline = Volatile.Read(ref _deadline);
                if (deadline == Never || Signal != WakeReason.None)
                {
                    return;
                }

                left = Root.TimeProvider.GetElapsedTime(Root.TimeProvider.GetTimestamp(), deadline);
                if (left <= TimeSpan.Zero)
                {
                    TrySignalLocked(WakeReason.TimedOut);
                }
            }

            if (left <= TimeSpan.Zero)
            {
                Complete();
                return;
            }

            // In whole milliseconds, as timers count. If another sleep began meanwhile this was set for the wrong one.
            _timer!.Change(TimeSpan.FromMilliseconds(Math.Ceiling(left.TotalMilliseconds)), Timeout.InfiniteTimeSpan);
        }
        while (deadline != Volatile.Read(ref _deadline));
    }

    // Unregister, not Dispose: Dispose would wait for a callback that is running at this moment.
    private void Disarm()
    {
        _cancellation.Unregister();
        _cancellation = default;
        _timer?.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    internal void End(WakeReason reason)
    {
        bool mine;
        using (Root.EnterGuard())
        {
            mine = TrySignalLocked(reason);
        }

        if (mine)
        {
            Complete();
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        Probe.At(Root, ProbePoint.WakeDelivered, this);
        _latch.SetResult(Signal);
    }

    WakeReason IValueTaskSource<WakeReason>.GetResult(short token)
    {
        WakeReason reason = _latch.GetResult(token);
        _wasDelivered = true;
        Disarm();
        return reason;
    }

    ValueTaskSourceStatus IValueTaskSource<WakeReason>.GetStatus(short token) => _latch.GetStatus(token);

    void IValueTaskSource<WakeReason>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _latch.OnCompleted(continuation, state, token, flags);
}
