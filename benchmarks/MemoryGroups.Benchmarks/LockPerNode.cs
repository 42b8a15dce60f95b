// A lock at every node, taken one after the other on the way to the root: what a tree of accounting objects becomes
// when each of them is made thread-safe by itself.
namespace MemoryGroups.Benchmarks;

internal readonly struct LockPerNode(CounterNode leaf) : ICharger
{
    public bool TryCharge(long bytes)
    {
        for (CounterNode? at = leaf; at is not null; at = at.Parent)
        {
            lock (at.Gate)
            {
                if (bytes <= at.Limit - at.Usage)
                {
                    at.Usage += bytes;
                    continue;
                }
            }

            for (CounterNode below = leaf; below != at; below = below.Parent!)
            {
                Add(below, -bytes);
            }

            return false;
        }

        return true;
    }

    public void Uncharge(long bytes)
    {
        for (CounterNode? at = leaf; at is not null; at = at.Parent)
        {
            Add(at, -bytes);
        }
    }

    private static void Add(CounterNode at, long bytes)
    {
        lock (at.Gate)
        {
            at.Usage += bytes;
        }
    }
}
