// The OOM of the root: its capacity is the process-wide budget, and running out of it is nobody's group's business.
//
//   measure   what is used and was not declared, when that counts: again, after a garbage collection if that can pay
//   gate      asked once, before anything else; a refused request runs no reclaimers and kills nobody (S001-3)
//   chain     the last-resort reclaimers, outside every lock; what they gave back is the asker's progress (S001-6)
//   trylock   of the kill lock: busy means somebody else is making progress; pause one tick and start over (S001-9)
//   attempt   one plain charge at the HIGH watermark: finds what the chain or a parallel kill has freed (S001-10)
//   kill      only if the chain gave nothing this round: freed memory vetoes the kill (D4)
// A victim on its way out is waited for, by its exit or the reaper's deadline. Follows __alloc_pages_may_oom in
// mm/page_alloc.c.
namespace MemoryGroups;

internal static class GlobalOom
{
    // Granted is told apart from Retry because the attempt under the kill lock charges for good.
    internal readonly record struct Result(bool Granted, bool GateRefused, OomVerdict Verdict);

    // All six conditions of the gate (S001-4). A NoReclaim request passes: the asker may be dying and need the reserve.
    private static bool IsRefusedByGate(OomRequest request) =>
        request is { Asker.IsDumping: true }
        || request.Bytes > request.Root.CostlyChargeBytes
        || request.Has(ChargeFlags.RetryMayFail)
        || request.Has(ChargeFlags.Confined)
        || request.Root.StorageSuspended
        || request.Has(ChargeFlags.NoWait);

    internal static async ValueTask<Result> RunAsync(OomRequest request, MemberBooks books, bool trustChain)
    {
        MemoryRoot root = request.Root;
        bool allowed = !IsRefusedByGate(request);
        long freed = 0;
        if (allowed && TryRelieve(request))
        {
            return new Result(false, false, OomVerdict.Retry);
        }

        if (allowed)
        {
            long? gave = await root.LastResort.RunAsync(request).ConfigureAwait(false);
            if (gave is null && request.Asker is not { IsDying: true })
            {
                // Cancelled or out of time: the attempt finds out which.
                bool late = request.TimeLeft == TimeSpan.Zero;
                return new Result(false, false, late ? OomVerdict.TimedOut : OomVerdict.Retry);
            }

            // Who died while waiting for the chain got nothing from it and goes on to the killer, for the reserve.
            freed = trustChain ? gave ?? 0 : 0;
        }

        // A custom policy and a handler are user code: before the lock.
        var kill = new OomKill(request, root, "the root's capacity was exhausted");
        IReadOnlyList<OomCandidate>? ranking = null;
        if (allowed && freed == 0 && !root.OomKiller.IsDisabled && !root.OomKiller.HasVictimInFlight(root))
        {
            (OomVerdict? settled, ranking) = await root.OomKiller.AskAsync(kill).ConfigureAwait(false);
            if (settled is { } verdict)
            {
                return new Result(false, false, verdict);
            }
        }

        Probe.At(root, ProbePoint.BeforeKillLock, request);
        if (!root.KillLock.TryAcquire())
        {
            return new Result(false, false, await PauseAsync(request, root.PauseTick).ConfigureAwait(false));
        }

        Result result;
        try
        {
            result = UnderKillLock(kill, books, allowed, freed, ranking);
        }
        finally
        {
            root.KillLock.Release();
            kill.Publish();
        }

        if (result is { Granted: false, Verdict: OomVerdict.Retry } && root.OomKiller.HasVictimInFlight(root))
        {
            return result with { Verdict = await PauseAsync(request, null).ConfigureAwait(false) };
        }

        return result;
    }

    // What counts against the capacity without having been declared is measured again, and garbage is collected when
    // that can pay, before anybody is asked or killed for it. True when the request fits now.
    private static bool TryRelieve(OomRequest request)
    {
        MemoryRoot root = request.Root;
        long gave = root.Gauge.Relieve(request);
        if (gave > 0)
        {
            request.Note(new ReclaimStep("unattributed memory", request.Bytes, gave, "measured again"));
        }

        return gave > 0 && request.FitsIn(root);
    }

    private static Result UnderKillLock(
        OomKill kill, MemberBooks books, bool allowed, long freed, IReadOnlyList<OomCandidate>? ranking)
    {
        OomRequest request = kill.Request;
        MemoryRoot root = request.Root;
        long high = Math.Max(request.RootFloor, root.HighWatermark);
        if (books.TryDraw(request.Bytes, high, out _))
        {
            return new Result(true, false, OomVerdict.Retry);
        }

        if (!allowed)
        {
            return new Result(false, true, OomVerdict.NoVictim);
        }

        if (freed > 0 || request.FitsIn(root))
        {
            return new Result(false, false, OomVerdict.Retry);
        }

        OomVerdict verdict = root.OomKiller.ChooseAndKill(kill, ranking);

        // What must not fail does not wait for the victim either, as long as the reserve below MIN has the bytes (M35).
        bool granted = verdict == OomVerdict.Retry && request.Has(ChargeFlags.NoFail)
            && books.TryDraw(request.Bytes, rootFloor: 0, out _);
        return new Result(granted, false, verdict);
    }

    // Sleeps at the root until something changes there, at most for the given time. Not marked: a full root is not an
    // OOM of any group, and notifies nobody (S004-10).
    private static ValueTask<OomVerdict> PauseAsync(OomRequest request, TimeSpan? atMost) =>
        OomContest.WaitAsync(request, request.Root, atMost, () =>
            !request.FitsIn(request.Root) && !request.IsImpossible
            && (atMost is not null || request.Root.OomKiller.HasVictimInFlight(request.Root))
            && request.Asker is not { MayUseReserve: true });
}
