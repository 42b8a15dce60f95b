// Setting Max below what is in use: installed, refused, or enforced, each with a defined end.
namespace MemoryGroups.Tests;

public sealed class LimitChangeTests
{
    [Fact]
    [Requirement("T29")]
    public void Plain_write_installs_and_neither_reclaims_nor_kills()
    {
        using var world = new World();
        MemoryGroup group = Group(world, 1000);
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(hog.TryCharge(600));

        group.Max = 300;
        world.Run();

        Assert.False(hog.IsKilled);
        Assert.Equal((300, 600), (group.Max, group.Usage));
        world.Charge(group.CreateMember("next"), 1);
        Assert.True(hog.IsKilled);
    }

    [Fact]
    [Requirement("T27")]
    [Requirement("M39")]
    public void Enforced_write_kills_until_it_fits()
    {
        using var world = new World();
        MemoryGroup group = Group(world, 1000);
        MemoryMember[] members = [.. Enumerable.Range(0, 3).Select(i => group.CreateMember($"m{i}"))];
        foreach (MemoryMember member in members)
        {
            Assert.True(member.TryCharge(200));
            member.Killed.Register(member.Dispose);
        }

        bool fits = world.Await(group.SetMaxAsync(300));

        Assert.True(fits);
        Assert.Equal(2, members.Count(member => member.IsKilled));
        Assert.Equal(200, group.Usage);
        Assert.Equal(2, group.Events.Current.OomKill);
        Assert.Equal(300, group.Max);
    }

    [Fact]
    [Requirement("T27")]
    public void Enforced_write_ends_where_nobody_may_be_killed_and_stays_installed()
    {
        using var world = new World();
        MemoryGroup group = Group(world, 1000);
        MemoryMember immune = group.CreateMember("immune", new MemoryMemberOptions { OomScoreAdjustment = -1000 });
        Assert.True(immune.TryCharge(600));

        Assert.False(world.Await(group.SetMaxAsync(300)));
        Assert.Equal((300, 600, 0), (group.Max, group.Usage, group.Events.Current.OomKill));
    }

    [Fact]
    [Requirement("T28")]
    public void Careful_write_that_does_not_fit_keeps_the_old_limit_and_kills_nobody()
    {
        using var world = new World();
        MemoryGroup group = Group(world, 1000);
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(hog.TryCharge(600));

        Assert.False(world.Await(group.TrySetMaxAsync(1)));
        Assert.Equal(1000, group.Max);
        Assert.False(hog.IsKilled);
        Assert.True(world.Await(group.TrySetMaxAsync(600)));
        Assert.Equal(600, group.Max);
    }

    [Fact]
    public void Raised_limit_wakes_who_fits_now_and_a_lowered_one_wakes_nobody()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        Assert.True(group.CreateMember("hog").TryCharge(1000));
        Pending asking = world.Charge(group.CreateMember("asker"), 100);
        int wakes = world.Trace.Count(point => point == ProbePoint.WakeDelivered);

        group.Max = 900;
        world.Run();
        Assert.Equal(wakes, world.Trace.Count(point => point == ProbePoint.WakeDelivered));
        group.Max = 1100;
        world.Run();

        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("D9")]
    public void Raised_capacity_wakes_who_waits_at_the_root()
    {
        using var world = new World(capacity: 1000);
        MemoryMember stuck = world.Root.CreateGroup("a").CreateMember("stuck");
        Assert.True(stuck.TryCharge(1000));
        Pending asking = world.Charge(world.Root.CreateGroup("b").CreateMember("asker"), 100);
        Assert.True(asking.Sleeps);

        world.Root.Capacity = 2000;
        world.Run();

        Assert.True(asking.Granted);
    }

    private static MemoryGroup Group(World world, long max) =>
        world.Root.CreateGroup("g", new MemoryGroupOptions { Max = max });
}
