// Imitates DataFusion's greedy memory pool: one counter for everybody, first come first served, by compare-and-swap.
//
// It has no tree: compare it at depth 1 only. A consumer's own size is kept by the consumer, without atomics.
namespace MemoryGroups.Benchmarks;

internal readonly struct GreedyPool(CounterNode pool) : ICharger
{
    private readonly PaddedCount _own = new();

    public bool TryCharge(long bytes)
    {
        if (!new SwapWalk(pool).TryCharge(bytes))
        {
            return false;
        }

        _own.Value += bytes;
        return true;
    }

    public void Uncharge(long bytes)
    {
        _own.Value -= bytes;
        new SwapWalk(pool).Uncharge(bytes);
    }
}
