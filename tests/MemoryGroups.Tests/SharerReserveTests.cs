// Who is never killed but shares the memory of a victim leaves the watermark of the root free like anybody else, until
// it is dying itself: from then on it may use the reserve, and is woken for it, at a full group as at the root.
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

    [Theory]
    [InlineData(40)]
    [InlineData(100)]
    [Requirement("S003-5")]
    public void Sharer_that_sleeps_at_a_full_group_is_woken_to_use_the_reserve_when_it_begins_its_exit(long bytes)
    {
        using World world = NewWorld();
        (MemoryMember sharer, MemoryMember victim) = AtFullGroup(world);
        Pending asking = world.Charge(sharer, bytes);
        KillBySpace(world, victim);
        Assert.True(asking.Sleeps);

        sharer.BeginExit();
        world.Run();

        Assert.Equal((true, bytes), (asking.Granted, world.Root.OomReserveUsed));
    }

    [Theory]
    [InlineData(101, ChargeFlags.None)]
    [InlineData(40, ChargeFlags.NoReserve)]
    public void Sharer_sleeps_on_at_a_full_group_when_the_reserve_is_not_for_what_it_asks(long bytes, ChargeFlags flags)
    {
        using World world = NewWorld();
        (MemoryMember sharer, MemoryMember victim) = AtFullGroup(world);
        KillBySpace(world, victim);
        Pending asking = world.Charge(sharer, bytes, flags);

        sharer.BeginExit();
        world.Run();

        Assert.True(asking.Sleeps);
    }

    [Fact]
    public void Sharer_sleeps_on_at_a_full_group_when_the_root_has_no_room_for_what_the_reserve_would_give()
    {
        using World world = NewWorld();
        (MemoryMember sharer, MemoryMember victim) = AtFullGroup(world);
        KillBySpace(world, victim);
        MemoryMember hog = world.Root.CreateMember("hog");
        hog.Charge(world.Root.Max - 100 - world.Root.Usage);
        Pending asking = world.Charge(sharer, 60);

        sharer.BeginExit();
        world.Run();

        Assert.True(asking.Sleeps);
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

    // The sharer's group is full of somebody else's bytes, and kills nobody.
    private static (MemoryMember Sharer, MemoryMember Victim) AtFullGroup(World world)
    {
        MemoryMember victim = world.Root.CreateGroup("other", new MemoryGroupOptions { Max = 100 })
            .CreateMember("victim");
        victim.Charge(100);
        MemoryGroup full = world.Root.CreateGroup("full", FullGroup.Sleepy with { Max = 300 });
        FullGroup.Fill(world, full);
        MemoryMember sharer = full.CreateMember("sharer", new MemoryMemberOptions
        {
            Space = victim.Space,
            OomScoreAdjustment = MemoryMember.NeverKill,
        });
        return (sharer, victim);
    }

    private static void KillBySpace(World world, MemoryMember victim)
    {
        world.Charge(victim.Group.CreateMember("asker"), 10);
        Assert.True(victim.Space.IsVictim);
    }
}
