// Who is never killed but shares the memory of a victim leaves the watermark of the root free like anybody else, until
// it is dying itself: from then on it may use the reserve, and is woken for it.
namespace MemoryGroups.Tests;

public sealed class SharerReserveTests
{
    [Fact]
    public void Sharer_of_a_victim_is_woken_to_use_the_reserve_when_it_begins_its_exit()
    {
        using World world = NewWorld();
        (MemoryMember sharer, Pending asking) = Asleep(world);

        sharer.BeginExit();
        world.Run();

        Assert.True(asking.Granted);
    }

    [Fact]
    public void Sharer_of_a_victim_is_woken_to_use_the_reserve_when_its_dump_is_over()
    {
        using World world = NewWorld();
        (MemoryMember sharer, Pending asking) = Asleep(world);
        using (sharer.BeginDump())
        {
            sharer.BeginExit();
            world.Run();
            Assert.True(asking.Sleeps);
        }

        world.Run();

        Assert.True(asking.Granted);
    }

    private static World NewWorld() => new(
        1000, static options => options with { MinWatermarkBytes = 100, OomReserveBytes = 100 });

    // It asks for what is there only below the watermark, and somebody else is killed for it.
    private static (MemoryMember Sharer, Pending Asking) Asleep(World world)
    {
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 100 });
        MemoryMember victim = group.CreateMember("victim");
        MemoryMember sharer = world.Root.CreateMember("sharer", new MemoryMemberOptions
        {
            Space = victim.Space,
            OomScoreAdjustment = MemoryMember.NeverKill,
        });
        victim.Charge(100);
        world.Charge(group.CreateMember("other"), 10);
        Assert.Equal((true, false), (victim.IsKilled, sharer.IsKilled));
        world.Root.CreateMember("hog").Charge(780);
        Pending asking = world.Charge(sharer, 50);
        Assert.True(asking.Sleeps);
        return (sharer, asking);
    }
}
