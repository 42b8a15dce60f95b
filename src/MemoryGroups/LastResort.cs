// The last-resort reclaimers: what is tried when the whole root is exhausted, before somebody is killed.
//
// They run outside the kill lock and one run at a time: they may sleep, and a sleeper under the kill lock stops
// everybody (S001-1, S001-2); they need not be prepared for concurrent runs (S001-16). Who arrives while a run is under
// way shares its result instead of starting another: ten chargers must not have ten helpings freed (S001-18). A run
// belongs to nobody: who is killed or gives up leaves at once with nothing (S001-7), and the run goes on for the
// others, also when it was the one who started it. Else a second run would find a reclaimer still busy with the first,
// count that as nothing freed, and kill.
// Must stay true: at most one run; a run ends for all who waited for it; group OOMs never come here (S001-14).
namespace MemoryGroups;

internal sealed class LastResort(MemoryRoot root)
{
    // Guarded by the root's guard.
    private MemoryReclaimer[] _reclaimers = [];
    private Chain? _running;

    internal bool IsEmpty => Volatile.Read(ref _reclaimers).Length == 0;

    internal IDisposable Add(MemoryReclaimer reclaimer)
    {
        using (root.EnterGuard())
        {
            _reclaimers = [.. _reclaimers, reclaimer];
        }

        return new Registration(() => Remove(reclaimer));
    }

    // The bytes that the run gave back: the asker's progress. Null when the asker is dead, died or gave up meanwhile.
    internal ValueTask<long?> RunAsync(OomRequest request) => RunAsync(request, request.Bytes);

    internal async ValueTask<long?> RunAsync(OomRequest request, long bytes)
    {
        if (IsEmpty)
        {
            return 0;
        }

        OomWaiter waiter = request.NewWaiter(root);
        if (!root.WaitQueue.AttachToMember(waiter))
        {
            return null;
        }

        Chain chain;
        bool isFirst;
        using (root.EnterGuard())
        {
            isFirst = _running is null;
            chain = _running ?? new Chain(new OomRequest(
                root, null, Math.Max(1, bytes), ChargeFlags.None, Timeout.InfiniteTimeSpan));
            chain.Sharing.Add(waiter);
            _running = chain;
        }

        if (isFirst)
        {
            _ = RunChainAsync(chain);
        }

        WakeReason reason = await waiter.SleepAsync(request.TimeLeft, request.Cancel).ConfigureAwait(false);
        root.WaitQueue.DetachFromMember(waiter);
        if (reason != WakeReason.Hint)
        {
            return null;
        }

        foreach (ReclaimStep step in chain.Request.Tried)
        {
            request.Note(step);
        }

        return chain.Gave;
    }

    // What user code throws ends in the step's outcome. Without memory to ask, the run is over for all the same.
    private async Task RunChainAsync(Chain chain)
    {
        Probe.At(root, ProbePoint.ChainEntered, chain.Request);
        try
        {
            foreach (MemoryReclaimer reclaimer in Volatile.Read(ref _reclaimers))
            {
                await AskAsync(chain, reclaimer).ConfigureAwait(false);
            }
        }
        finally
        {
            List<OomWaiter> woken = [];
            using (root.EnterGuard())
            {
                _running = null;
                woken.AddRange(chain.Sharing.Where(static waiter => waiter.TrySignalLocked(WakeReason.Hint)));
            }

            foreach (OomWaiter waiter in woken)
            {
                waiter.Complete();
            }
        }

        Probe.At(root, ProbePoint.ChainLeft, chain.Request);
    }

    private async ValueTask AskAsync(Chain chain, MemoryReclaimer reclaimer)
    {
        OomRequest request = chain.Request;
        if (!reclaimer.TryBegin())
        {
            request.Note(new ReclaimStep(reclaimer.Name, request.Bytes, 0, "busy"));
            return;
        }

        var ask = new ReclaimRequest(root, request.Bytes, ReclaimReason.LastResort);
        UserCallResult<long> result = await UserCall<long>.RunAsync(
            request, root, root.ReclaimDeadline, token => reclaimer.ReclaimAsync(ask, token), reclaimer.End)
            .ConfigureAwait(false);
        long gave = MemoryReclaimer.Believable(result.Value);
        chain.Gave += gave;
        request.Note(new ReclaimStep(reclaimer.Name + " (last resort)", request.Bytes, gave, result.Outcome));
    }

    private void Remove(MemoryReclaimer reclaimer)
    {
        using (root.EnterGuard())
        {
            int at = Array.LastIndexOf(_reclaimers, reclaimer);
            _reclaimers = [.. _reclaimers.Where((_, index) => index != at)];
        }
    }

    // One run. Gave is written before the sharers are signalled under the guard, and read after.
    private sealed class Chain(OomRequest request)
    {
        internal OomRequest Request { get; } = request;

        internal List<OomWaiter> Sharing { get; } = [];

        internal long Gave { get; set; }
    }
}
