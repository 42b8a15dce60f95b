// When Min protects from the killer, and when it does not: only while the root is short for nothing but bytes that
// nobody declared. And what else those bytes are, and are not, blamed for.
namespace MemoryGroups.Tests;

public sealed class GuaranteeTests
{
    private readonly ScriptedProcess _process = new();

    // 800 declared, 101 asked for and 100 to be left free are more than the capacity without what nobody declared.
    [Fact]
    public void Watermark_belongs_to_what_is_declared()
    {
        using World world = _process.NewWorld(configure: static options => options with { MinWatermarkBytes = 100 });
        (MemoryMember kept, MemoryMember asker) = Within(world, min: 800);
        Assert.True(kept.TryCharge(800));
        _process.Measured = 850;
        world.Advance(new MemoryRootOptions().SamplePeriod);
        Assert.Equal(50, world.Root.Unattributed.CountedBytes);

        world.Charge(asker, 101);

        Assert.True(kept.IsKilled);
        kept.Dispose();
    }

    [Fact]
    public void Shortage_of_a_group_is_never_that_of_undeclared_bytes()
    {
        _process.Measured = 100;
        using World world = _process.NewWorld();
        (MemoryMember kept, MemoryMember asker) = Within(world, min: 500, max: 500);
        Assert.True(kept.TryCharge(500));
        _process.Measured = 600;
        Assert.Equal(100, world.Root.Unattributed.CountedBytes);

        Pending pending = world.Charge(asker, 100);

        Assert.True(kept.IsKilled);
        kept.Dispose();
        world.Run();
        Assert.True(pending.Granted);
    }

    [Fact]
    public void Who_shares_memory_with_somebody_unprotected_is_unprotected()
    {
        using World world = _process.NewWorld();
        MemoryMember first = world.Root.CreateMember("first");
        MemoryMember second = world.Root.CreateMember("second", new MemoryMemberOptions { Space = first.Space });
        Assert.True(first.TryCharge(500));
        Assert.True(second.TryCharge(100));
        _process.Measured = 1100;

        world.Advance(new MemoryRootOptions().SamplePeriod);

        Assert.True(first.IsKilled && second.IsKilled);
        first.Dispose();
        second.Dispose();
    }

    [Fact]
    public void Report_of_a_group_that_is_short_says_nothing_of_undeclared_bytes()
    {
        _process.Measured = 100;
        using World world = _process.NewWorld();
        (MemoryMember kept, MemoryMember asker) = Within(world, min: 0, max: 500);
        Assert.True(kept.TryCharge(500));
        Assert.Equal(100, world.Root.Unattributed.CountedBytes);

        world.Charge(asker, 100);

        Assert.Equal(0, Assert.Single(world.Root.Reports.Latest()).UnattributedBytes);
        kept.Dispose();
    }

    // What the collector keeps committed comes back only by a collection that stops the process.
    [Fact]
    public void Early_collection_is_not_made_for_what_the_collector_keeps_committed()
    {
        using World world = _process.NewWorld(
            configure: static options => options with { LowWatermarkBytes = 100, HighWatermarkBytes = 150 });
        Assert.True(world.Root.CreateMember("member").TryCharge(600));
        (_process.Measured, _process.Slack) = (910, 500);

        world.Advance(new MemoryRootOptions().SamplePeriod);

        Assert.True(world.Root.Unattributed.CountedBytes > 0);
        Assert.Empty(_process.Collected);
    }

    [Fact]
    public void Process_that_could_never_be_measured_is_stale_and_says_how_often_it_failed()
    {
        _process.Fails = true;
        using World world = _process.NewWorld(configure: static options => options with { CountUnattributed = null });

        UnattributedMemory shown = world.Root.Unattributed;

        Assert.Equal((true, (long)_process.Reads, 0L), (shown.IsStale, shown.Failures, shown.MeasuredBytes));
        Assert.True(_process.Reads > 0);
    }

    private static (MemoryMember Kept, MemoryMember Asker) Within(World world, long min, long max = long.MaxValue)
    {
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Min = min, Max = max });
        return (group.CreateMember("kept"), group.CreateMember("asker"));
    }
}
