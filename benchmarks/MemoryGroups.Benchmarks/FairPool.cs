// Imitates DataFusion's fair spill pool: a lock around the pool's state; each spillable consumer may have an equal
// share of it.
//
// It has no tree: compare it at depth 1 only. All consumers here can spill;
// those that cannot would take their bytes off the shares first.
namespace MemoryGroups.Benchmarks;

internal readonly struct FairPool(FairPool.State pool) : ICharger
{
    private readonly PaddedCount _own = new();

    public bool TryCharge(long bytes)
    {
        lock (pool.Gate)
        {
            if (_own.Value + bytes > pool.Size / pool.Consumers)
            {
                return false;
            }

            pool.Spillable += bytes;
            _own.Value += bytes;
            return true;
        }
    }

    public void Uncharge(long bytes)
    {
        lock (pool.Gate)
        {
            pool.Spillable -= bytes;
            _own.Value -= bytes;
        }
    }

    internal sealed class State(long size, int consumers)
    {
        internal readonly Lock Gate = new();
        internal readonly long Size = size;
        internal readonly int Consumers = consumers;
        internal long Spillable;
    }
}
