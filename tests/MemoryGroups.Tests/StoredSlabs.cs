// Whether a slab lies in the store of the process. It need not be the next one that the store gives: the finalizers of
// what earlier tests left bring others back at any moment.
namespace MemoryGroups.Tests;

internal static class StoredSlabs
{
    // Far more than come back between two statements of a test.
    private const int Looked = 64;

    public static bool Contain(nint slab)
    {
        var taken = new Stack<nint>();
        bool found = false;
        while (!found && taken.Count < Looked)
        {
            taken.Push(SlabStore.Take());
            found = taken.Peek() == slab;
        }

        while (taken.TryPop(out nint back))
        {
            SlabStore.Return(back);
        }

        return found;
    }
}
