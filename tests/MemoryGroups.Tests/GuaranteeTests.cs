// When Min protects from the killer, and when it does not: only while the root is short for nothing but bytes that nobody
// declared.
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

    private static (MemoryMember Kept, MemoryMember Asker) Within(World world, long min, long max = long.MaxValue)
    {
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Min = min, Max = max });
        return (group.CreateMember("kept"), group.CreateMember("asker"));
    }
}
