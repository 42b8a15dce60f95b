// One reclaim of a subtree: which reclaimers are asked for how much, in which order, and what came of it.
//
// When the whole root is short, groups above their soft limit are asked for what they exceed it by, the largest excess
// first; what is still missing then concerns everybody.
//
// Groups at or below their effective Min are never asked. In a first pass groups at or below their effective Low are
// not asked either; only if that pass yields nothing does a second one ask them too (and counts it as a Low event).
// What a group is asked for is its share of the need by what it uses above its protection, never more than that. Cheap
// reclaimers come first; within one cost the larger group first.
//
// What a reclaimer says it gave is only a reason to look again: whether a charge fits is decided by the counters alone.
// A reclaimer that claims much and gives nothing therefore costs rounds, never correctness (see ChargeAttempt's bound).
// Follows mem_cgroup_calculate_protection and shrink_node in mm/vmscan.c.
using System.Diagnostics;

namespace MemoryGroups;

internal sealed class SubtreeReclaim
{
    private readonly OomRequest _request;
    private readonly MemoryGroup _target;
    private readonly ReclaimReason _reason;
    private readonly MemoryProtection _protection;
    private readonly List<Source> _sources = [];
    private bool _skippedLow;

    private SubtreeReclaim(OomRequest request, MemoryGroup target, ReclaimReason reason)
    {
        _request = request;
        _target = target;
        _reason = reason;
        _protection = new MemoryProtection(target);
    }

    // Cost and usage as they were at the start: a sort by values that move meanwhile has no defined end.
    private readonly record struct Source(MemoryGroup Group, MemoryReclaimer Reclaimer, int Cost, long Usage);

    // What was given back by all that were asked, as they say.
    internal static async ValueTask<long> RunAsync(
        OomRequest request, MemoryGroup target, long bytes, ReclaimReason reason)
    {
        if (target.ReclaimersInSubtree == 0)
        {
            return 0;
        }

        var reclaim = new SubtreeReclaim(request, target, reason);
        return await reclaim.RunAsync(bytes, synchronously: false).ConfigureAwait(false);
    }

    // For Charge, which never waits: reclaimers run on the caller's thread, and one that does not finish there counts
    // as having given nothing yet.
    internal static long Run(OomRequest request, MemoryGroup target, long bytes, ReclaimReason reason)
    {
        if (target.ReclaimersInSubtree == 0)
        {
            return 0;
        }

        ValueTask<long> run = new SubtreeReclaim(request, target, reason).RunAsync(bytes, synchronously: true);
        Debug.Assert(run.IsCompleted, "nothing is ever awaited here");
        return run.GetAwaiter().GetResult();
    }

    private async ValueTask<long> RunAsync(long bytes, bool synchronously)
    {
        Collect();
        long given = _target.Parent is null && _reason == ReclaimReason.Capacity
            ? await SoftPassAsync(bytes, synchronously).ConfigureAwait(false)
            : 0;
        if (given < bytes)
        {
            given += await PassAsync(_sources, bytes - given, evenLow: false, synchronously).ConfigureAwait(false);
        }

        return given == 0 && _skippedLow
            ? await PassAsync(_sources, bytes, evenLow: true, synchronously).ConfigureAwait(false)
            : given;
    }

    private async ValueTask<long> SoftPassAsync(long bytes, bool synchronously)
    {
        long given = 0;
        foreach ((MemoryGroup group, long excess) in OverSoftLimit())
        {
            List<Source> below = [.. _sources.Where(source => source.Group.IsWithin(group))];
            long ask = Math.Min(excess, bytes - given);
            if (ask > 0)
            {
                given += await PassAsync(below, ask, evenLow: false, synchronously).ConfigureAwait(false);
            }
        }

        return given;
    }

    private List<(MemoryGroup Group, long Excess)> OverSoftLimit()
    {
        var over = new List<(MemoryGroup Group, long Excess)>();
        var seen = new HashSet<MemoryGroup>();
        foreach (Source source in _sources)
        {
            // Whoever has been here has been further up as well.
            for (MemoryGroup? at = source.Group; at is not null && seen.Add(at); at = at.Parent)
            {
                if (at.Usage - at.SoftLimit is > 0 and long excess)
                {
                    over.Add((at, excess));
                }
            }
        }

        over.Sort(static (a, b) => b.Excess.CompareTo(a.Excess));
        return over;
    }

    private void Collect()
    {
        var stack = new Stack<MemoryGroup>();
        stack.Push(_target);
        while (stack.TryPop(out MemoryGroup? group))
        {
            foreach (MemoryReclaimer reclaimer in group.Reclaimers)
            {
                _sources.Add(new Source(group, reclaimer, CostOf(reclaimer), group.Usage));
            }

            foreach (MemoryGroup? child in group.ChildRoster.Read())
            {
                if (child is { ReclaimersInSubtree: > 0 })
                {
                    stack.Push(child);
                }
            }
        }

        // One picture for all passes: what the first takes is no reason to protect less in the next.
        foreach (Source source in _sources)
        {
            _protection.Of(source.Group);
        }

        _sources.Sort(static (a, b) =>
        {
            int byCost = a.Cost.CompareTo(b.Cost);
            return byCost != 0 ? byCost : b.Usage.CompareTo(a.Usage);
        });
    }

    // User code: one that throws is asked last.
    private static int CostOf(MemoryReclaimer reclaimer)
    {
        try
        {
            return reclaimer.Cost;
        }
        catch (Exception)
        {
            return int.MaxValue;
        }
    }

    private async ValueTask<long> PassAsync(List<Source> sources, long bytes, bool evenLow, bool synchronously)
    {
        long given = 0;
        var exhausted = new HashSet<Source>();

        // Shares first, so that nobody pays for all; then whoever still has something pays for the rest.
        for (int round = 0; round < 3 && given < bytes && exhausted.Count < sources.Count; round++)
        {
            long need = bytes - given;
            long reclaimable = round == 0 ? SumOfReclaimable(sources, evenLow) : 0;
            foreach (Source source in sources)
            {
                if (given >= bytes || exhausted.Contains(source))
                {
                    continue;
                }

                long room = ReclaimableIn(source.Group, evenLow);
                long share = round > 0 ? bytes - given : ShareOf(need, room, reclaimable);
                long ask = Math.Min(Math.Min(share, room), bytes - given);
                long gave = ask <= 0 ? 0
                    : synchronously ? AskNow(source, ask)
                    : await AskAsync(source, ask).ConfigureAwait(false);
                given += gave;
                if (gave <= 0)
                {
                    exhausted.Add(source);
                }
                else if (evenLow && source.Group != _target && source.Group.Usage < _protection.Of(source.Group).Low)
                {
                    source.Group.Events.Raise(MemoryEvent.Low);
                }
            }
        }

        return given;
    }

    // Rounded up. The sum is older than the part: usage moves meanwhile, and a share may come out above the whole.
    private static long ShareOf(long need, long room, long reclaimable) =>
        (long)Int128.Min(need, ((Int128)need * room / Math.Max(1, reclaimable)) + 1);

    private long SumOfReclaimable(List<Source> sources, bool evenLow)
    {
        long sum = 0;
        foreach (MemoryGroup group in sources.Select(static source => source.Group).Distinct())
        {
            sum += ReclaimableIn(group, evenLow);
        }

        return sum;
    }

    // What a group uses above its protection.
    private long ReclaimableIn(MemoryGroup group, bool evenLow)
    {
        EffectiveProtection keep = _protection.Of(group);
        long usage = group.Usage;
        if (!evenLow && keep.Low > keep.Min)
        {
            // Also when only a part was withheld: that part is left to try before somebody is killed.
            _skippedLow = true;
        }

        return Math.Max(0, usage - (evenLow ? keep.Min : Math.Max(keep.Min, keep.Low)));
    }

    private async ValueTask<long> AskAsync(Source source, long bytes)
    {
        MemoryReclaimer reclaimer = source.Reclaimer;
        if (!reclaimer.TryBegin())
        {
            return NoteBusy(reclaimer, bytes);
        }

        var request = new ReclaimRequest(source.Group, bytes, _reason);
        UserCallResult<long> result = await UserCall<long>.RunAsync(
            _request,
            _target,
            _request.Root.ReclaimDeadline,
            token => reclaimer.ReclaimAsync(request, token),
            reclaimer.End).ConfigureAwait(false);
        return Note(reclaimer, bytes, result);
    }

    private long AskNow(Source source, long bytes)
    {
        MemoryReclaimer reclaimer = source.Reclaimer;
        if (!reclaimer.TryBegin())
        {
            return NoteBusy(reclaimer, bytes);
        }

        UserCallResult<long> result;
        try
        {
            ValueTask<long> call = CallInScopeAsync(
                reclaimer, new ReclaimRequest(source.Group, bytes, _reason));
            if (!call.IsCompleted)
            {
                _ = EndWhenOverAsync(call.AsTask(), reclaimer);
                return Note(reclaimer, bytes, new UserCallResult<long>(UserCallStatus.Late, 0, null));
            }

            result = new UserCallResult<long>(UserCallStatus.Done, call.GetAwaiter().GetResult(), null);
        }
        catch (Exception error)
        {
            result = new UserCallResult<long>(UserCallStatus.Threw, 0, error);
        }

        reclaimer.End();
        return Note(reclaimer, bytes, result);
    }

    private async ValueTask<long> CallInScopeAsync(MemoryReclaimer reclaimer, ReclaimRequest request)
    {
        Reentry scope = Reentry.Enter(_target);
        try
        {
            return await reclaimer.ReclaimAsync(request, CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            scope.End();
        }
    }

    private static async Task EndWhenOverAsync(Task call, MemoryReclaimer reclaimer)
    {
        await call.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        reclaimer.End();
    }

    private long NoteBusy(MemoryReclaimer reclaimer, long bytes)
    {
        _request.SawBusy = true;
        _request.Note(new ReclaimStep(reclaimer.Name, bytes, 0, "busy"));
        return 0;
    }

    private long Note(MemoryReclaimer reclaimer, long bytes, UserCallResult<long> result)
    {
        // Late while somebody sleeps for want of this very memory: most likely the reclaimer waits for them.
        bool cycle = result.Status == UserCallStatus.Late && _target.Root.WaitQueue.Length > 0;
        long gave = MemoryReclaimer.Believable(result.Value);
        if (_reason != ReclaimReason.Requested && result.Status != UserCallStatus.Abandoned)
        {
            _target.Pressure.Account(bytes, gave);
        }

        _request.Note(new ReclaimStep(
            reclaimer.Name,
            bytes,
            gave,
            cycle ? "late, and charges wait for memory here: it may be waiting for one of them" : result.Outcome));
        return gave;
    }
}
