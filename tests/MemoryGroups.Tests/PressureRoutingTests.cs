// Who hears pressure: from the group where it arose up to the root, by each listener's level and mode.
namespace MemoryGroups.Tests;

public sealed class PressureRoutingTests
{
    private const PressureLevel Medium = PressureLevel.Medium;

    [Fact]
    [Requirement("T65")]
    [Requirement("M50")]
    public void Listener_further_up_hears_by_its_mode()
    {
        using var tree = new Chain();
        tree.Listen(Medium, PressureRouting.Default);
        tree.Press();
        Assert.Equal((0, 0, 1), tree.Heard());

        tree.C.Pressure.Unregister(tree.OnC);
        tree.Press();
        Assert.Equal((0, 1, 0), tree.Heard());

        tree.Forget();
        tree.Listen(Medium, PressureRouting.Hierarchy);
        tree.Press();
        Assert.Equal((1, 1, 1), tree.Heard());

        tree.B.Pressure.Unregister(tree.OnB);
        tree.B.Pressure.Register(Medium, tree.OnB, PressureRouting.Local);
        tree.Press();
        Assert.Equal((1, 0, 1), tree.Heard());
        tree.Press(tree.B);
        Assert.Equal((1, 1, 0), tree.Heard());
    }

    [Fact]
    [Requirement("M50")]
    public void Listeners_of_one_group_are_judged_alike()
    {
        using var tree = new Chain();
        MemorySignal second = new(), third = new();
        tree.B.Pressure.Register(Medium, tree.OnB);
        tree.B.Pressure.Register(Medium, second, PressureRouting.Hierarchy);
        tree.B.Pressure.Register(Medium, third);
        tree.A.Pressure.Register(Medium, tree.OnA);

        tree.Press();

        Assert.Equal((1, 1, 1, 0), (tree.OnB.Take(), second.Take(), third.Take(), tree.OnA.Take()));
    }

    [Theory]
    [InlineData(PressureRouting.Hierarchy)]
    [InlineData(PressureRouting.Local)]
    [Requirement("M50")]
    public void Told_in_any_mode_is_told_for_the_defaults_above(PressureRouting below)
    {
        using var tree = new Chain();
        tree.C.Pressure.Register(Medium, tree.OnC, below);
        tree.A.Pressure.Register(Medium, tree.OnA);

        tree.Press();

        Assert.Equal((0, 0, 1), tree.Heard());
    }

    [Fact]
    [Requirement("M50")]
    public void Listener_that_was_not_told_holds_nothing_back()
    {
        using var tree = new Chain();
        tree.C.Pressure.Register(PressureLevel.Critical, tree.OnC);
        tree.B.Pressure.Register(Medium, tree.OnB, PressureRouting.Local);
        tree.A.Pressure.Register(PressureLevel.Low, tree.OnA);

        tree.Press();

        Assert.Equal((1, 0, 0), tree.Heard());
    }

    [Fact]
    [Requirement("M50")]
    public void Pressure_does_not_go_down_or_sideways_and_reaches_the_root()
    {
        using var tree = new Chain();
        MemorySignal onRoot = new(), beside = new();
        tree.Listen(Medium, PressureRouting.Hierarchy);
        tree.A.Parent!.Pressure.Register(Medium, onRoot);
        tree.A.CreateGroup("beside").Pressure.Register(Medium, beside, PressureRouting.Hierarchy);

        tree.Press(tree.A);
        Assert.Equal((1, 0, 0), tree.Heard());
        Assert.Equal((0, 0), (onRoot.Take(), beside.Take()));
        tree.A.Pressure.Unregister(tree.OnA);
        tree.Press(tree.A);
        Assert.Equal((1, 0), (onRoot.Take(), beside.Take()));
    }

    [Fact]
    [Requirement("M51")]
    public void Closing_a_group_raises_each_listener_a_last_time_and_ends_it()
    {
        using var tree = new Chain();
        tree.C.Pressure.Register(PressureLevel.Critical, tree.OnC);
        tree.C.Pressure.Register(PressureLevel.Low, tree.OnC, PressureRouting.Local);
        tree.C.Pressure.Register(PressureLevel.Low, tree.OnB).Dispose();

        tree.C.Dispose();
        Assert.Equal((0, 0, 2), tree.Heard());
        tree.Press();
        Assert.Equal((0, 0, 0), tree.Heard());
        Assert.Throws<ObjectDisposedException>(() => tree.C.Pressure.Register(Medium, tree.OnC));
    }

    [Fact]
    public void Unregister_drops_every_entry_and_is_harmless_when_there_is_none()
    {
        using var tree = new Chain();
        MemoryPressure pressure = tree.C.Pressure;
        pressure.Unregister(tree.OnC);
        pressure.Register(Medium, tree.OnC);
        IDisposable one = pressure.Register(Medium, tree.OnC);
        pressure.Register(Medium, tree.OnC);
        tree.Press();
        Assert.Equal((0, 0, 3), tree.Heard());

        one.Dispose();
        one.Dispose();
        tree.Press();
        Assert.Equal((0, 0, 2), tree.Heard());
        pressure.Unregister(tree.OnC);
        tree.Press();
        Assert.Equal((0, 0, 0), tree.Heard());
        pressure.Unregister(tree.OnC);
        tree.Press();
        Assert.Equal((0, 0, 0), tree.Heard());
    }

    [Fact]
    public void Values_without_a_name_and_a_missing_signal_are_refused()
    {
        using var tree = new Chain();
        MemoryPressure pressure = tree.A.Pressure;

        Assert.Throws<ArgumentOutOfRangeException>(() => pressure.Register((PressureLevel)3, tree.OnA));
        Assert.Throws<ArgumentOutOfRangeException>(() => pressure.Register((PressureLevel)(-1), tree.OnA));
        Assert.Throws<ArgumentOutOfRangeException>(() => pressure.Register(Medium, tree.OnA, (PressureRouting)3));
        Assert.Throws<ArgumentNullException>(() => pressure.Register(Medium, null!));
        Assert.Throws<ArgumentNullException>(() => pressure.Unregister(null!));
    }

    [Fact]
    public async Task Reader_that_waits_is_resumed_by_an_answer_and_by_despair()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group");
        var signal = new MemorySignal();
        group.Pressure.Register(PressureLevel.Low, signal);

        foreach (Action press in (Action[])[
            () => group.Pressure.Account(PressureWindow.Bytes, 0), group.Pressure.Despair])
        {
            ValueTask<long> reading = signal.WaitAsync(TestContext.Current.CancellationToken);
            Assert.False(reading.IsCompleted);
            press();

            Assert.Equal(1, world.PostedCount);
            world.Run();
            Assert.Equal(1, await reading);
        }
    }

    [Fact]
    public void Registration_that_is_disposed_hears_nothing_more_and_the_others_do()
    {
        using var tree = new Chain();
        IDisposable first = tree.C.Pressure.Register(Medium, tree.OnC);
        tree.C.Pressure.Register(Medium, tree.OnB);

        first.Dispose();
        first.Dispose();
        tree.Press();

        Assert.Equal((0, 1, 0), tree.Heard());
    }

    // A -> B -> C with a signal on each; pressure is pressed into a group as its reclaim would.
    private sealed class Chain : IDisposable
    {
        private readonly World _world = new();

        public Chain()
        {
            A = _world.Root.CreateGroup("a");
            B = A.CreateGroup("b");
            C = B.CreateGroup("c");
        }

        public MemoryGroup A { get; }

        public MemoryGroup B { get; }

        public MemoryGroup C { get; }

        public MemorySignal OnA { get; } = new();

        public MemorySignal OnB { get; } = new();

        public MemorySignal OnC { get; } = new();

        public void Listen(PressureLevel level, PressureRouting routing)
        {
            A.Pressure.Register(level, OnA, routing);
            B.Pressure.Register(level, OnB, routing);
            C.Pressure.Register(level, OnC, routing);
        }

        public void Forget()
        {
            A.Pressure.Unregister(OnA);
            B.Pressure.Unregister(OnB);
            C.Pressure.Unregister(OnC);
        }

        // Medium: a fifth of what was asked for came.
        public void Press(MemoryGroup? where = null) =>
            (where ?? C).Pressure.Account(PressureWindow.Bytes, PressureWindow.Bytes / 5);

        public (long A, long B, long C) Heard() => (OnA.Take(), OnB.Take(), OnC.Take());

        public void Dispose() => _world.Dispose();
    }
}
