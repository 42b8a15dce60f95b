// A member's books: each byte returned once, whoever ends it, and what happens at an exit in the middle of things.
namespace MemoryGroups.Tests;

public sealed class MemberBooksTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("I5")]
    public void Exit_returns_what_is_left_once_and_later_uncharges_change_nothing(bool stocked)
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world, stocked);
        MemoryMember other = tenant.CreateMember("other");
        Assert.True(other.TryCharge(500));
        MemoryMember member = tenant.CreateMember("member");
        MemoryCharge lease = member.TryLease(300)!;
        Assert.True(member.TryCharge(100) && member.TryCharge(100));

        member.Dispose();
        member.Uncharge(200);
        lease.Dispose();
        member.Dispose();

        Assert.Equal(500, tenant.UsageLower);
        Assert.Equal(500, world.Root.BytesLeftAtExit);
        Assert.Equal(0, member.Usage);
        Assert.Throws<ObjectDisposedException>(() => member.TryCharge(1));
        Assert.Throws<ObjectDisposedException>(() => member.Charge(1));
        Assert.IsType<ObjectDisposedException>(world.Charge(member, 1).Error);
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    [Fact]
    [Requirement("M4")]
    [Requirement("C02")]
    public void Uncharging_more_than_was_charged_is_counted_as_an_error_and_returns_nothing()
    {
        using var root = new MemoryRoot();
        MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { Max = 10_000 });
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(member.TryCharge(100));
        root.Books.AssertInDebug = false;

        member.Uncharge(101);
        member.Uncharge(-1);
        member.Uncharge(long.MaxValue);

        Assert.Equal(3, root.BooksErrorCount);
        Assert.Contains("101", root.FirstBooksError, StringComparison.Ordinal);
        Assert.Equal((100, 100), (member.Usage, tenant.Usage));
        member.Dispose();
        Assert.Equal(0, root.Usage);
    }

    [Fact]
    public void Killed_member_keeps_no_stock_and_its_uncharges_are_exact()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world, stocked: true);
        MemoryMember member = Stocked.Member(tenant);

        member.Kill("test");
        Assert.Equal(0, member.Books.Held);
        world.Root.Stocks.Drain(tenant);
        Assert.Equal(1 << 20, tenant.Usage);

        member.Uncharge(1000);
        Assert.Equal((1 << 20) - 1000, tenant.Usage);
    }

    [Fact]
    [Requirement("I5")]
    public void Moved_bytes_belong_to_the_other_member_and_charge_nothing_anew()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember from = FullGroup.Fill(world, tenant);
        MemoryMember to = tenant.CreateMember("to");

        Assert.True(from.TryMoveTo(to, 400));
        Assert.Equal((600, 400, 1000), (from.Usage, to.Usage, tenant.Usage));

        from.Dispose();
        Assert.Equal((400, 400), (to.Usage, tenant.Usage));
        Assert.False(from.TryMoveTo(to, 1));
        Assert.False(to.TryMoveTo(from, 1));
        Assert.Equal((400, 400), (to.Usage, tenant.Usage));
        Assert.Throws<ArgumentException>(() => to.TryMoveTo(world.Root.CreateMember("elsewhere"), 1));
    }

    // Were it repaid, the victim could hand its bytes on and overdraw again, without end.
    [Fact]
    [Requirement("I8")]
    [Requirement("B13")]
    public void Overdraft_moves_with_the_bytes_that_a_victim_hands_on()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, tenant);
        MemoryMember heir = tenant.CreateMember("heir");
        FullGroup.Ask(world, tenant, 10);
        Assert.True(hog.IsKilled);
        Assert.True(world.Charge(hog, 100).Granted);
        Assert.Equal(100, world.Root.OomReserveUsed);

        Assert.True(hog.TryMoveTo(heir, 300));

        Assert.Equal(100, world.Root.OomReserveUsed);
        Assert.IsType<OomKilledException>(world.Charge(hog, 100).Error);
        Assert.Equal(1100, tenant.PeakUsage);
        heir.Uncharge(300);
        Assert.Equal(0, world.Root.OomReserveUsed);
    }

    [Fact]
    [Requirement("I8")]
    public void Overdraft_stays_with_the_bytes_that_an_exited_heir_cannot_take()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, tenant);
        MemoryMember heir = tenant.CreateMember("heir");
        FullGroup.Ask(world, tenant, 10);
        Assert.True(world.Charge(hog, 100).Granted);
        heir.Dispose();

        Assert.False(hog.TryMoveTo(heir, 300));

        Assert.Equal((1100, 100), (hog.Usage, world.Root.OomReserveUsed));
        hog.Uncharge(100);
        Assert.Equal(0, world.Root.OomReserveUsed);
    }

    // Threads charge, move and uncharge while members exit; afterwards nothing is left and nothing was returned twice.
    private static MemoryGroup Tenant(World world, bool stocked) => world.Root.CreateGroup(
        "tenant", new MemoryGroupOptions { Max = stocked ? Stocked.AmpleLimit : 10_000 });
}
