// Address space of large buffers that were disposed, kept a while.
//
// The pages are gone at once; the address space stays until as many others have followed. Code that uses a span of a
// buffer just after it was disposed, which is a bug, reads zeros instead of ending the process with all its tenants.
namespace MemoryGroups;

internal static class RetiredPages
{
    private const int Kept = 256;

    private static readonly Lock Gate = new();
    private static readonly Queue<PageRange> Ranges = new();

    internal static void Add(PageRange range)
    {
        PageMemory.Release(range.Address, range.Bytes);
        PageRange oldest;
        lock (Gate)
        {
            Ranges.Enqueue(range);
            if (Ranges.Count <= Kept)
            {
                return;
            }

            oldest = Ranges.Dequeue();
        }

        PageMemory.Unmap(oldest);
    }
}
