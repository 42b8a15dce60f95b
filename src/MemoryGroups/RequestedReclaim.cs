// Reclaim that somebody asked for by name: memory is wanted back, nobody is short of it.
//
// Asked for in quarters of what is left, so that a large demand is spread over many reclaimers instead of emptying the
// first. It kills nobody, and ends when nothing more comes. Emptying asks for everything at once and goes on for as
// long as the usage falls. Follows memory.reclaim in mm/memcontrol.c and memory.force_empty in mm/memcontrol-v1.c.
namespace MemoryGroups;

internal static class RequestedReclaim
{
    private const long SmallestStep = 128 * 1024;

    internal static async ValueTask<long> RunAsync(MemoryGroup group, long bytes, CancellationToken cancel)
    {
        var request = new OomRequest(group.Root, null, 0, ChargeFlags.None, group.WaitTimeout) { Cancel = cancel };
        long given = Math.Min(bytes, group.Root.Stocks.Drain(group));
        while (given < bytes && !cancel.IsCancellationRequested)
        {
            long left = bytes - given;
            long step = Math.Max(left / 4, Math.Min(left, SmallestStep));
            long gave = await SubtreeReclaim.RunAsync(request, group, step, ReclaimReason.Requested)
                .ConfigureAwait(false);
            if (gave == 0)
            {
                break;
            }

            given += Math.Min(gave, long.MaxValue - given);
        }

        return given;
    }

    // Answers what is left. A reclaimer that says it gave something while the usage does not fall is not believed for
    // ever; one that is busy with somebody else's request is waited for, a tick at a time.
    internal static async ValueTask<long> EmptyAsync(MemoryGroup group, CancellationToken cancel)
    {
        var request = new OomRequest(group.Root, null, 0, ChargeFlags.None, group.WaitTimeout) { Cancel = cancel };
        group.Root.Stocks.Drain(group);
        int fruitless = 0;
        while (group.Usage is > 0 and var usage && fruitless < ChargeAttempt.MaxRounds
            && !cancel.IsCancellationRequested && request.TimeLeft != TimeSpan.Zero)
        {
            request.SawBusy = false;
            long gave = await SubtreeReclaim.RunAsync(request, group, usage, ReclaimReason.Requested)
                .ConfigureAwait(false);
            group.Root.Stocks.Drain(group);
            fruitless = group.Usage < usage ? 0 : fruitless + 1;
            if (fruitless > 0 && gave == 0)
            {
                if (!request.SawBusy)
                {
                    break;
                }

                await request.NewWaiter(group).SleepAsync(group.Root.PauseTick, cancel).ConfigureAwait(false);
            }
        }

        return group.Usage;
    }
}
