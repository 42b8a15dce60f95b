// A chain of groups of a given depth, with room for everything, and members at its end.
//
// Depth counts the counters on the path, the root's included, so that depth d is compared with d levels of a peer.
namespace MemoryGroups.Benchmarks;

internal sealed class Tree : IDisposable
{
    internal const long Plenty = 1L << 40;

    private int _made;

    internal Tree(int depth, long capacity = Plenty, long max = Plenty / 2)
    {
        Root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = capacity });
        Leaf = Root;
        for (int i = 1; i < depth; i++)
        {
            Leaf = Leaf.CreateGroup($"g{i}", new MemoryGroupOptions { Max = max });
        }
    }

    internal MemoryRoot Root { get; }

    internal MemoryGroup Leaf { get; }

    public void Dispose() => Root.Dispose();

    /// <summary>Another member of the leaf.</summary>
    internal MemberCharger Member() => new(Leaf.CreateMember($"m{_made++}"));

    /// <summary>A member of a leaf of its own, beside the leaf: it shares everything above.</summary>
    internal MemberCharger Sibling() => new(SiblingGroup().CreateMember("m"));

    internal MemoryGroup SiblingGroup() =>
        Leaf.Parent!.CreateGroup($"s{_made++}", new MemoryGroupOptions { Max = Leaf.Max });
}
