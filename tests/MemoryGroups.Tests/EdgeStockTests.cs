// Stock at the edge of a limit, where there is no room to fetch ahead: what a member returns may stay with it, so that
// charging and returning there again and again need not walk to the root each time. Nobody is refused for it.
namespace MemoryGroups.Tests;

public sealed class EdgeStockTests
{
    [Fact]
    [Requirement("M8")]
    [Requirement("M11")]
    public void Member_at_the_edge_keeps_what_it_returns_and_fetches_nothing_ahead()
    {
        using var world = new World();
        MemoryGroup tenant = NearlyFull(world, out MemoryMember hog);
        MemoryMember member = tenant.CreateMember("member");
        long hogs = hog.Usage;

        for (int i = 0; i < 64; i++)
        {
            Assert.True(member.TryCharge(100));
            Assert.Equal(hogs + member.Usage + member.Books.Held, tenant.Usage);
            Assert.InRange(member.Books.Held, 0, 100);
            member.Uncharge(100);
        }

        Assert.Equal(100, member.Books.Held);
        Assert.Equal(hogs + 100, tenant.Usage);
        Assert.True(member.TryCharge(1000));
        Assert.Equal(100, member.Books.Held);
    }

    // Before anybody is refused, and once: who is drained again and again opens again only after many draws.
    [Fact]
    [Requirement("M8")]
    public void What_is_kept_at_the_edge_refuses_nobody_and_a_drain_keeps_the_cell_shut_for_a_while()
    {
        using var world = new World();
        MemoryGroup tenant = NearlyFull(world, out MemoryMember hog);
        MemoryMember member = Kept(tenant);
        for (int i = 0; i < 10; i++)
        {
            Assert.True(member.TryCharge(1000));
        }

        long free = Stocked.AmpleLimit - hog.Usage - member.Usage;

        Assert.True(hog.TryCharge(free));
        Assert.False(hog.TryCharge(1));
        hog.Uncharge(free);

        for (int i = 0; i < 15; i++)
        {
            Assert.True(member.TryCharge(100));
            member.Uncharge(100);
            Assert.Equal(0, member.Books.Held);
        }
    }

    [Fact]
    [Requirement("I12")]
    public void Little_is_kept_at_the_edge_whatever_is_returned()
    {
        using var world = new World();
        MemoryGroup tenant = NearlyFull(world, out MemoryMember hog);
        Keep(hog);
        for (int i = 0; i < 20; i++)
        {
            hog.Uncharge(tenant.BatchBytes / 64);
            Assert.InRange(hog.Books.Held, 1, tenant.BatchBytes / 16);
        }
    }

    [Fact]
    [Requirement("I3")]
    public void Nothing_is_kept_at_the_edge_while_somebody_waits()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit, KillDisabled = true });
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(Stocked.AmpleLimit - tenant.BatchBytes));
        MemoryMember member = Kept(tenant);
        Pending waiter = FullGroup.Ask(world, tenant, 2 * tenant.BatchBytes);
        Assert.True(waiter.Sleeps);

        for (int i = 0; i < 64; i++)
        {
            Assert.True(member.TryCharge(100));
            member.Uncharge(100);
            Assert.Equal(0, member.Books.Held);
        }

        hog.Uncharge(tenant.BatchBytes);
        world.Run();
        Assert.True(waiter.Granted);
    }

    // Room again: the member fetches ahead as before, without a drain in between.
    [Fact]
    public void Member_that_kept_little_fetches_ahead_when_there_is_room_again()
    {
        using var world = new World();
        MemoryGroup tenant = NearlyFull(world, out MemoryMember hog);
        MemoryMember member = Kept(tenant);
        hog.Dispose();

        for (int i = 0; i < 32; i++)
        {
            Assert.True(member.TryCharge(10_000));
        }

        Assert.True(member.Books.Held > 100);
    }

    // Room for one batch, which is too little for stocks that fetch ahead.
    private static MemoryGroup NearlyFull(World world, out MemoryMember hog)
    {
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(Stocked.AmpleLimit - tenant.BatchBytes));
        world.Root.Stocks.Drain(world.Root);
        return tenant;
    }

    private static MemoryMember Kept(MemoryGroup tenant)
    {
        MemoryMember member = tenant.CreateMember("keeper");
        Keep(member);
        return member;
    }

    private static void Keep(MemoryMember member)
    {
        for (int i = 0; i < 32; i++)
        {
            Assert.True(member.TryCharge(100));
            member.Uncharge(100);
        }

        Assert.True(member.Books.Held > 0, "nothing is kept at the edge; it should be");
    }
}
