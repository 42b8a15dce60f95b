// Charges that must not fail: over the limit when nothing else helps, and exactly once.
namespace MemoryGroups.Tests;

public sealed class ForcedChargeTests
{
    [Theory]
    [InlineData(ChargeFlags.None)]
    [InlineData(ChargeFlags.NoReclaim)]
    [Requirement("M9")]
    public void Request_that_must_not_fail_is_forced_once_when_its_deadline_is_over(ChargeFlags also)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = 1000, WaitTimeout = TimeSpan.Zero });
        MemoryMember hog = tenant.CreateMember("hog");
        hog.Charge(1000);

        Pending asking = world.Charge(tenant.CreateMember("asker"), 100, ChargeFlags.NoFail | also);

        Assert.True(asking.Granted);
        Assert.Equal(1100, tenant.Usage);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    [Requirement("M9")]
    [Requirement("T52")]
    public void Request_that_must_not_fail_kills_first_and_is_forced_when_nobody_may_be_killed()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        hog.Charge(1000);
        MemoryMember asker = tenant.CreateMember("asker");
        Pending first = world.Charge(asker, 100, ChargeFlags.NoFail);
        Assert.True(hog.IsKilled && first.Sleeps);
        hog.Dispose();
        world.Run();
        Assert.True(first.Granted);
        asker.OomScoreAdjustment = MemoryMember.NeverKill;

        Assert.True(world.Charge(asker, 950, ChargeFlags.NoFail).Granted);

        Assert.Equal(1050, tenant.Usage);
        Assert.Equal(1, tenant.Events.Current.OomKill);
    }

    [Fact]
    [Requirement("M9")]
    public void Request_that_must_not_fail_exceeds_even_the_roots_capacity()
    {
        using var world = new World(1000);
        MemoryMember asker = world.Root.CreateMember(
            "asker", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });

        Assert.True(world.Charge(asker, 1000).Granted);
        Assert.True(world.Charge(asker, 100, ChargeFlags.NoFail).Granted);

        Assert.Equal(1100, world.Root.Usage);
        Assert.False(asker.TryCharge(1));
    }

    [Fact]
    [Requirement("M9")]
    public void Forced_charge_is_not_refused_for_the_idle_stock_of_strangers()
    {
        using var world = new World(Stocked.AmpleLimit);
        MemoryRoot root = world.Root;
        MemoryMember stranger = root.CreateGroup("stranger").CreateMember("member");
        for (int i = 0; i < 10; i++)
        {
            stranger.Charge(100);
        }

        MemoryGroup exact = root.CreateGroup("exact", new MemoryGroupOptions { BatchBytes = 1 });
        exact.CreateMember("filler").Charge(root.Capacity - root.Usage);
        Assert.True(root.UsageUpper - root.UsageLower >= 2000, "the stranger has no stock");
        MemoryMember asker = exact.CreateGroup("small", new MemoryGroupOptions { Max = 1000 }).CreateMember("asker");

        asker.Charge(2000, ChargeFlags.FromReclaim);

        Assert.Equal(2000, asker.Usage);
    }

    [Fact]
    [Requirement("M9")]
    public void Above_a_limit_no_idle_stock_is_granted_to_anybody()
    {
        using var world = new World(Stocked.AmpleLimit);
        MemoryMember stranger = world.Root.CreateGroup("stranger").CreateMember("member");
        for (int i = 0; i < 10; i++)
        {
            stranger.Charge(100);
        }

        Assert.True(world.Root.UsageUpper - world.Root.UsageLower >= 100, "the stranger has no stock");
        MemoryGroup small = world.Root.CreateGroup("small", new MemoryGroupOptions { Max = 1000, BatchBytes = 1 });
        small.CreateMember("asker").Charge(world.Root.Capacity, ChargeFlags.NoFail);

        Assert.False(stranger.TryCharge(100));
        Assert.Equal(world.Root.UsageLower, world.Root.UsageUpper);
    }
}
