// Setting Max below what is in use: three ways, each with a defined end.
//
//   Max = x          installs and returns; the next charge meets it (the kernel's non-blocking write)
//   TrySetMax(x)     reclaims, and refuses rather than kill; the old limit stays when it does not fit (cgroup v1)
//   SetMaxAsync(x)   installs first, so that a growing group cannot win the race (B33), then reclaims and kills until
//                    the usage fits or nothing killable is left; the limit stays either way (cgroup v2)
// The root has no Max; what it does when its room shrinks below the usage is the third without the limit.
// Follows memory_max_write in mm/memcontrol.c and mem_cgroup_resize_max in mm/memcontrol-v1.c.
namespace MemoryGroups;

internal static class LimitChange
{
    internal static void Install(MemoryGroup group, long bytes)
    {
        // What it replaced, not what it was a moment ago: of two changes at once, the one that comes second may raise
        // what the first has lowered, and whoever sleeps because of the first has to hear of it.
        long before;
        Probe.At(group.Root, ProbePoint.BeforeSwap, group.Counter);
        using (group.Root.EnterGuard(group))
        {
            group.Counter.SetLimit(bytes, out before);
        }

        Tell(group, bytes, before);
    }

    private static void Tell(MemoryGroup group, long bytes, long before)
    {
        group.Root.LimitsChanged();
        if (bytes > before)
        {
            group.Root.WaitQueue.WakeAll(group);
        }
        else
        {
            // Stock that was fine under the old limit may be too much under the new one; and who sleeps for more than
            // can ever fit now is refused.
            group.Root.Stocks.Drain(group);
            group.Root.WaitQueue.WakeImpossible(group);
        }
    }

    // True when the usage fits at the end.
    internal static async ValueTask<bool> SetAsync(MemoryGroup group, long bytes, CancellationToken cancel)
    {
        Install(group, bytes);
        return await MeetAsync(group, cancel).ConfigureAwait(false);
    }

    // Reclaims and kills until the usage fits. The root comes here when its room has shrunk: at it, what was measured
    // is measured again, and the last resort is tried, before each kill.
    internal static async ValueTask<bool> MeetAsync(MemoryGroup group, CancellationToken cancel)
    {
        var request = new OomRequest(group.Root, null, 0, ChargeFlags.None, group.WaitTimeout) { Cancel = cancel };
        ReclaimReason reason = group.Parent is null ? ReclaimReason.Capacity : ReclaimReason.LimitLowered;
        int rounds = 0;
        while (!request.FitsIn(group) && !cancel.IsCancellationRequested && request.TimeLeft != TimeSpan.Zero)
        {
            long over = -group.Counter.Room(request.RootFloor);
            request.SawBusy = false;
            long gave = await SubtreeReclaim.RunAsync(request, group, over, reason).ConfigureAwait(false);
            if (request.FitsIn(group) || (gave > 0 && ++rounds < ChargeAttempt.MaxRounds))
            {
                continue;
            }

            if (gave == 0 && request.SawBusy && ++rounds < ChargeAttempt.MaxRounds)
            {
                // Somebody else's reclaim is under way: a kill now would be early.
                await OomContest.PauseAsync(request, group).ConfigureAwait(false);
                continue;
            }

            if (group.Parent is null && await RelieveRootAsync(request).ConfigureAwait(false)
                && ++rounds < ChargeAttempt.MaxRounds)
            {
                continue;
            }

            rounds = 0;
            group.Pressure.Despair();
            if (!await KillOneAsync(request, group).ConfigureAwait(false))
            {
                break;
            }
        }

        group.Root.WaitQueue.Finish(request, granted: false);
        return request.FitsIn(group);
    }

    // The old limit is put back when the usage does not fit: a charge that came in between is not undone by us.
    internal static async ValueTask<bool> TrySetAsync(MemoryGroup group, long bytes, CancellationToken cancel)
    {
        var request = new OomRequest(group.Root, null, 0, ChargeFlags.None, group.WaitTimeout) { Cancel = cancel };
        for (int rounds = 0; ; rounds++)
        {
            if (bytes >= group.Counter.Limit)
            {
                Install(group, bytes);
                return true;
            }

            group.Root.Stocks.Drain(group);
            if (group.Usage <= bytes)
            {
                if (TryInstall(group, bytes, out long before))
                {
                    // May be a raise all the same, when somebody set a still lower one since we looked.
                    Tell(group, bytes, before);
                    return true;
                }

                // Usage grew between the look and the change, and we look again.
                Tell(group, before, bytes);
            }

            if (rounds == ChargeAttempt.MaxRounds || cancel.IsCancellationRequested)
            {
                return false;
            }

            long over = group.Usage - bytes;
            long gave = over <= 0 ? 0 : await SubtreeReclaim.RunAsync(request, group, over, ReclaimReason.LimitLowered)
                .ConfigureAwait(false);
            if (over > 0 && gave == 0 && group.Usage > bytes)
            {
                group.Pressure.Despair();
                return false;
            }
        }
    }

    // One step for whoever else sets a limit, or the one put back could undo theirs: it may be the same number. Not for
    // charges: one that comes in between is refused by the limit that does not stay, and told when it is gone.
    private static bool TryInstall(MemoryGroup group, long bytes, out long before)
    {
        Probe.At(group.Root, ProbePoint.BeforeSwap, group.Counter);
        using (group.Root.EnterGuard(group))
        {
            bool fits = group.Counter.SetLimit(bytes, out before) <= bytes;
            if (!fits)
            {
                group.Counter.SetLimit(before, out _);
            }

            return fits;
        }
    }

    // True when it gave something.
    private static async ValueTask<bool> RelieveRootAsync(OomRequest request)
    {
        MemoryRoot root = request.Root;
        long measured = root.Gauge.Relieve(request);
        return measured > 0 || request.FitsIn(root)
            || await root.LastResort.RunAsync(request, -root.Counter.Room(request.RootFloor)).ConfigureAwait(false) > 0;
    }

    // False when killing cannot help any more.
    private static async ValueTask<bool> KillOneAsync(OomRequest request, MemoryGroup group)
    {
        if (group.Oom.KillDisabled)
        {
            return false;
        }

        OomKiller killer = group.Root.OomKiller;
        if (!killer.HasVictimInFlight(group))
        {
            group.Events.Raise(MemoryEvent.Oom);
            OomVerdict verdict = await killer.KillForGroupAsync(request, group).ConfigureAwait(false);
            if (verdict == OomVerdict.Unsettled)
            {
                await OomContest.PauseAsync(request, group).ConfigureAwait(false);
                return true;
            }

            if (verdict != OomVerdict.Retry)
            {
                return false;
            }
        }

        OomVerdict waited = await OomContest.WaitAsync(
            request, group, null, () => !request.FitsIn(group) && killer.HasVictimInFlight(group))
            .ConfigureAwait(false);
        return waited == OomVerdict.Retry;
    }
}
