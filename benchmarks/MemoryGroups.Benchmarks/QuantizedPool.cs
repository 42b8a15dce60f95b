// Imitates Velox's memory pools: a leaf counts under its own lock and reserves from the tree in quanta, 1 MiB until it
// has 16 MiB, then 4 MiB until 64, then 8; freeing gives back whole quanta at once.
//
// So a leaf that falls to nothing and rises again reserves every time. Written from its documentation. Left out: the
// arbitrator, peaks, and the variant for one thread that does without the lock.
namespace MemoryGroups.Benchmarks;

internal readonly struct QuantizedPool(CounterNode parent) : ICharger
{
    private readonly Leaf _leaf = new();

    public bool TryCharge(long bytes)
    {
        lock (_leaf.Gate)
        {
            long missing = Quantized(_leaf.Used + bytes) - _leaf.Reserved;
            if (missing > 0)
            {
                if (!new LockPerNode(parent).TryCharge(missing))
                {
                    return false;
                }

                _leaf.Reserved += missing;
            }

            _leaf.Used += bytes;
            return true;
        }
    }

    public void Uncharge(long bytes)
    {
        lock (_leaf.Gate)
        {
            _leaf.Used -= bytes;
            long spare = _leaf.Reserved - Quantized(_leaf.Used);
            if (spare > 0)
            {
                _leaf.Reserved -= spare;
                new LockPerNode(parent).Uncharge(spare);
            }
        }
    }

    private static long Quantized(long bytes)
    {
        long quantum = bytes < 16L << 20 ? 1L << 20 : bytes < 64L << 20 ? 4L << 20 : 8L << 20;
        return (bytes + quantum - 1) / quantum * quantum;
    }

    private sealed class Leaf
    {
        internal readonly Lock Gate = new();
        internal long Used;
        internal long Reserved;
    }
}
