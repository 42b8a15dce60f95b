// The hierarchical lock by itself: who may hold what at the same time.
//
// The reference is the kernel's way of doing it, a flag on every group of the subtree with rollback (S000-3, S000-4).
// OomLock must answer the same in every situation although it never walks a subtree.
namespace MemoryGroups.Tests;

public sealed class OomLockTests
{
    [Fact]
    [Requirement("S000-3")]
    [Requirement("S000-5")]
    [Requirement("T53")]
    public void Held_middle_group_refuses_its_relatives_and_leaves_its_sibling_free()
    {
        using var tree = new Tree();
        Assert.True(tree.TryHold("B"));

        Assert.Equal("E", tree.Grantable());

        tree.Release("B");
        Assert.Equal("ABCDE", tree.Grantable());
    }

    [Fact]
    [Requirement("S000-3")]
    [Requirement("S000-5")]
    [Requirement("T53")]
    public void Held_top_group_refuses_everything_below_it_until_it_is_released()
    {
        using var tree = new Tree();
        Assert.True(tree.TryHold("A"));

        Assert.Equal(string.Empty, tree.Grantable());

        tree.Release("A");
        Assert.Equal("ABCDE", tree.Grantable());
    }

    [Fact]
    [Requirement("S000-5")]
    public void Disjoint_subtrees_are_held_at_the_same_time()
    {
        using var tree = new Tree();

        Assert.True(tree.TryHold("C"));
        Assert.True(tree.TryHold("D"));
        Assert.True(tree.TryHold("E"));

        tree.Release("D");
        Assert.Equal("D", tree.Grantable());
    }

    [Fact]
    [Requirement("S000-4")]
    [Requirement("T54")]
    public void Refused_try_leaves_no_trace()
    {
        using var tree = new Tree();
        Assert.True(tree.TryHold("D"));

        Assert.False(tree.TryHold("A"));
        Assert.False(tree.TryHold("B"));

        Assert.Equal(["D"], tree.Holders());
        Assert.Equal(1, tree["A"].OomLock.HeldBelow);
        Assert.Equal(1, tree["B"].OomLock.HeldBelow);
        Assert.True(tree.TryHold("C"));
        Assert.True(tree.TryHold("E"));
    }

    [Fact]
    [Requirement("S000-2")]
    public void Second_try_by_the_same_holder_is_refused_like_any_other()
    {
        using var tree = new Tree();
        Assert.True(tree.TryHold("B"));

        Assert.False(tree.TryHold("B"));

        tree.Release("B");
        Assert.Empty(tree.Holders());
        Assert.Equal(0, tree["A"].OomLock.HeldBelow);
    }

    [Theory]
    [Requirement("B02")]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Chain_of_groups_has_one_holder_whichever_is_tried(int length)
    {
        using var world = new World();
        var chain = new List<MemoryGroup>();
        for (int i = 0; i < length; i++)
        {
            chain.Add((i == 0 ? world.Root : chain[i - 1]).CreateGroup("g"));
        }

        foreach (MemoryGroup held in chain)
        {
            Assert.True(Try(world, held, held));
            Assert.All(chain, group => Assert.False(Try(world, group, group)));
            Release(world, held, held);
        }

        Assert.All(chain, group => Assert.Equal(0, group.OomLock.HeldBelow));
    }

    [Fact]
    [Requirement("S000-25")]
    public void Group_born_under_a_held_ancestor_is_locked_until_the_ancestor_is_released()
    {
        using var tree = new Tree();
        Assert.True(tree.TryHold("A"));

        MemoryGroup child = tree["B"].CreateGroup("child");
        MemoryGroup grandchild = child.CreateGroup("grandchild");

        Assert.False(Try(tree.World, child, this));
        Assert.False(Try(tree.World, grandchild, this));
        tree.Release("A");
        Assert.True(Try(tree.World, grandchild, this));
        Release(tree.World, grandchild, this);
    }

    [Fact]
    [Requirement("S000-25")]
    public void Release_clears_only_what_this_holder_holds()
    {
        using var tree = new Tree();
        Assert.True(tree.TryHold("C"));
        MemoryGroup late = tree["B"].CreateGroup("late");
        Assert.True(Try(tree.World, late, this));

        tree.Release("C");

        Assert.Same(this, late.OomLock.Holder);
        Assert.Equal(1, tree["A"].OomLock.HeldBelow);
        Assert.Equal(1, tree["B"].OomLock.HeldBelow);
        Assert.Equal("CDE", tree.Grantable());
        Release(tree.World, late, this);
    }

    [Theory]
    [Requirement("S000-3")]
    [Requirement("S000-4")]
    [Requirement("S000-5")]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_tries_are_answered_as_by_flagging_every_group_of_the_subtree(int seed)
    {
        using var tree = new Tree();
        var random = new Random(seed);
        var flagged = new HashSet<string>();
        var held = new HashSet<string>();
        for (int step = 0; step < 2000; step++)
        {
            string name = Tree.Names[random.Next(Tree.Names.Length)].ToString();
            if (held.Remove(name))
            {
                tree.Release(name);
                flagged.ExceptWith(tree.Subtree(name));
                continue;
            }

            bool expected = !tree.Subtree(name).Any(flagged.Contains);
            Assert.True(tree.TryHold(name) == expected, $"seed {seed}, step {step}: {name} should answer {expected}");
            if (expected)
            {
                held.Add(name);
                flagged.UnionWith(tree.Subtree(name));
            }
        }

        Assert.Equal(held.Order(), tree.Holders());
    }

    private static bool Try(World world, MemoryGroup group, object holder)
    {
        using (world.Root.EnterGuard())
        {
            return OomLock.TryAcquireLocked(group, holder);
        }
    }

    private static void Release(World world, MemoryGroup group, object holder)
    {
        using (world.Root.EnterGuard())
        {
            OomLock.ReleaseLocked(group, holder);
        }
    }

    // A(B(C, D), E), each group its own holder.
    private sealed class Tree : IDisposable
    {
        public const string Names = "ABCDE";

        private readonly Dictionary<string, MemoryGroup> _groups = [];

        public Tree()
        {
            _groups["A"] = World.Root.CreateGroup("A");
            _groups["B"] = this["A"].CreateGroup("B");
            _groups["C"] = this["B"].CreateGroup("C");
            _groups["D"] = this["B"].CreateGroup("D");
            _groups["E"] = this["A"].CreateGroup("E");
        }

        public World World { get; } = new();

        public MemoryGroup this[string name] => _groups[name];

        public bool TryHold(string name) => Try(World, this[name], this[name]);

        public void Release(string name) => OomLockTests.Release(World, this[name], this[name]);

        // Which groups could be acquired now, each by itself.
        public string Grantable() => string.Concat(Names.Select(static name => name.ToString()).Where(name =>
        {
            object probe = new();
            bool granted = Try(World, this[name], probe);
            if (granted)
            {
                OomLockTests.Release(World, this[name], probe);
            }

            return granted;
        }));

        public IEnumerable<string> Holders() =>
            _groups.Where(static pair => pair.Value.OomLock.Holder is not null).Select(static pair => pair.Key).Order();

        public IEnumerable<string> Subtree(string top) =>
            _groups.Where(pair => pair.Value.IsWithin(this[top])).Select(static pair => pair.Key);

        public void Dispose()
        {
            foreach (string name in Holders().ToList())
            {
                Release(name);
            }

            World.Dispose();
        }
    }
}
