// Imitates the kernel's page counter: a fetch-add at every level up to the root, taken back where a limit is passed.
//
// The naive walk of the issue. The add is speculative: bytes that will be refused higher up stand in the lower counters
// for a moment and make others fail that would fit. With a watermark as the kernel keeps one, without its failcnt,
// protection and per-page batching. Written from its published description.
namespace MemoryGroups.Benchmarks;

internal readonly struct KernelWalk(CounterNode leaf) : ICharger
{
    public bool TryCharge(long bytes)
    {
        for (CounterNode? at = leaf; at is not null; at = at.Parent)
        {
            long now = Interlocked.Add(ref at.Usage, bytes);
            if (now > at.Limit)
            {
                Interlocked.Add(ref at.Usage, -bytes);
                TakeBack(at, bytes);
                return false;
            }

            // Racy on purpose, as there: it is a statistic.
            if (now > at.Watermark)
            {
                at.Watermark = now;
            }
        }

        return true;
    }

    public void Uncharge(long bytes)
    {
        for (CounterNode? at = leaf; at is not null; at = at.Parent)
        {
            Interlocked.Add(ref at.Usage, -bytes);
        }
    }

    private void TakeBack(CounterNode refusing, long bytes)
    {
        for (CounterNode at = leaf; at != refusing; at = at.Parent!)
        {
            Interlocked.Add(ref at.Usage, -bytes);
        }
    }
}
