// Imitates CockroachDB's bound account on a byte monitor: the account is for one owner and has no lock; it reserves
// from its monitor in blocks of 10 KiB under the monitor's lock, and keeps one block of what it frees. The monitor
// reserves from its parent in the same way, and keeps ten spare blocks.
//
// A call, not inlined: there it is a method of a library, and in an empty loop the compiler would cancel the charge
// against the uncharge. Left out: the metrics, the session's peak, and the account that locks for itself.
using System.Runtime.CompilerServices;

namespace MemoryGroups.Benchmarks;

internal readonly struct ByteAccount(ByteAccount.Monitor monitor) : ICharger
{
    private const long Block = 10 * 1024;

    private readonly Own _own = new();

    [MethodImpl(MethodImplOptions.NoInlining)]
    public bool TryCharge(long bytes)
    {
        if (_own.Reserved < bytes)
        {
            long wanted = InBlocks(bytes - _own.Reserved);
            if (!monitor.TryReserve(wanted))
            {
                return false;
            }

            _own.Reserved += wanted;
        }

        _own.Reserved -= bytes;
        _own.Used += bytes;
        return true;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public void Uncharge(long bytes)
    {
        _own.Used -= bytes;
        _own.Reserved += bytes;
        if (_own.Reserved > Block)
        {
            monitor.Release(_own.Reserved - Block);
            _own.Reserved = Block;
        }
    }

    private static long InBlocks(long bytes) => (bytes + Block - 1) / Block * Block;

    private sealed class Own
    {
        internal long Used;
        internal long Reserved;
    }

    internal sealed class Monitor(Monitor? parent, long limit)
    {
        private readonly Lock _gate = new();
        private long _used;
        private long _budget;

        internal static Monitor Chain(int depth, long limit = 1L << 39)
        {
            Monitor at = new(null, limit);
            for (int i = 1; i < depth; i++)
            {
                at = new Monitor(at, limit);
            }

            return at;
        }

        internal bool TryReserve(long bytes)
        {
            lock (_gate)
            {
                if (bytes > limit - _used)
                {
                    return false;
                }

                if (parent is not null && _used + bytes > _budget)
                {
                    long wanted = InBlocks(_used + bytes - _budget);
                    if (!parent.TryReserve(wanted))
                    {
                        return false;
                    }

                    _budget += wanted;
                }

                _used += bytes;
                return true;
            }
        }

        internal void Release(long bytes)
        {
            lock (_gate)
            {
                _used -= bytes;
                long spare = _budget - InBlocks(_used);
                if (parent is not null && spare > 10 * Block)
                {
                    _budget -= spare;
                    parent.Release(spare);
                }
            }
        }
    }
}
