// How often a counter has refused: one number, and one for each CPU when it becomes large.
//
// Counting is all that a refusal writes. Threads that are refused at the same time would do nothing else than hand the
// line of that number to each other, so a counter that refuses often gets several. Few do: the others pay no memory.
//
// Must stay true: every refusal is counted once, wherever.
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal struct RefusalTally
{
    private const int BeforeWide = 64;

    private long _single;
    private PaddedLong[]? _wide;

    internal long Total
    {
        get
        {
            long total = Volatile.Read(ref _single);
            PaddedLong[]? wide = Volatile.Read(ref _wide);
            for (int i = 0; wide is not null && i < wide.Length; i++)
            {
                total += Volatile.Read(ref wide[i].Value);
            }

            return total;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Count()
    {
        PaddedLong[]? wide = Volatile.Read(ref _wide);
        if (wide is not null)
        {
            Interlocked.Increment(ref wide[GroupStock.SlotOfThisCpu(wide.Length)].Value);
        }
        else
        {
            CountFirst();
        }
    }

    private void CountFirst()
    {
        if (Interlocked.Increment(ref _single) == BeforeWide)
        {
            // A second one could come only after a reset in between, and would lose what this one has counted by then.
            Interlocked.CompareExchange(ref _wide, new PaddedLong[GroupStock.Slots], null);
        }
    }

    internal void Reset()
    {
        Interlocked.Exchange(ref _single, 0);
        PaddedLong[]? wide = Volatile.Read(ref _wide);
        for (int i = 0; wide is not null && i < wide.Length; i++)
        {
            Interlocked.Exchange(ref wide[i].Value, 0);
        }
    }
}
