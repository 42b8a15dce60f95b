// Reclaim that nobody waits for: of the root when its free bytes fall below LOW, up to HIGH; of a group whose High was
// set below its usage, down to High. Ends there, or when nothing comes.
//
// It kills nobody and blocks nobody, and at most one run of each is under way. A request that may not reclaim has a run
// of the root made for its bytes, too, before anybody is killed for it. Follows kswapd in mm/vmscan.c and
// memory_high_write in mm/memcontrol.c.
namespace MemoryGroups;

internal sealed class BackgroundReclaim(MemoryGroup group) : IThreadPoolWorkItem
{
    private bool _running;
    private long _wanted;

    internal bool IsRunning => Volatile.Read(ref _running);

    // Answers whether this call started a run, which then tries to have as many bytes free above HIGH.
    internal bool Start(long wanted = 0)
    {
        if (group.ReclaimersInSubtree == 0 || Interlocked.Exchange(ref _running, true))
        {
            return false;
        }

        _wanted = wanted;
        try
        {
            group.Root.Post(this);
            return true;
        }
        catch (OutOfMemoryException)
        {
            // Nobody waits for it, least of all the charge that was granted just now; the next one tries again.
            Interlocked.Exchange(ref _running, false);
            return false;
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = RunAsync();

    private async Task RunAsync()
    {
        ReclaimReason reason = group == group.Root ? ReclaimReason.Capacity : ReclaimReason.High;
        bool isMet;
        try
        {
            var request = new OomRequest(group.Root, null, 0, ChargeFlags.None, group.WaitTimeout);

            // Idle bytes first: they cost nobody anything.
            group.Root.Stocks.Drain(group);

            // A reclaimer that says it gave something while the usage does not fall is not believed for ever.
            int fruitless = 0;
            isMet = Missing <= 0;
            while (!isMet && fruitless < ChargeAttempt.MaxRounds)
            {
                long before = group.Usage;
                request.SawBusy = false;
                long gave = await SubtreeReclaim.RunAsync(request, group, Missing, reason).ConfigureAwait(false);
                fruitless = group.Usage < before ? 0 : fruitless + 1;
                if (gave == 0)
                {
                    // Busy with somebody else's request is no answer: a group that stays idle would keep what is above
                    // its High. At the root others wait for this run, and the next charge starts one.
                    if (!request.SawBusy || reason != ReclaimReason.High)
                    {
                        break;
                    }

                    await request.NewWaiter(group).SleepAsync(group.Root.PauseTick, default).ConfigureAwait(false);
                }

                isMet = Missing <= 0;
            }
        }
        finally
        {
            Interlocked.Exchange(ref _running, false);
        }

        // Whoever lowered High since the last look has found this run under way, and started none.
        if (isMet && Missing > 0)
        {
            Start(_wanted);
        }
    }

    private long Missing =>
        group == group.Root ? _wanted - group.Counter.Room(group.Root.HighWatermark) : group.Usage - group.High;
}
