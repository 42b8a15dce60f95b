// Address space for slabs, shared by the whole process.
//
// Slabs are cut from regions, so that ten thousand members with a small buffer each do not need ten thousand mappings
// (kernels allow some tens of thousands). What comes back has its pages released first: a slab that waits here costs
// nothing and is all zeros. Regions stay mapped for ever: code that keeps a span of a buffer it has disposed reads
// zeros, or another buffer of the process, but does not end the process.
//
// Must stay true: every slab in the store is zeroed and in nobody's hands.
namespace MemoryGroups;

internal static class SlabStore
{
    internal const int SlabBytes = 256 * 1024;

    private const int RegionBytes = 16 << 20;

    private static readonly Lock Gate = new();
    private static readonly Stack<nint> Free = new();

    internal static nint Take()
    {
        lock (Gate)
        {
            if (Free.TryPop(out nint slab))
            {
                return slab;
            }
        }

        // Outside the lock: two that find it empty make two regions, and the second serves later.
        PageRange region = PageMemory.Map(RegionBytes, SlabBytes);
        lock (Gate)
        {
            for (int offset = RegionBytes - SlabBytes; offset > 0; offset -= SlabBytes)
            {
                Free.Push(region.Address + offset);
            }
        }

        return region.Address;
    }

    internal static void Return(nint slab)
    {
        PageMemory.Release(slab, SlabBytes);
        lock (Gate)
        {
            Free.Push(slab);
        }
    }
}
