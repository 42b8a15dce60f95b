// The last-resort reclaimers: what is tried when the whole root is exhausted, before somebody is killed.
//
// They run outside the kill lock and one run at a time: they may sleep, and a sleeper under the kill lock stops
// everybody (S001-1, S001-2); they need not be prepared for concurrent runs (S001-16). Who waits for the run and is
// killed meanwhile leaves at once with nothing (S001-7). Who arrives while a run is under way shares its result instead
// of starting another: ten chargers must not have ten helpings freed (S001-18).
// Must stay true: at most one run; a run ends for all who waited for it; group OOMs never come here (S001-14).
namespace MemoryGroups;

internal sealed class LastResort(MemoryRoot root)
{
    // Guarded by the root's guard.
    private readonly List<OomWaiter> _sharing = [];
    private MemoryReclaimer[] _reclaimers = [];
    private bool _running;
    private long _lastGave;

    internal bool IsEmpty => Volatile.Read(ref _reclaimers).Length == 0;

    internal IDisposable Add(MemoryReclaimer reclaimer)
    {
        using (root.EnterGuard())
        {
            _reclaimers = [.. _reclaimers, reclaimer];
        }

        return new Registration(() => Remove(reclaimer));
    }

    // The bytes that the run gave back: the asker's progress. Null when the asker was killed or gave up while waiting.
    internal async ValueTask<long?> RunAsync(OomRequest request)
    {
        if (IsEmpty)
        {
            return 0;
        }

        OomWaiter? shared = null;
        using (root.EnterGuard())
        {
            if (_running)
            {
                shared = request.NewWaiter(root);
                _sharing.Add(shared);
            }

            _running = true;
        }

        return shared is null
            ? await RunChainAsync(request).ConfigureAwait(false)
            : await ShareAsync(request, shared).ConfigureAwait(false);
    }

    private async ValueTask<long?> ShareAsync(OomRequest request, OomWaiter shared)
    {
        root.WaitQueue.AttachToMember(shared);
        WakeReason reason = await shared.SleepAsync(request.TimeLeft, request.Cancel).ConfigureAwait(false);
        root.WaitQueue.DetachFromMember(shared);
        using (root.EnterGuard())
        {
            _sharing.Remove(shared);
            return reason == WakeReason.Hint ? _lastGave : null;
        }
    }

    // Abandoned only by the death of the asker; the reclaimer that runs at that moment ends on its own.
    private async ValueTask<long?> RunChainAsync(OomRequest request)
    {
        Probe.At(root, ProbePoint.ChainEntered, request);
        long gave = 0;
        bool abandoned = false;
        try
        {
            foreach (MemoryReclaimer reclaimer in Volatile.Read(ref _reclaimers))
            {
                if (!reclaimer.TryBegin())
                {
                    request.Note(new ReclaimStep(reclaimer.Name, request.Bytes, 0, "busy"));
                    continue;
                }

                var ask = new ReclaimRequest(root, Math.Max(1, request.Bytes), ReclaimReason.LastResort);
                UserCallResult<long> result = await UserCall<long>.RunAsync(
                    request, root, root.ReclaimDeadline, token => reclaimer.ReclaimAsync(ask, token), reclaimer.End)
                    .ConfigureAwait(false);
                gave += Math.Max(0, result.Value);
                abandoned = result.Status == UserCallStatus.Abandoned;
                request.Note(new ReclaimStep(
                    reclaimer.Name + " (last resort)", request.Bytes, Math.Max(0, result.Value), result.Outcome));
                if (abandoned)
                {
                    break;
                }
            }
        }
        finally
        {
            EndRun(gave);
            Probe.At(root, ProbePoint.ChainLeft, request);
        }

        return abandoned ? null : gave;
    }

    private void EndRun(long gave)
    {
        List<OomWaiter> woken = [];
        using (root.EnterGuard())
        {
            _lastGave = gave;
            _running = false;
            woken.AddRange(_sharing.Where(static waiter => waiter.TrySignalLocked(WakeReason.Hint)));
        }

        foreach (OomWaiter waiter in woken)
        {
            waiter.Complete();
        }
    }

    private void Remove(MemoryReclaimer reclaimer)
    {
        using (root.EnterGuard())
        {
            int at = Array.LastIndexOf(_reclaimers, reclaimer);
            _reclaimers = [.. _reclaimers.Where((_, index) => index != at)];
        }
    }
}
