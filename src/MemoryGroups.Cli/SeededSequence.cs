// The one source of chance in this program: SplitMix64, written out. The data files and the schedules must come out the
// same on every machine and every runtime, because two phases are compared on "the same load" and a bug report names
// only a seed; System.Random promises its sequence for a seed, but not which calls consume how much of it.
//
// What must stay true: the numbers for a seed never change. DemoData.Version must grow if they do.

namespace MemoryGroups.Cli;

internal sealed class SeededSequence
{
    private ulong _state;

    internal SeededSequence(ulong seed) => _state = seed;

    // A sequence of its own for each named stream, so that adding a query to one tenant does not move another's.
    internal static SeededSequence For(int seed, string stream)
    {
        ulong hash = 14695981039346656037UL;
        foreach (char c in stream) hash = unchecked((hash ^ c) * 1099511628211UL);
        return new SeededSequence(unchecked(hash ^ ((ulong)(uint)seed << 32) ^ (uint)seed));
    }

    internal ulong NextBits()
    {
        unchecked
        {
            ulong z = _state += 0x9E3779B97F4A7C15UL;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
            return z ^ (z >> 31);
        }
    }

    // 0 <= result < limit. The high half of a product instead of a remainder: no bias worth naming and no division.
    internal int Below(int limit) => (int)Math.BigMul(NextBits(), (ulong)limit, out _);

    // 0 <= result < 1, with 53 random bits.
    internal double Unit() => (NextBits() >> 11) * (1.0 / (1UL << 53));
}
