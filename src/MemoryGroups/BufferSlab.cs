// A slab: blocks of one size for one member's small buffers.
//
// Sizes go in four steps for each doubling, so a block is at most a quarter larger than what was asked for. What is
// charged is the block. Which blocks are free is written here and not into them: code that writes to a buffer it has
// disposed damages bytes, never the structure.
//
// Guarded by the arena's lock. Must stay true: a block is out at most once; blocks at and above Fresh were never used
// since the slab came from the store, and are zero.
using System.Numerics;

namespace MemoryGroups;

internal sealed class BufferSlab
{
    internal const int LargestBlock = 32 * 1024;

    private const int SmallestBlock = 64;

    private readonly ulong[] _out;
    private readonly int _blocks;
    private int _used;
    private int _fresh;

    internal BufferSlab(nint address, int sizeClass)
    {
        Address = address;
        SizeClass = sizeClass;
        BlockBytes = SizeOf(sizeClass);
        _blocks = SlabStore.SlabBytes / BlockBytes;
        _out = new ulong[(_blocks + 63) / 64];
    }

    internal static int Classes { get; } = ClassFor(LargestBlock, 1) + 1;

    internal nint Address { get; }

    internal int SizeClass { get; }

    internal int BlockBytes { get; }

    internal bool IsFull => _used == _blocks;

    internal bool IsEmpty => _used == 0;

    // In the arena's list of slabs with free blocks.
    internal bool IsListed { get; set; }

    // The smallest class whose blocks are large enough and all aligned: blocks lie at multiples of their size in a slab
    // that is aligned itself.
    internal static int ClassFor(long bytes, long alignment)
    {
        int sizeClass = 0;
        while (SizeOf(sizeClass) < bytes || SizeOf(sizeClass) % alignment != 0)
        {
            sizeClass++;
        }

        return sizeClass;
    }

    internal static int SizeOf(int sizeClass)
    {
        int step = SmallestBlock << (sizeClass / 4);
        return step + (step / 4 * (sizeClass % 4));
    }

    internal nint Take(out bool isZero)
    {
        int word = Array.FindIndex(_out, static bits => bits != ulong.MaxValue);
        int block = (word * 64) + BitOperations.TrailingZeroCount(~_out[word]);
        _out[word] |= 1UL << (block & 63);
        _used++;
        isZero = block >= _fresh;
        _fresh = Math.Max(_fresh, block + 1);
        return Address + (block * BlockBytes);
    }

    internal void Return(nint block)
    {
        int index = (int)((block - Address) / BlockBytes);
        _out[index / 64] &= ~(1UL << (index & 63));
        _used--;
    }
}
