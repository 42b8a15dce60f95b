// The cells of one member: a single one, or one for each CPU once threads were seen to collide on it.
//
// Most members are charged by one thread at a time, and nothing is cheaper for them than one cell. When several threads
// charge through one member its line travels between their CPUs with every charge; after so many collisions the member
// gets cells like a group's: chosen by the CPU that happens to run, which is only a hint. The single cell is poisoned
// then and stays so, which is how both fast paths learn of it: they already ask whether it is poisoned. They ask before
// they add: an add would write the very line that is not to travel any more. A member does not become narrow again.
//
// A collision is noticed where it costs nothing: the first swap fails although there was enough.
//
// Must stay true: when the single cell is poisoned for good, the others can be seen already; all cells are opened and
// drained together, under the ledger's gate. What each may keep is set for all together, so that the member strands no
// more with many cells than with one: whenever that falls by half, all cells are taken down to it. (Who set the old
// height at the same moment may fill one cell to it once more: two quanta too much, until that cell is used again.)
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal struct MemberStock
{
    // What TryPut answers when it left the cell alone. No sum can be it: poison is half as low.
    internal const long NotAdded = long.MinValue;

    private const int CollisionsBeforeWide = 16;

    private StockCell _single;
    private StockCell[]? _wide;

    // A cell may hold this much before an uncharge returns some of it; read on the fast path.
    private long _highWater;

    // The largest height since the cells were last taken down together.
    private long _highest;
    private int _collisions;
    private bool _keepsLittle;

    public MemberStock() => _single = StockCell.NewPoisoned();

    internal readonly bool IsWide => _wide is not null;

    internal readonly int Cells => _wide?.Length ?? 1;

    // Opened where there is little room: it keeps what comes back, and fetches nothing ahead.
    internal readonly bool KeepsLittle => _keepsLittle;

    internal readonly bool HasCollided => _collisions >= CollisionsBeforeWide && _wide is null;

    internal long Held
    {
        get
        {
            StockCell[]? wide = Volatile.Read(ref _wide);
            if (wide is null)
            {
                return _single.Held;
            }

            long held = 0;
            for (int i = 0; i < wide.Length; i++)
            {
                held += wide[i].Held;
            }

            return held;
        }
    }

    [UnscopedRef]
    internal ref StockCell Single => ref _single;

    // The cell of who runs here now.
    [UnscopedRef]
    internal ref StockCell Own
    {
        get
        {
            StockCell[]? wide = Volatile.Read(ref _wide);
            return ref wide is null ? ref _single : ref StockCell.ForThisCpu(wide);
        }
    }

    internal bool TryTake(long bytes) => _single.TryTakeOnce(bytes);

    // The rest of it: the cells of a wide member, or a second try after a collision.
    internal bool TryTakeElsewhere(long bytes)
    {
        StockCell[]? wide = Volatile.Read(ref _wide);
        if (wide is not null)
        {
            return StockCell.ForThisCpu(wide).TryTake(bytes);
        }

        if (!_single.TryTake(bytes))
        {
            return false;
        }

        // Racy on purpose: it only moves the moment at which the member becomes wide.
        _collisions++;
        return true;
    }

    // Into the single cell, or the one of this CPU, from which the caller takes back. One comparison says both: a cell
    // poisoned meanwhile makes `now` negative, a huge number without its sign.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryPut(long bytes, out long now) => TryPut(ref _single, bytes, out now);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal readonly bool TryPut(ref StockCell cell, long bytes, out long now)
    {
        now = NotAdded;
        if (cell.IsPoisoned)
        {
            return false;
        }

        now = cell.Add(bytes);
        return unchecked((ulong)now <= (ulong)_highWater);
    }

    // Sets how much each cell may keep: two quanta, and one after it had more.
    internal void Keep(long quantum)
    {
        long height = 2 * quantum;
        if (Volatile.Read(ref _highWater) != height)
        {
            Volatile.Write(ref _highWater, height);
        }

        if (height > Volatile.Read(ref _highest))
        {
            Volatile.Write(ref _highest, height);
        }
    }

    // Answers what came out: of this cell, and of all of them when they may hold much more than they are to keep.
    internal long TakeDownTo(long quantum, ref StockCell own)
    {
        long taken = own.TakeDownTo(quantum);
        StockCell[]? wide = Volatile.Read(ref _wide);
        if (wide is not null && Volatile.Read(ref _highest) > 4 * quantum)
        {
            Volatile.Write(ref _highest, 2 * quantum);
            for (int i = 0; i < wide.Length; i++)
            {
                taken += wide[i].TakeDownTo(quantum);
            }
        }

        return taken;
    }

    internal long DrainLocked()
    {
        long drained = _single.Drain();
        for (int i = 0; _wide is not null && i < _wide.Length; i++)
        {
            drained += _wide[i].Drain();
        }

        return drained;
    }

    internal bool TryOpenLocked(bool keepLittle)
    {
        bool opened = false;
        if (_wide is null)
        {
            opened = _single.TryOpen();
        }

        for (int i = 0; _wide is not null && i < _wide.Length; i++)
        {
            opened |= _wide[i].TryOpen();
        }

        _keepsLittle = keepLittle;
        return opened;
    }

    // Answers what the single cell held; the new ones are poisoned still. Seen first, poisoned second.
    internal long WidenLocked(int cells)
    {
        if (_wide is not null)
        {
            return 0;
        }

        Volatile.Write(ref _wide, StockCell.NewPoisoned(cells));
        return _single.Drain();
    }
}
