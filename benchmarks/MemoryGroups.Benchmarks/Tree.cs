// A chain of groups of a given depth, with room for everything, and a member at its end.
//
// Depth counts the counters on the path, the root's included, so that depth d is compared with d levels of a peer.
namespace MemoryGroups.Benchmarks;

internal sealed class Tree : IDisposable
{
    internal Tree(int depth, long capacity = 1L << 40, long max = 1L << 39)
    {
        Root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = capacity });
        Leaf = Root;
        for (int i = 1; i < depth; i++)
        {
            Leaf = Leaf.CreateGroup($"g{i}", new MemoryGroupOptions { Max = max });
        }

        Member = Leaf.CreateMember("m");
    }

    internal MemoryRoot Root { get; }

    internal MemoryGroup Leaf { get; }

    internal MemoryMember Member { get; }

    public void Dispose() => Root.Dispose();
}
