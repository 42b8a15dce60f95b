// A node of a peer's tree: a counter on cache lines of its own, a limit, a parent. What the walks below share.
//
// Padded as well as the library's own counters are: a peer must not lose by false sharing that it does not have.
using System.Runtime.InteropServices;

namespace MemoryGroups.Benchmarks;

[StructLayout(LayoutKind.Explicit, Size = 384)]
internal sealed class CounterNode(CounterNode? parent, long limit)
{
    [FieldOffset(0)]
    internal readonly CounterNode? Parent = parent;

    // Read by everybody, so not beside the counter, which is written by everybody.
    [FieldOffset(8)]
    internal readonly long Limit = limit;

    [FieldOffset(16)]
    internal readonly Lock Gate = new();

    [FieldOffset(128)]
    internal long Usage;

    [FieldOffset(256)]
    internal long Watermark;

    /// <summary>The last of so many nodes, each the parent of the next; every one has the limit.</summary>
    internal static CounterNode Chain(int depth, long limit = 1L << 39, CounterNode? parent = null)
    {
        CounterNode node = parent ?? new CounterNode(null, limit);
        for (int i = parent is null ? 1 : 0; i < depth; i++)
        {
            node = new CounterNode(node, limit);
        }

        return node;
    }
}
