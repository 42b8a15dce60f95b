// The debug twin of freeing: a disposed buffer's memory is filled with a pattern and held back for a while.
//
// Whoever still writes to it damages the pattern, which is found when the memory leaves, and reported with the stack of
// the code that had rented it. Bounded by number and by size; a buffer that is larger than all of that passes straight
// through, unchecked. Guarded by the arena's gate.
namespace MemoryGroups;

internal readonly record struct HeldBuffer(BufferBlock Block, string Origin, bool IsDamaged);

internal sealed class BufferQuarantine
{
    private const byte Pattern = 0xDD;
    private const int Most = 32;
    private const long MostBytes = 1 << 20;

    private readonly Queue<(BufferBlock Block, string Origin)> _held = new();
    private long _bytes;

    internal void Add(BufferBlock block, string origin)
    {
        if (block.Bytes <= MostBytes)
        {
            block.Memory.Fill(Pattern);
        }

        _held.Enqueue((block, origin));
        _bytes += block.Bytes;
    }

    // The oldest, when there are too many.
    internal bool TryTake(out HeldBuffer oldest)
    {
        oldest = default;
        if (_held.Count <= Most && _bytes <= MostBytes)
        {
            return false;
        }

        (BufferBlock block, string origin) = _held.Dequeue();
        _bytes -= block.Bytes;
        bool isDamaged = block.Bytes <= MostBytes && block.Memory.ContainsAnyExcept(Pattern);
        oldest = new HeldBuffer(block, origin, isDamaged);
        return true;
    }

    // Answers how many were held. Their pages are gone: nothing is left to check.
    internal int Clear()
    {
        int held = _held.Count;
        _held.Clear();
        _bytes = 0;
        return held;
    }
}
