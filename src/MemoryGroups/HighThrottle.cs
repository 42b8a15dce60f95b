// Slowing down who pushes a group over High, instead of killing.
//
// The further above High, and the larger the charge, the longer the pause: 64000 ms * ((usage - high) / high)^2 for 256
// KiB, in proportion to the size, at most two seconds, nothing up to ten milliseconds. The charge itself was granted
// before; only the asker's next step is late. A kill ends the pause at once; who is dying is not slowed down.
// Follows calculate_high_delay in mm/memcontrol.c.
namespace MemoryGroups;

internal static class HighThrottle
{
    internal const long ReferenceBytes = 256 * 1024;

    private const long LargestMilliseconds = 2000;
    private const long SmallestMilliseconds = 10;
    private const int Precision = 20;
    private const int MaxReclaimRounds = 16;

    // Whole milliseconds; 0 when there is nothing worth a pause.
    internal static long DelayMilliseconds(long usage, long high, long bytes)
    {
        if (usage <= high)
        {
            return 0;
        }

        // Fixed point; an overage beyond four is capped below in any case and would only overflow the square.
        Int128 ratio = ((Int128)(usage - high) << Precision) / Math.Max(1, high);
        Int128 overage = Int128.Min(ratio, 4 << Precision);
        Int128 penalty = overage * overage * 64000 >> Precision >> Precision;
        Int128 scaled = penalty * bytes / ReferenceBytes;
        long delay = (long)Int128.Min(LargestMilliseconds, scaled);
        return delay <= SmallestMilliseconds ? 0 : delay;
    }

    internal static bool IsOver(MemoryGroup group)
    {
        for (MemoryGroup? at = group; at is not null; at = at.Parent)
        {
            if (at.Usage > at.High)
            {
                return true;
            }
        }

        return false;
    }

    // After a granted charge: count, reclaim, and pause for what is still over.
    internal static async ValueTask ApplyAsync(OomRequest request, MemoryGroup group)
    {
        for (MemoryGroup? at = group; at is not null; at = at.Parent)
        {
            // Idle stock is no reason to slow anybody down.
            if (at.Usage > at.High)
            {
                at.Root.Stocks.Drain(at);
            }

            if (at.Usage > at.High)
            {
                at.Events.Raise(MemoryEvent.High);
            }
        }

        long delay = Delay(group, request.Bytes);
        for (int round = 0; round < MaxReclaimRounds && !request.Has(ChargeFlags.NoReclaim); round++)
        {
            long given = 0;
            for (MemoryGroup? at = group; at is not null; at = at.Parent)
            {
                long over = at.Usage - at.High;
                if (over > 0)
                {
                    given += await SubtreeReclaim.RunAsync(request, at, over, ReclaimReason.High).ConfigureAwait(false);
                }
            }

            delay = Delay(group, request.Bytes);
            if (given == 0 || delay == 0)
            {
                break;
            }
        }

        if (delay > 0 && request.Asker is not { IsDying: true })
        {
            OomWaiter waiter = request.NewWaiter(group);
            request.Root.WaitQueue.AttachToMember(waiter);
            await waiter.SleepAsync(TimeSpan.FromMilliseconds(delay), request.Cancel).ConfigureAwait(false);
            request.Root.WaitQueue.DetachFromMember(waiter);
        }
    }

    private static long Delay(MemoryGroup group, long bytes)
    {
        long delay = 0;
        for (MemoryGroup? at = group; at is not null; at = at.Parent)
        {
            delay = Math.Max(delay, DelayMilliseconds(at.Usage, at.High, bytes));
        }

        return delay;
    }
}
