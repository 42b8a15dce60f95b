// Idle bytes that are on their way: from a counter into a cell, from one cell to another, or back to the counters.
//
// In between they are charged to the groups, in no cell that a drain could empty, and used by nobody. A charge that is
// refused in that moment is refused for want of idle bytes. So whoever moves stock says so before and after, and who is
// about to refuse looks whether anything was on its way since it began to try: then it waits until that has arrived,
// and tries again.
//
// Must stay true: a move begins before its bytes leave where they were, and ends when they are in a cell or uncharged;
// between the two nothing waits and no user code runs. The wait is bounded all the same: a thread that lost its core
// for long in the middle of a move costs a refusal, never a hang.
using System.Runtime.InteropServices;

namespace MemoryGroups;

[StructLayout(LayoutKind.Explicit, Size = 192)]
internal struct StockMoves
{
    private const int MostSpins = 1000;

    // On one line, which nothing else is on.
    [FieldOffset(64)]
    private long _begun;

    [FieldOffset(72)]
    private long _done;

    // Taken before a charge is tried.
    internal long Mark => Volatile.Read(ref _done);

    internal void Begin() => Interlocked.Increment(ref _begun);

    internal void End() => Interlocked.Increment(ref _done);

    // Begun, but nothing was moved.
    internal void Cancel() => Interlocked.Decrement(ref _begun);

    // True when something was on its way at the mark or since, and has arrived: what was refused may fit now.
    internal bool SettledSince(long mark)
    {
        if (Volatile.Read(ref _begun) == mark)
        {
            return false;
        }

        Settle();
        return true;
    }

    internal void Settle()
    {
        SpinWait spin = default;
        for (int spins = 0; spins < MostSpins && Volatile.Read(ref _begun) != Volatile.Read(ref _done); spins++)
        {
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }
}
