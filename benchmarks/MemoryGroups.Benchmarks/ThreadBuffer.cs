// Imitates ClickHouse's memory tracker: a thread keeps what it charged and freed to itself and posts the sum only when
// it passes 4 MiB; the limit is looked at when it is posted.
//
// Fast, because most charges touch nothing that is shared; and late: every thread may hold 4 MiB that no counter knows.
// One object for each thread. The real one is found through thread-local storage, which would cost it some
// nanoseconds; here it is handed to the loop, to its favour. Left out: its sampling profiler, its soft limits.
using System.Runtime.InteropServices;

namespace MemoryGroups.Benchmarks;

internal readonly struct ThreadBuffer(CounterNode leaf) : ICharger
{
    internal const long MostUnposted = 4L << 20;

    private readonly Unposted _unposted = new();

    public bool TryCharge(long bytes)
    {
        long now = _unposted.Bytes + bytes;
        if (now <= MostUnposted)
        {
            _unposted.Bytes = now;
            return true;
        }

        if (!new KernelWalk(leaf).TryCharge(now))
        {
            return false;
        }

        _unposted.Bytes = 0;
        return true;
    }

    public void Uncharge(long bytes)
    {
        long now = _unposted.Bytes - bytes;
        if (now < -MostUnposted)
        {
            new KernelWalk(leaf).Uncharge(-now);
            now = 0;
        }

        _unposted.Bytes = now;
    }

    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private sealed class Unposted
    {
        [FieldOffset(128)]
        internal long Bytes;
    }
}
