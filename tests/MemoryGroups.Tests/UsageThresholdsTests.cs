// Thresholds: every crossing, in either direction, raises each threshold once; registering raises nothing.
namespace MemoryGroups.Tests;

public sealed class UsageThresholdsTests
{
    [Fact]
    [Requirement("T64")]
    [Requirement("M48")]
    public void Threshold_is_raised_on_the_way_up_and_on_the_way_down()
    {
        using var world = new World();
        MemoryMember member = Exact(world).CreateMember("member");
        MemorySignal early = new(), late = new();
        member.Group.Thresholds.Register(5000, early);
        Assert.True(member.TryCharge(10_000));
        Assert.Equal(1, early.Total);

        member.Group.Thresholds.Register(5000, late);
        member.Uncharge(10_000);
        Assert.Equal((2, 1), (early.Total, late.Total));
        Assert.True(member.TryCharge(10_000));
        Assert.Equal((3, 2), (early.Total, late.Total));
    }

    [Fact]
    [Requirement("M48")]
    public void Exactly_the_threshold_is_reached_and_one_byte_less_is_not()
    {
        using var world = new World();
        MemoryMember member = Exact(world).CreateMember("member");
        var signal = new MemorySignal();
        member.Group.Thresholds.Register(100, signal);

        Assert.True(member.TryCharge(99));
        Assert.Equal(0, signal.Total);
        Assert.True(member.TryCharge(1));
        Assert.Equal(1, signal.Total);
        member.Uncharge(0);
        Assert.True(member.TryCharge(50));
        member.Uncharge(50);
        Assert.Equal(1, signal.Total);
        member.Uncharge(1);
        Assert.Equal(2, signal.Total);
    }

    [Fact]
    [Requirement("M48")]
    public void Every_threshold_that_one_change_crosses_is_raised_once()
    {
        using var world = new World();
        MemoryMember member = Exact(world).CreateMember("member");
        MemorySignal[] signals = [.. Enumerable.Range(0, 5).Select(_ => new MemorySignal())];
        foreach (int i in new[] { 3, 0, 4, 1, 2 })
        {
            member.Group.Thresholds.Register(100 * (i + 1), signals[i]);
        }

        Assert.True(member.TryCharge(350));
        Assert.Equal([1, 1, 1, 0, 0], signals.Select(static signal => signal.Take()));
        member.Uncharge(200);
        Assert.Equal([0, 1, 1, 0, 0], signals.Select(static signal => signal.Take()));
        Assert.True(member.TryCharge(400));
        Assert.Equal([0, 1, 1, 1, 1], signals.Select(static signal => signal.Take()));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(500)]
    [InlineData(5000)]
    [Requirement("M48")]
    public void Registration_raises_nothing_on_either_side(long used)
    {
        using var world = new World();
        MemoryMember member = Exact(world).CreateMember("member");
        Assert.True(member.TryCharge(used));
        MemorySignal first = new(), second = new();

        member.Group.Thresholds.Register(500, first);
        member.Group.Thresholds.Register(400, second);

        Assert.Equal((0, 0), (first.Total, second.Total));
        member.Uncharge(used);
        Assert.Equal(used >= 500 ? (1, 1) : (0, 0), (first.Total, second.Total));
    }

    [Fact]
    [Requirement("M48")]
    [Requirement("B34")]
    public void Unregister_drops_every_entry_of_the_signal_and_may_be_called_again()
    {
        using var world = new World();
        MemoryMember member = Exact(world).CreateMember("member");
        UsageThresholds thresholds = member.Group.Thresholds;
        MemorySignal many = new(), one = new();
        thresholds.Unregister(many);
        thresholds.Register(100, many);
        thresholds.Register(150, one);
        thresholds.Register(200, many);
        thresholds.Register(200, many);
        IDisposable alone = thresholds.Register(300, many);

        Assert.True(member.TryCharge(250));
        Assert.Equal((3, 1), (many.Take(), one.Take()));
        alone.Dispose();
        alone.Dispose();
        Assert.True(member.TryCharge(100));
        Assert.Equal((0, 0), (many.Take(), one.Take()));
        member.Uncharge(200);
        Assert.Equal((2, 0), (many.Take(), one.Take()));
        Assert.True(member.TryCharge(200));
        Assert.Equal((2, 0), (many.Take(), one.Take()));

        thresholds.Unregister(many);
        thresholds.Unregister(many);
        alone.Dispose();
        member.Uncharge(350);
        Assert.Equal((0, 1), (many.Take(), one.Take()));
        thresholds.Unregister(one);
        thresholds.Unregister(one);
        Assert.True(member.TryCharge(350));
        Assert.Equal((0, 0), (many.Take(), one.Take()));
    }

    [Fact]
    [Requirement("M6")]
    public void Root_and_every_group_between_check_their_own_thresholds()
    {
        using var world = new World();
        MemoryGroup parent = Exact(world);
        MemoryGroup child = parent.CreateGroup("child");
        MemoryMember member = child.CreateMember("member");
        MemorySignal onRoot = new(), onParent = new(), onChild = new(), beside = new();
        world.Root.Thresholds.Register(300, onRoot);
        parent.Thresholds.Register(200, onParent);
        child.Thresholds.Register(100, onChild);
        parent.CreateGroup("beside").Thresholds.Register(1, beside);

        Assert.True(member.TryCharge(150));
        Assert.Equal((0, 0, 1), (onRoot.Total, onParent.Total, onChild.Total));
        Assert.True(parent.CreateMember("other").TryCharge(150));
        Assert.Equal((1, 1, 1), (onRoot.Total, onParent.Total, onChild.Total));
        member.Uncharge(150);
        Assert.Equal((2, 2, 2), (onRoot.Total, onParent.Total, onChild.Total));
        Assert.Equal(0, beside.Total);
    }

    [Fact]
    [Requirement("M48")]
    public void Bytes_that_an_upper_group_refuses_cross_nothing_below_it()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1000, BatchBytes = 1 });
        MemoryGroup child = parent.CreateGroup("child");
        MemoryMember member = child.CreateMember("member");
        MemorySignal signal = new();
        child.Thresholds.Register(500, signal);
        bool limited = false;
        world.Root.ProbeHook = (point, subject) =>
        {
            // The limit falls after the path was read and before the parent's turn.
            if (point == ProbePoint.BeforeSwap && subject == parent.Counter && !limited)
            {
                limited = true;
                parent.Counter.SetLimit(10, out _);
            }
        };

        Assert.False(member.TryCharge(600));
        Assert.True(limited);
        Assert.Equal((0, 0), (signal.Total, child.Usage));
    }

    [Fact]
    [Requirement("M48")]
    public void Forced_charge_crosses_as_any_other()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 100 });
        MemoryMember member = tenant.CreateMember("member");
        MemorySignal signal = new(), onRoot = new();
        tenant.Thresholds.Register(150, signal);
        world.Root.Thresholds.Register(150, onRoot);

        member.Charge(160, ChargeFlags.NoFail);
        Assert.Equal((1, 1), (signal.Total, onRoot.Total));
        member.Uncharge(160);
        Assert.Equal((2, 2), (signal.Total, onRoot.Total));
    }

    [Fact]
    [Requirement("M48")]
    public void Drained_stock_crosses_downwards_once_the_gate_is_left()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryGroup child = parent.CreateGroup("child");
        Stocked.Member(child);
        Assert.True(parent.Usage > parent.UsageLower);
        MemorySignal above = new(), here = new();
        parent.Thresholds.Register(parent.Usage, above);
        child.Thresholds.Register(child.Usage, here);

        world.Root.Stocks.Drain(world.Root);

        Assert.Equal((1, 1), (above.Total, here.Total));
    }

    [Fact]
    public void Drain_of_several_groups_checks_the_thresholds_of_each()
    {
        using var world = new World();
        var signals = new List<MemorySignal>();
        foreach (string name in (string[])["a", "b", "c"])
        {
            MemoryGroup group = world.Root.CreateGroup(name, new MemoryGroupOptions { Max = Stocked.AmpleLimit });
            Stocked.Member(group);
            var signal = new MemorySignal();
            group.Thresholds.Register(group.Usage, signal);
            signals.Add(signal);
        }

        world.Root.Stocks.Drain(world.Root);

        Assert.Equal([1, 1, 1], signals.Select(static signal => signal.Total));
    }

    [Fact]
    [Requirement("M51")]
    public void Closing_a_group_raises_each_registration_a_last_time_and_ends_it()
    {
        using var world = new World();
        MemoryGroup tenant = Exact(world);
        MemoryMember member = tenant.CreateMember("member");
        MemorySignal twice = new(), gone = new(), onRoot = new();
        tenant.Thresholds.Register(100, twice);
        tenant.Thresholds.Register(200, twice);
        tenant.Thresholds.Register(100, gone).Dispose();
        world.Root.Thresholds.Register(50, onRoot);
        Assert.True(member.TryCharge(150));
        Assert.Equal((1, 0, 1), (twice.Take(), gone.Total, onRoot.Take()));

        tenant.Dispose();
        tenant.Dispose();

        Assert.Equal((2, 0, 1), (twice.Take(), gone.Total, onRoot.Take()));
        Assert.Throws<ObjectDisposedException>(() => tenant.Thresholds.Register(100, twice));
        tenant.Thresholds.Unregister(twice);
        Assert.Equal(0, twice.Take());
    }

    [Fact]
    [Requirement("S004-1")]
    public void Oom_registrations_and_thresholds_do_not_hear_each_other()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemorySignal oom = new(), crossed = new(), both = new();
        tenant.Oom.Register(oom);
        tenant.Oom.Register(both);
        tenant.Thresholds.Register(500, crossed);
        tenant.Thresholds.Register(500, both);

        MemoryMember hog = FullGroup.Fill(world, tenant);
        Assert.Equal((0, 1, 1), (oom.Take(), crossed.Take(), both.Take()));
        FullGroup.Ask(world, tenant, 10);
        Assert.Equal((1, 0, 1), (oom.Take(), crossed.Take(), both.Take()));

        tenant.Thresholds.Unregister(both);
        hog.Uncharge(10);
        world.Run();
        FullGroup.Ask(world, tenant, 10);
        Assert.Equal((1, 0, 1), (oom.Take(), crossed.Take(), both.Take()));
        tenant.Oom.Unregister(oom);
        hog.Uncharge(600);
        Assert.Equal((0, 1, 0), (oom.Take(), crossed.Take(), both.Take()));
    }

    [Fact]
    public void Size_below_one_and_missing_signal_are_refused()
    {
        using var world = new World();
        UsageThresholds thresholds = Exact(world).Thresholds;

        Assert.Throws<ArgumentOutOfRangeException>(() => thresholds.Register(0, new MemorySignal()));
        Assert.Throws<ArgumentNullException>(() => thresholds.Register(1, null!));
        Assert.Throws<ArgumentNullException>(() => thresholds.Unregister(null!));
    }

    [Fact]
    public async Task Reader_is_resumed_by_a_work_item_and_not_on_the_stack_of_who_charges()
    {
        using var world = new World();
        MemoryMember member = Exact(world).CreateMember("member");
        var signal = new MemorySignal();
        member.Group.Thresholds.Register(100, signal);
        Task<long> reading = signal.WaitAsync(TestContext.Current.CancellationToken).AsTask();

        Assert.True(member.TryCharge(100));
        Assert.Equal((1, false), (world.PostedCount, reading.IsCompleted));
        world.Run();

        Assert.Equal(1, await reading);
    }

    private static MemoryGroup Exact(World world) =>
        world.Root.CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 1 });
}
