// One cell of pre-charged bytes: the fast path of charging and uncharging.
//
// A cell holds bytes that the groups above are already charged for. Taking from it is one compare-and-swap, giving back
// is one add. Under pressure it is poisoned: its value becomes so negative that TryTake fails and the sum that Add
// returns is negative, so both fast paths fall into their slow paths without an instruction of their own that asks.
//
// Must stay true: a cell is never negative except poisoned; an Add that found poison is taken back by exactly itself;
// bytes are deposited onto a non-negative cell only; a cell is opened from exactly Poison, so an Add in between (which
// holds Poison + n for a moment) makes the opening fail rather than lose n bytes.
using System.Runtime.InteropServices;

namespace MemoryGroups;

[StructLayout(LayoutKind.Explicit, Size = 128)]
internal struct StockCell
{
    // Half of the range, so that Poison + n stays negative and does not overflow for any legal n.
    private const long Poison = long.MinValue / 2;

    [FieldOffset(64)]
    private long _bytes;

    internal static StockCell NewPoisoned() => new() { _bytes = Poison };

    internal static StockCell[] NewPoisoned(int count)
    {
        var cells = new StockCell[count];
        Array.Fill(cells, NewPoisoned());
        return cells;
    }

    internal static ref StockCell ForThisCpu(StockCell[] cells) => ref cells[GroupStock.SlotOfThisCpu(cells.Length)];

    internal readonly bool IsPoisoned => Volatile.Read(in _bytes) < 0;

    internal long Held => Math.Max(0, Volatile.Read(ref _bytes));

    // False also when another thread came between the look and the swap. Compared with the sum: `seen` would have to be
    // kept on the stack across the swap. Nothing wraps around: poison is only half of the range.
    internal bool TryTakeOnce(long bytes)
    {
        long seen = Volatile.Read(ref _bytes);
        long left = unchecked(seen - bytes);
        return left >= 0 && Interlocked.CompareExchange(ref _bytes, left, seen) == unchecked(left + bytes);
    }

    internal bool TryTake(long bytes)
    {
        long seen = Volatile.Read(ref _bytes);
        while (seen >= bytes)
        {
            long was = Interlocked.CompareExchange(ref _bytes, seen - bytes, seen);
            if (was == seen)
            {
                return true;
            }

            seen = was;
        }

        return false;
    }

    // Answers how much: at least so much, or nothing.
    internal long TakeSome(long least, long most)
    {
        long seen = Volatile.Read(ref _bytes);
        while (seen >= least)
        {
            long part = Math.Min(seen, most);
            long was = Interlocked.CompareExchange(ref _bytes, seen - part, seen);
            if (was == seen)
            {
                return part;
            }

            seen = was;
        }

        return 0;
    }

    // The value after the add decides (never a second read): negative means poisoned, and the caller must TakeBack.
    internal long Add(long bytes) => Interlocked.Add(ref _bytes, bytes);

    internal void TakeBack(long bytes) => Interlocked.Add(ref _bytes, -bytes);

    // False when poisoned: the caller keeps the bytes.
    internal bool TryDeposit(long bytes)
    {
        long seen = Volatile.Read(ref _bytes);
        while (seen >= 0)
        {
            long was = Interlocked.CompareExchange(ref _bytes, seen + bytes, seen);
            if (was == seen)
            {
                return true;
            }

            seen = was;
        }

        return false;
    }

    // Lowers the cell to what may stay and answers what came out.
    internal long TakeDownTo(long keep)
    {
        long seen = Volatile.Read(ref _bytes);
        while (seen > keep)
        {
            long was = Interlocked.CompareExchange(ref _bytes, keep, seen);
            if (was == seen)
            {
                return seen - keep;
            }

            seen = was;
        }

        return 0;
    }

    // Answers what the cell held; 0 when it was poisoned already.
    internal long Drain()
    {
        long seen = Volatile.Read(ref _bytes);
        while (seen >= 0)
        {
            long was = Interlocked.CompareExchange(ref _bytes, Poison, seen);
            if (was == seen)
            {
                return seen;
            }

            seen = was;
        }

        return 0;
    }

    internal bool TryOpen() => Interlocked.CompareExchange(ref _bytes, 0, Poison) == Poison;
}
