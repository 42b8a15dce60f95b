// Imitates ClickHouse's memory tracker: a thread keeps what it charged and freed to itself and posts the sum only when
// it passes 4 MiB; the limit is looked at when it is posted.
//
// Fast, because most charges touch nothing that is shared; and late: every thread may hold 4 MiB that no counter knows.
// The buffer belongs to the thread that runs, and is looked up at each call, as there: the charge comes from an
// allocator that has nothing else at hand. A call, not inlined, for the same reason: in an empty loop the compiler
// would else cancel the charge against the uncharge. Left out: its sampling profiler,
// its soft limits.
using System.Runtime.CompilerServices;

namespace MemoryGroups.Benchmarks;

internal readonly struct ThreadBuffer(CounterNode leaf) : ICharger
{
    internal const long MostUnposted = 4L << 20;

    [ThreadStatic]
    private static PaddedCount? _unposted;

    [MethodImpl(MethodImplOptions.NoInlining)]
    public bool TryCharge(long bytes)
    {
        PaddedCount unposted = _unposted ??= new PaddedCount();
        long now = unposted.Value + bytes;
        if (now <= MostUnposted)
        {
            unposted.Value = now;
            return true;
        }

        if (!new KernelWalk(leaf).TryCharge(now))
        {
            return false;
        }

        unposted.Value = 0;
        return true;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public void Uncharge(long bytes)
    {
        PaddedCount unposted = _unposted ??= new PaddedCount();
        long now = unposted.Value - bytes;
        if (now < -MostUnposted)
        {
            new KernelWalk(leaf).Uncharge(-now);
            now = 0;
        }

        unposted.Value = now;
    }
}
