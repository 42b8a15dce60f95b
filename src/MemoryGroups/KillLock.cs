// The kill lock: one per root, around the choice of a victim.
//
// Group OOMs wait for it, and a waiter that is killed meanwhile gives up (M17); the global path only tries it (S001-9).
// It is held across plain computation only, never across user code or a sleep (S001-1): holders that sleep would stop
// every other OOM of the process.
// Must stay true: at most one holder; released to the oldest waiter that still wants it; guarded by the root's guard.
namespace MemoryGroups;

internal sealed class KillLock(MemoryRoot root)
{
    private readonly WaiterList _waiting = new();
    private bool _held;

    internal bool IsHeld
    {
        get
        {
            using (root.EnterGuard())
            {
                return _held;
            }
        }
    }

    internal bool TryAcquire()
    {
        using (root.EnterGuard())
        {
            if (_held)
            {
                return false;
            }

            _held = true;
            return true;
        }
    }

    // Hint: the lock is ours. Anything else: it is not, and the reason says why.
    internal async ValueTask<WakeReason> AcquireAsync(OomRequest request)
    {
        OomWaiter waiter;
        using (root.EnterGuard())
        {
            if (!_held)
            {
                _held = true;
                return WakeReason.Hint;
            }

            waiter = request.NewWaiter(root);
            _waiting.Add(waiter);
        }

        root.WaitQueue.AttachToMember(waiter);
        WakeReason reason = await waiter.SleepAsync(request.TimeLeft, request.Cancel).ConfigureAwait(false);
        root.WaitQueue.DetachFromMember(waiter);
        using (root.EnterGuard())
        {
            _waiting.Remove(waiter);
        }

        return reason;
    }

    internal void Release()
    {
        OomWaiter? next = null;
        using (root.EnterGuard())
        {
            while (_waiting.First is { } first && next is null)
            {
                _waiting.Remove(first);
                if (first.TrySignalLocked(WakeReason.Hint))
                {
                    next = first;
                }
            }

            _held = next is not null;
        }

        next?.Complete();
    }
}
