// A count that many threads raise at the same time: each on a cache line of its own, as far as there are lines.
using System.Numerics;

namespace MemoryGroups.Caching;

internal sealed class StripedCount
{
    private const int LongsPerLine = 16;

    // Lines before the first and after the last one: neighbours in the heap stay off them.
    private readonly long[] _lines;
    private readonly int _mask;

    internal StripedCount()
    {
        // More than there are cores: threads share a line by the chance of their numbers.
        int stripes = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Min(4 * Environment.ProcessorCount, 64));
        _mask = stripes - 1;
        _lines = new long[(stripes + 2) * LongsPerLine];
    }

    internal long Sum
    {
        get
        {
            long sum = 0;
            for (int at = LongsPerLine; at < _lines.Length; at += LongsPerLine)
            {
                sum += Volatile.Read(ref _lines[at]);
            }

            return sum;
        }
    }

    internal void Increment() =>
        Interlocked.Increment(ref _lines[((Environment.CurrentManagedThreadId & _mask) + 1) * LongsPerLine]);
}
