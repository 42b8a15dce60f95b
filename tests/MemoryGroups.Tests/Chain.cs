// Three groups below each other; the usage is read from the top down.
namespace MemoryGroups.Tests;

internal sealed class Chain : IDisposable
{
    private readonly World _world = new();

    public Chain(long top, long middle, long leaf)
    {
        Top = _world.Root.CreateGroup("top", new MemoryGroupOptions { Max = top });
        Middle = Top.CreateGroup("middle", new MemoryGroupOptions { Max = middle });
        Leaf = Middle.CreateGroup("leaf", new MemoryGroupOptions { Max = leaf });
    }

    public MemoryGroup Top { get; }

    public MemoryGroup Middle { get; }

    public MemoryGroup Leaf { get; }

    public (long Top, long Middle, long Leaf) Usage => (Top.Usage, Middle.Usage, Leaf.Usage);

    // The tests charge the counters themselves, past any member: what is left is theirs.
    public void Dispose()
    {
        Leaf.Counter.Uncharge(Leaf.Usage);
        Middle.Counter.Uncharge(Middle.Usage);
        Top.Counter.Uncharge(Top.Usage);
        _world.Dispose();
    }
}
