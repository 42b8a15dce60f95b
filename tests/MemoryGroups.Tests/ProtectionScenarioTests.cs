// Min and Low among siblings, in the proportions of the kernel's own scenario.
//
//   A (max 200)
//     B (claims 50)   C (claims 75, cache 50)  D (claims 25, cache 50)  E (claims 0, cache 50)  F (claims 500, empty)
//     G               grows until A is full
// B keeps 50 of the 150 that its children hold. C and D claim 100 between them, so they share B's 50; what a group
// protects is never more than it uses, so the shares move as C and D shrink, and settle at 29 and 21 of 50.
namespace MemoryGroups.Tests;

public sealed class ProtectionScenarioTests
{
    private const long M = 1 << 20;

    public enum Claim
    {
        Min,
        Low,
    }

    [Theory]
    [InlineData(0, 29, 15, 21, 20)]
    [InlineData(50, 33, 20, 17, 20)]
    [Requirement("T30")]
    [Requirement("M41")]
    [Requirement("M42")]
    public void Min_is_kept_by_all_who_claim_it_even_if_the_grower_dies(
        int claimOfA, int c, int percentOfC, int d, int percentOfD)
    {
        using var tree = new Tree(Claim.Min, claimOfA);
        Assert.Null(tree.Grow(148 * M));
        Tolerance.AssertClose(50 * M, tree.B.Usage, 3);
        Tolerance.AssertClose(c * M, tree.C.Held, percentOfC);
        Tolerance.AssertClose(d * M, tree.D.Held, percentOfD);
        Assert.Equal(0, tree.F.Held);

        Assert.IsType<OomKilledException>(tree.Grow(170 * M));
        Tolerance.AssertClose(50 * M, tree.B.Usage, 3);
        Assert.Equal((0, 0), (tree.E.Held, tree.F.Held));

        MemoryGroup inC = tree.C.Member.Group;
        Assert.Equal(inC.Usage - (10 * M), tree.World.Await(inC.ReclaimAsync(inC.Usage - (10 * M))));
        Assert.Equal(10 * M, inC.Usage);
        Assert.Equal(0, tree.A.Events.Current.Low);
    }

    // What is proportional in it: both shrink by what they use above their share, so they meet where the shares do.
    [Fact]
    [Requirement("T30")]
    [Requirement("M42")]
    public void Shares_settle_where_the_kernels_do()
    {
        using var tree = new Tree(Claim.Min, 0);

        Assert.Null(tree.Grow(148 * M));

        Assert.InRange(tree.C.Held, 28 * M, 30 * M);
        Assert.InRange(tree.D.Held, 20 * M, 22 * M);
    }

    [Theory]
    [InlineData(0, 29, 15, 21, 20, false)]
    [InlineData(0, 29, 15, 21, 20, true)]
    [InlineData(50, 33, 20, 17, 20, false)]
    [Requirement("T31")]
    [Requirement("M41")]
    [Requirement("M45")]
    public void Low_is_kept_as_long_as_anything_else_is_left_and_yields_before_a_kill(
        int claimOfA, int c, int percentOfC, int d, int percentOfD, bool recursive)
    {
        using var tree = new Tree(Claim.Low, claimOfA, recursive);
        Assert.Null(tree.Grow(148 * M));
        Tolerance.AssertClose(50 * M, tree.B.Usage, 3);
        Tolerance.AssertClose(c * M, tree.C.Held, percentOfC);
        Tolerance.AssertClose(d * M, tree.D.Held, percentOfD);
        Assert.Equal(0, tree.F.Held);
        Assert.Equal(0, tree.A.Events.Current.Low);

        Assert.Null(tree.Grow(170 * M));

        Tolerance.AssertClose(30 * M, tree.B.Usage, 3);
        foreach (LeaseCache leaf in (LeaseCache[])[tree.C, tree.D, tree.E, tree.F])
        {
            MemoryEventCounts events = leaf.Member.Group.Events.Current;
            Assert.Equal((0, 0), (events.Oom, events.OomKill));
            Assert.True(events.Low > 0 == (leaf == tree.C || leaf == tree.D), $"{leaf.Name}: {events.Low} low events");
        }
    }

    // Two reclaims at once, of C and of A around it: C is protected from the wider one only.
    [Fact]
    [Requirement("T32")]
    [Requirement("M41")]
    public void Reclaim_of_a_group_ignores_its_own_claim_also_while_a_wider_one_honours_it()
    {
        using var tree = new Tree(Claim.Min, 0);
        Assert.Null(tree.Grow(148 * M));
        int asked = tree.C.Calls.Count;
        var elsewhere = new TaskCompletionSource<long>();
        tree.A.AddReclaimer(new ScriptedReclaimer("slow", (_, _) => new ValueTask<long>(elsewhere.Task)));
        Task<long> wider = tree.A.ReclaimAsync(20 * M).AsTask();
        tree.World.Run();
        Assert.False(wider.IsCompleted);
        Assert.Equal(asked, tree.C.Calls.Count);

        MemoryGroup inC = tree.C.Member.Group;
        Assert.Equal(5 * M, tree.World.Await(inC.ReclaimAsync(5 * M)));
        long left = tree.C.Held;
        elsewhere.SetResult(0);
        tree.World.Run();

        Assert.True(wider.IsCompletedSuccessfully);
        Assert.Equal(left, tree.C.Held);
        Assert.Equal(10 * M, tree.World.Await(inC.ReclaimAsync(10 * M)));
    }

    [Fact]
    [Requirement("M41")]
    public void Protection_is_zero_by_default_and_after_the_group_is_closed()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group");
        Assert.Equal((0, 0), (group.Min, group.Low));
        (group.Min, group.Low) = (10, 20);

        group.Dispose();

        Assert.Equal((0, 0), (group.Min, group.Low));
    }

    private sealed class Tree : IDisposable
    {
        private readonly Claim _claim;

        public Tree(Claim claim, int claimOfA, bool recursive = false)
        {
            _claim = claim;
            World = new World(configure: options => options with { RecursiveProtection = recursive });
            A = World.Root.CreateGroup("a", Options(claimOfA) with { Max = 200 * M, BatchBytes = 1 });
            B = A.CreateGroup("b", Options(50));
            C = Leaf("c", 75, 50);
            D = Leaf("d", 25, 50);
            E = Leaf("e", 0, 50);
            F = Leaf("f", 500, 0);
            G = A.CreateGroup("g");
        }

        public World World { get; }

        public MemoryGroup A { get; }

        public MemoryGroup B { get; }

        public LeaseCache C { get; }

        public LeaseCache D { get; }

        public LeaseCache E { get; }

        public LeaseCache F { get; }

        public MemoryGroup G { get; }

        // A process that allocates so much, step by step, and ends. Answers what stopped it.
        public Exception? Grow(long bytes)
        {
            using MemoryMember grower = G.CreateMember("grower");
            for (long held = 0; held < bytes; held += M / 4)
            {
                Pending step = World.Charge(grower, M / 4);
                if (!step.Granted)
                {
                    Assert.False(step.Sleeps);
                    return step.Error;
                }
            }

            return null;
        }

        public void Dispose() => World.Dispose();

        private MemoryGroupOptions Options(long claim) => _claim == Claim.Min
            ? new MemoryGroupOptions { Min = claim * M }
            : new MemoryGroupOptions { Low = claim * M };

        private LeaseCache Leaf(string name, long claim, long cache)
        {
            var leaf = new LeaseCache(B.CreateGroup(name, Options(claim)));
            leaf.Fill(World, cache * M);
            return leaf;
        }
    }
}
