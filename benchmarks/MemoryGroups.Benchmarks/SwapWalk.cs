// The exact walk that everybody writes second: compare-and-swap at every level, so that nothing is added that does not
// fit, and taken back when a higher level refuses. No stock, so every charge touches every line on the path.
namespace MemoryGroups.Benchmarks;

internal readonly struct SwapWalk(CounterNode leaf) : ICharger
{
    public bool TryCharge(long bytes)
    {
        for (CounterNode? at = leaf; at is not null; at = at.Parent)
        {
            if (!TryAdd(at, bytes))
            {
                for (CounterNode below = leaf; below != at; below = below.Parent!)
                {
                    Interlocked.Add(ref below.Usage, -bytes);
                }

                return false;
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

    private static bool TryAdd(CounterNode at, long bytes)
    {
        long seen = Volatile.Read(ref at.Usage);
        while (bytes <= at.Limit - seen)
        {
            long was = Interlocked.CompareExchange(ref at.Usage, seen + bytes, seen);
            if (was == seen)
            {
                return true;
            }

            seen = was;
        }

        return false;
    }
}
