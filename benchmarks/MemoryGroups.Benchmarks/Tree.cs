// A chain of groups of a given depth, with room for everything, and members at its end.
//
// Depth counts the counters on the path, the root's included, so that depth d is compared with d levels of a peer.
using System.Numerics;

namespace MemoryGroups.Benchmarks;

internal sealed class Tree : IDisposable
{
    internal const long Plenty = 1L << 40;

    /// <summary>Per-CPU cells of a group's stock, as the library documents it.</summary>
    internal static readonly int StockSlots =
        (int)Math.Min(16, BitOperations.RoundUpToPowerOf2((uint)Environment.ProcessorCount));

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

    /// <summary>An account of a member of its own.</summary>
    internal AccountCharger Account() => new(Leaf.CreateMember($"m{_made++}").OpenAccount());

    /// <summary>A member of a leaf of its own, beside the leaf: it shares everything above.</summary>
    internal MemberCharger Sibling() => new(SiblingGroup().CreateMember("m"));

    internal MemoryGroup SiblingGroup() =>
        Leaf.Parent!.CreateGroup($"s{_made++}", new MemoryGroupOptions { Max = Leaf.Max });
}
