// The hierarchical counter: a charge shows at every level or at none, and the level that refused is named.
namespace MemoryGroups.Tests;

public sealed class UsageCounterTests
{
    [Fact]
    [Requirement("M1")]
    public void Lowest_group_without_room_is_the_one_that_refuses()
    {
        using var tree = new Chain(top: 100, middle: 50, leaf: 10);

        Assert.False(tree.Leaf.Counter.TryCharge(11, 0, out UsageCounter? byLeaf));
        Assert.Same(tree.Leaf.Counter, byLeaf);
        Assert.False(tree.Middle.Counter.TryCharge(51, 0, out UsageCounter? byMiddle));
        Assert.Same(tree.Middle.Counter, byMiddle);
        Assert.True(tree.Top.Counter.TryCharge(91, 0, out UsageCounter? byNobody));
        Assert.Null(byNobody);
        Assert.False(tree.Leaf.Counter.TryCharge(10, 0, out UsageCounter? byTop));
        Assert.Same(tree.Top.Counter, byTop);
    }

    [Fact]
    [Requirement("M1")]
    public void Exactly_the_limit_fits_and_a_byte_more_does_not()
    {
        using var tree = new Chain(top: 100, middle: 100, leaf: 100);

        Assert.True(tree.Leaf.Counter.TryCharge(100, 0, out _));
        Assert.False(tree.Leaf.Counter.TryCharge(1, 0, out _));
        Assert.True(tree.Leaf.Counter.TryCharge(0, 0, out _));
    }

    [Fact]
    [Requirement("M1")]
    public void Refused_charge_shows_nowhere_and_counts_where_it_was_refused()
    {
        using var tree = new Chain(top: 100, middle: 50, leaf: 80);
        Assert.True(tree.Middle.Counter.TryCharge(50, 0, out _));

        Assert.False(tree.Leaf.Counter.TryCharge(5, 0, out _));

        Assert.Equal((50, 50, 0), tree.Usage);
        Assert.Equal(0, tree.Leaf.PeakUsage);
        Assert.Equal((0, 1, 0), (tree.Leaf.RefusalCount, tree.Middle.RefusalCount, tree.Top.RefusalCount));
    }

    // Enough of them that the count is kept for each CPU.
    [Fact]
    [Requirement("M1")]
    public void Each_of_many_refusals_on_several_threads_is_counted_and_a_reset_forgets_them_all()
    {
        using var tree = new Chain(top: 100, middle: 50, leaf: 80);
        Assert.True(tree.Middle.Counter.TryCharge(50, 0, out _));

        Parallel.For(0, 4, _ =>
        {
            for (int i = 0; i < 100_000; i++)
            {
                Assert.False(tree.Leaf.Counter.TryCharge(1, 0, out UsageCounter? _));
            }
        });

        Assert.Equal((0, 400_000, 0), (tree.Leaf.RefusalCount, tree.Middle.RefusalCount, tree.Top.RefusalCount));
        tree.Middle.ResetRefusalCount();
        Assert.Equal(0, tree.Middle.RefusalCount);
        Assert.False(tree.Leaf.Counter.TryCharge(1, 0, out _));
        Assert.Equal(1, tree.Middle.RefusalCount);
    }

    [Fact]
    [Requirement("T15")]
    [Requirement("M1")]
    public void Ancestor_limit_is_enforced_and_named_in_the_report()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup child = parent.CreateGroup("child", new MemoryGroupOptions { Max = 1003 });
        MemoryMember grower = child.CreateMember("grower");
        Assert.True(world.Charge(grower, 1000).Granted);

        world.Charge(grower, 2).Failed<OomKilledException>();

        Assert.True(grower.IsKilled);
        Assert.Equal(parent.Path, Assert.Single(world.Root.Reports.Latest()).RefusingGroup);
        Assert.Equal(1, parent.Events.Local.Oom);
        Assert.Equal(0, child.Events.Local.Oom);
    }

    [Fact]
    public void Forced_charge_goes_over_every_limit_but_the_roots()
    {
        using var world = new World(1000);
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 100 });
        UsageCounter counter = group.Counter;

        Assert.True(counter.TryForce(500, 0, evenAtRoot: false));
        Assert.False(counter.TryForce(501, 0, evenAtRoot: false));
        Assert.Equal(500, group.Usage);
        Assert.Equal(500, world.Root.Usage);
        Assert.False(counter.TryForce(500, rootFloor: 1, evenAtRoot: false));
        Assert.True(counter.TryForce(501, 0, evenAtRoot: true));
        Assert.Equal(1001, world.Root.Usage);
        Assert.Equal(1001, group.PeakUsage);
        counter.Uncharge(1001);
    }

    [Fact]
    [Requirement("M3")]
    public void Peak_keeps_the_highest_usage_until_it_is_reset()
    {
        using var tree = new Chain(top: 100, middle: 100, leaf: 100);
        Assert.True(tree.Leaf.Counter.TryCharge(70, 0, out _));
        tree.Leaf.Counter.Uncharge(50);

        Assert.Equal(70, tree.Leaf.PeakUsage);
        tree.Leaf.ResetPeak();
        Assert.Equal(20, tree.Leaf.PeakUsage);
        Assert.Equal(70, tree.Top.PeakUsage);
    }

    [Fact]
    [Requirement("M4")]
    public void Uncharge_below_zero_is_reported_and_clamped()
    {
        var root = new MemoryRoot(new MemoryRootOptions());
        root.Books.AssertInDebug = false;
        MemoryGroup group = root.CreateGroup("group");

        group.Counter.Uncharge(10);

        Assert.Equal(0, group.Usage);
        Assert.Equal(0, root.Usage);
        Assert.Contains(group.Path, root.FirstBooksError!, StringComparison.Ordinal);
        Assert.True(group.Counter.TryCharge(5, 0, out _));
        Assert.Equal(5, root.Usage);
    }

    [Fact]
    [Requirement("M5")]
    [Requirement("T20")]
    public void Limit_that_falls_between_the_look_and_the_swap_is_kept()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        MemoryGroup group = parent.CreateGroup("group", FullGroup.Sleepy);
        Assert.True(world.Charge(group.CreateMember("hog"), 500).Granted);
        long usageAtTheChange = 0;
        world.Once(ProbePoint.BeforeSwap, () => usageAtTheChange = group.Counter.SetLimit(500, out _));

        Assert.False(group.Counter.TryCharge(100, 0, out UsageCounter? refused));

        // Who lowered the limit was told that the usage fits, so it has to stay that way.
        Assert.Equal(500, usageAtTheChange);
        Assert.Same(group.Counter, refused);
        Assert.Equal((500, 500), (group.Usage, parent.Usage));
    }

    [Fact]
    [Requirement("T19")]
    [Requirement("T20")]
    public void Room_that_is_taken_between_the_look_and_the_swap_is_not_granted_twice()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        world.Once(ProbePoint.BeforeSwap, () => Assert.True(group.Counter.TryCharge(950, 0, out _)));

        Assert.False(group.Counter.TryCharge(100, 0, out _));

        Assert.Equal(950, group.Usage);
        world.Once(ProbePoint.BeforeSwap, () => Assert.True(group.Counter.TryCharge(20, 0, out _)));
        Assert.True(group.Counter.TryCharge(30, 0, out _));
        Assert.Equal(1000, group.Usage);
        group.Counter.Uncharge(1000);
    }

    [Fact]
    [Requirement("T19")]
    [Requirement("M1")]
    [Requirement("M2")]
    public void Charge_that_an_ancestor_refuses_after_all_is_undone_below_and_wakes_who_may_use_the_bytes()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup group = parent.CreateGroup("group", new MemoryGroupOptions { Max = 100, KillDisabled = true });
        Pending? waiting = null;

        // The parent fills up after it was looked at; somebody comes to the group while it is full for a moment.
        world.Once(ProbePoint.BeforeSwap, static () => { });
        world.Once(ProbePoint.BeforeSwap, () =>
        {
            waiting = world.Begin(group.CreateMember("waiting"), 50);
            Assert.True(waiting.Sleeps);
            Assert.True(parent.Counter.TryForce(950, 0, evenAtRoot: false));
        });

        Assert.False(group.Counter.TryCharge(100, 0, out UsageCounter? refused));

        Assert.Same(parent.Counter, refused);
        Assert.Equal(0, group.Usage);
        world.Run();
        Assert.True(waiting!.Granted);
        parent.Counter.Uncharge(950);
    }

    [Fact]
    public void Decrease_wakes_only_after_every_level_has_fallen()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", FullGroup.Sleepy);
        MemoryGroup child = parent.CreateGroup("child", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, child);
        Pending asking = FullGroup.Ask(world, child, 100);

        hog.Uncharge(100);
        world.Run();

        Assert.True(asking.Granted);
        Assert.Single(world.Trace, static point => point == ProbePoint.ChargeRefused);
    }
}
