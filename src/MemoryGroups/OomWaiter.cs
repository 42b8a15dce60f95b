// One sleep of one actor: a latch that is completed once, with a reason.
//
// A wake may come before the sleep begins; the latch keeps it. Whoever sets the reason does so under the root's guard
// and completes the latch after it, by way of the root's Post, so continuations never run under a lock of ours or on
// the stack of somebody who merely uncharged. Exactly one setter wins; the others do nothing.
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
    private ManualResetValueTaskSourceCore<WakeReason> _latch;
    private ITimer? _timer;
    private CancellationTokenRegistration _cancellation;

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
    internal MemoryGroup Group { get; }

    internal MemoryRoot Root => Request.Root;

    internal MemoryMember? Member => Request.Asker;

    internal long Bytes => Request.Bytes;

    internal long Ticket => Request.Ticket;

    // It looks again after a tick in any case.
    internal bool IsPause { get; set; }

    // Guarded by the root's guard, down to Signal.
    internal bool IsQueued { get; set; }

    internal WakeReason Signal { get; private set; }

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

    // Sleeps until signalled. The deadline and the token are armed here and disarmed by the sleeper itself, so nobody
    // disposes a registration under a lock its callback may want.
    internal async ValueTask<WakeReason> SleepAsync(TimeSpan timeout, CancellationToken cancel)
    {
        try
        {
            Arm(timeout, cancel);
            return await new ValueTask<WakeReason>(this, _latch.Version).ConfigureAwait(false);
        }
        finally
        {
            // Unregister, not Dispose: Dispose would wait for a callback that is running at this moment.
            _cancellation.Unregister();
            _timer?.Dispose();
        }
    }

    // Without memory for a timer there is no deadline, and without a deadline no sleep: the wait is over at once. No
    // exception: who waits has queue entries and locks to undo, and the way out through TimedOut undoes them.
    private void Arm(TimeSpan timeout, CancellationToken cancel)
    {
        try
        {
            if (timeout != Timeout.InfiniteTimeSpan)
            {
                _timer = Root.TimeProvider.CreateTimer(
                    static state => ((OomWaiter)state!).End(WakeReason.TimedOut),
                    this,
                    timeout,
                    Timeout.InfiniteTimeSpan);
            }

            _cancellation = cancel.UnsafeRegister(
                static state => ((OomWaiter)state!).End(WakeReason.Cancelled), this);
        }
        catch (OutOfMemoryException)
        {
            End(WakeReason.TimedOut);
        }
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

    WakeReason IValueTaskSource<WakeReason>.GetResult(short token) => _latch.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<WakeReason>.GetStatus(short token) => _latch.GetStatus(token);

    void IValueTaskSource<WakeReason>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _latch.OnCompleted(continuation, state, token, flags);
}
