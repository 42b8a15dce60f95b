// Reclaim that somebody asked for by name: memory is wanted back, nobody is short of it.
//
// Asked for in quarters of what is left, so that a large demand is spread over many reclaimers instead of emptying the
// first. It kills nobody, and ends when nothing more comes. Follows memory.reclaim in mm/memcontrol.c.
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
}
