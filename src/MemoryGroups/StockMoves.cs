// Idle bytes that are on their way: from a counter into a cell, from one cell to another, or back to the counters.
//
// In between they are charged to the groups, in no cell that a drain could empty, and used by nobody. A charge that is
// refused in that moment is refused for want of idle bytes. So whoever moves stock says so before and after, in a slot
// of its CPU, and who is about to refuse looks whether anything began to move that was not over before it tried: then
// it waits until that has arrived, and tries again. Who is granted never looks at another CPU's slot.
//
// Must stay true: a move begins before its bytes leave where they were, and ends, in the same slot, when they are in a
// cell or uncharged; between the two nothing waits and no user code runs. The wait is bounded all the same: a thread
// that lost its core for long in the middle of a move costs a refusal, never a hang.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemoryGroups;

internal sealed class StockMoves
{
    private readonly Slot[] _slots = new Slot[GroupStock.Slots];

    // So many moves had ended when somebody who was refused looked last. Written by who is refused only.
    private long _quiet;

    // Taken before a charge is tried: what had ended by then cannot have been on its way since.
    internal long Mark => Volatile.Read(ref _quiet);

    // Moves that began and were not given up.
    private long Begun
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            long sum = 0;
            for (int i = 0; i < _slots.Length; i++)
            {
                sum += Volatile.Read(ref _slots[i].Begun);
            }

            return sum;
        }
    }

    private long Ended
    {
        get
        {
            long sum = 0;
            for (int i = 0; i < _slots.Length; i++)
            {
                sum += Volatile.Read(ref _slots[i].Ended);
            }

            return sum;
        }
    }

    // Answers the slot to end it in.
    internal int Begin()
    {
        int slot = GroupStock.SlotOfThisCpu(_slots.Length);
        Interlocked.Increment(ref _slots[slot].Begun);
        return slot;
    }

    internal void End(int slot) => Interlocked.Increment(ref _slots[slot].Ended);

    // Begun, but nothing was moved.
    internal void Cancel(int slot) => Interlocked.Decrement(ref _slots[slot].Begun);

    // True when something may have been on its way since the mark, and has arrived: what was refused may fit now. The
    // mark is then the one for the next try. Each slot's begun is at least what had ended there at the mark, so equal
    // sums mean equal slots.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool SettledSince(ref long mark)
    {
        if (Begun == mark)
        {
            return false;
        }

        mark = SettleAndMark();
        return true;
    }

    // One slot after the other: what had begun is over when each was quiet once. That all are quiet at one moment is
    // seldom while others go on, and more than is needed.
    internal void Settle()
    {
        BriefWait wait = default;
        foreach (ref Slot slot in _slots.AsSpan())
        {
            while (!slot.IsQuiet)
            {
                if (!wait.TryGoOn())
                {
                    return;
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private long SettleAndMark()
    {
        Settle();
        long mark = Ended;
        Volatile.Write(ref _quiet, mark);
        return mark;
    }

    // Both on one line, which is this CPU's.
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct Slot
    {
        [FieldOffset(64)]
        internal long Begun;

        [FieldOffset(72)]
        internal long Ended;

        // Ended is read first: what comes and goes between the two reads may hide that it is quiet, and no more. The
        // other way round it would stand for one that is under way.
        internal bool IsQuiet => Volatile.Read(ref Ended) is var ended && ended == Volatile.Read(ref Begun);
    }
}
