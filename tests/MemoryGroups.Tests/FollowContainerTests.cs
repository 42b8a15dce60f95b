// The capacity follows the container's limit, live, and the garbage collector's limit follows it.
namespace MemoryGroups.Tests;

public sealed class FollowContainerTests
{
    private static readonly TimeSpan Period = new MemoryRootOptions().SamplePeriod;

    private readonly ScriptedProcess _process = new();

    [Fact]
    public void Capacity_is_the_limit_less_a_sixteenth_and_counts_what_is_undeclared()
    {
        _process.Limit = 16_000;
        _process.Measured = 5000;
        using World world = NewWorld();
        MemoryMember member = world.Root.CreateMember("member");

        Assert.Equal(15_000, world.Root.Capacity);
        Assert.Equal(15_000, world.Root.HeapLimitBytes);
        Assert.Equal(16_000, world.Root.Unattributed.ContainerLimitBytes);
        Assert.False(member.TryCharge(10_001));
        Assert.True(member.TryCharge(10_000));
    }

    [Fact]
    public void Capacity_rises_and_falls_with_the_limit_and_stays_within_what_was_set_by_hand()
    {
        _process.Limit = 1000;
        using World world = NewWorld(2000, static options => options with { ContainerReserveBytes = 100 });
        MemoryMember member = world.Root.CreateMember("member");
        Assert.Equal(900, world.Root.Capacity);

        _process.Limit = 1500;
        Assert.False(member.TryCharge(901));
        world.Advance(Period);
        Assert.Equal(1400, world.Root.Capacity);
        Assert.True(member.TryCharge(1400));
        member.Uncharge(1400);

        _process.Limit = 5000;
        world.Advance(Period);
        Assert.Equal(2000, world.Root.Capacity);
        world.Root.Capacity = 3000;
        Assert.Equal(3000, world.Root.Capacity);

        _process.Limit = 50;
        world.Advance(Period);
        Assert.Equal(0, world.Root.Capacity);
        Assert.False(member.TryCharge(1));
    }

    [Fact]
    public void Watermarks_and_reserve_follow_the_limit_too()
    {
        _process.Limit = 16 << 20;
        using var root = new MemoryRoot(Options(new MemoryRootOptions { TimeProvider = new VirtualTime() }));

        Assert.Equal((15 << 20) / 128, root.MinWatermark);
        Assert.Equal((15 << 20) / 128, root.OomReserveBytes);
        Assert.Equal((15 << 20) / 4, root.CostlyChargeBytes);
    }

    // Out of a timer it would end the process.
    [Fact]
    public void Collector_that_has_no_memory_for_its_own_limit_gets_it_at_the_next_tick()
    {
        _process.Limit = 16_000;
        using World world = NewWorld();
        _process.Limit = 32_000;
        _process.OnLimitHeap = static () => throw new InsufficientMemoryException();
        world.Advance(Period);
        Assert.Equal((30_000, 15_000), (world.Root.Capacity, world.Root.HeapLimitBytes));

        _process.OnLimitHeap = null;
        world.Advance(Period);

        Assert.Equal(30_000, world.Root.HeapLimitBytes);
    }

    // Whoever is slow in the middle has worked out its numbers from a capacity that is none any more.
    [Fact]
    public void Watermarks_and_reserve_follow_the_last_of_two_changes_at_once()
    {
        const int Rounds = 10_000;
        using var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 1 << 20 });
        using var barrier = new Barrier(2);
        var other = new Thread(() => ChangeInTurns(1 << 24, static () => { })) { IsBackground = true };
        other.Start();
        int wrong = 0;
        ChangeInTurns(1 << 20, () => wrong +=
            (root.MinWatermark, root.OomReserveBytes) == (root.Capacity / 128, root.Capacity / 128) ? 0 : 1);
        other.Join();

        Assert.True(wrong == 0, $"they were of another capacity than the last one {wrong} times in {Rounds}");

        void ChangeInTurns(long capacity, Action look)
        {
            for (int round = 0; round < Rounds; round++)
            {
                barrier.SignalAndWait(TimeSpan.FromSeconds(60));
                root.Capacity = capacity;
                barrier.SignalAndWait(TimeSpan.FromSeconds(60));
                look();
            }
        }
    }

    [Fact]
    public void Limit_lowered_below_what_is_in_use_reclaims_and_then_kills_until_it_fits()
    {
        _process.Limit = 1600;
        using World world = NewWorld();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Min = 1000 });
        MemoryMember large = tenant.CreateMember("large");
        MemoryMember small = tenant.CreateMember("small");
        Assert.True(large.TryCharge(600));
        Assert.True(small.TryCharge(400));
        int asked = 0;
        using IDisposable cache = world.Root.AddReclaimer(new ScriptedReclaimer("cache", _ =>
        {
            asked++;
            return 0;
        }));
        _process.Measured = 1000;
        _process.Limit = 800;

        world.Advance(Period);

        Assert.Equal(750, world.Root.Capacity);
        Assert.Equal(1, asked);

        // Declared bytes are short: Min is no shield.
        Assert.True(large.IsKilled);
        Assert.False(small.IsKilled);
        _process.Measured = 400;
        large.Dispose();
        world.Run();
        Assert.False(small.IsKilled);
    }

    [Fact]
    public void Lowering_that_fits_hurts_nobody()
    {
        _process.Limit = 1600;
        using World world = NewWorld();
        MemoryMember member = world.Root.CreateMember("member");
        Assert.True(member.TryCharge(750));
        _process.Measured = 750;
        _process.Limit = 800;

        world.Advance(Period);

        Assert.False(member.IsKilled);
        Assert.Equal(0, world.PostedCount);
    }

    [Fact]
    public void Collector_that_has_committed_more_keeps_its_limit_and_is_told_again_later()
    {
        _process.Limit = 1600;
        using World world = NewWorld();
        _process.Committed = 800;
        _process.Limit = 800;
        world.Advance(Period);
        world.Advance(Period);
        Assert.Equal((1500, 2), (world.Root.HeapLimitBytes, world.Root.HeapLimitRefusals));
        Assert.Equal(750, world.Root.Capacity);

        _process.Committed = 700;
        world.Advance(Period);
        world.Advance(Period);

        Assert.Equal((750, 2), (world.Root.HeapLimitBytes, world.Root.HeapLimitRefusals));
        Assert.Equal([1500, 750, 750, 750], _process.HeapLimits);
    }

    [Fact]
    public void Without_a_limit_the_capacity_is_the_one_set_by_hand_and_the_collector_is_told_nothing()
    {
        using World world = NewWorld(500);

        Assert.Equal(500, world.Root.Capacity);
        Assert.Null(world.Root.HeapLimitBytes);
        Assert.Empty(_process.HeapLimits);
    }

    [Fact]
    public void Limit_that_is_lifted_lifts_the_capacity_and_the_collectors_limit()
    {
        _process.Limit = 1600;
        using World world = NewWorld();
        _process.Limit = null;
        world.Advance(Period);

        Assert.Equal(long.MaxValue, world.Root.Capacity);
        Assert.Null(world.Root.HeapLimitBytes);
        Assert.Equal([1500, null], _process.HeapLimits);
    }

    [Fact]
    public void Reading_that_fails_leaves_the_capacity_as_it_was()
    {
        _process.Limit = 1600;
        using World world = NewWorld();
        _process.Fails = true;
        _process.Limit = 800;
        world.Advance(TimeSpan.FromSeconds(30));

        Assert.Equal(1500, world.Root.Capacity);
    }

    [Fact]
    public void Roots_that_do_not_follow_tell_the_collector_nothing()
    {
        _process.Limit = 1600;
        using World world = _process.NewWorld(4000);
        world.Advance(Period);

        Assert.Equal(4000, world.Root.Capacity);
        Assert.Empty(_process.HeapLimits);
    }

    private World NewWorld(
        long capacity = long.MaxValue, Func<MemoryRootOptions, MemoryRootOptions>? configure = null) =>
        new(capacity, options => configure is null ? Options(options) : configure(Options(options)));

    private MemoryRootOptions Options(MemoryRootOptions options) =>
        options with { FollowContainer = true, ProcessHook = _process };
}
