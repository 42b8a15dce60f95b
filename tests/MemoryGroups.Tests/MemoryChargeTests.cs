// Leases: each byte comes back once, whoever ends it and whatever has become of the member.
namespace MemoryGroups.Tests;

public sealed class MemoryChargeTests
{
    [Fact]
    public void Disposed_lease_returns_its_bytes_once()
    {
        using var world = new World();
        MemoryMember member = Tenant(world).CreateMember("m");
        MemoryCharge lease = member.Lease(100);

        lease.Dispose();
        lease.Dispose();

        Assert.Equal(0, member.Usage);
        Assert.Equal(0, lease.Bytes);
        world.AssertQuiet();
    }

    [Fact]
    public void Disposed_lease_asks_for_nothing_any_more()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryCharge lease = tenant.CreateMember("m").Lease(100);
        lease.Dispose();
        Assert.True(hog.TryCharge(1000));

        Assert.False(lease.TryGrow(1));
        Assert.Throws<ObjectDisposedException>(() => lease.Grow(1));
        Task growing = lease.GrowAsync(1).AsTask();
        world.Run();

        Assert.IsType<ObjectDisposedException>(growing.Exception?.InnerException);
        Assert.False(hog.IsKilled, "a lease that is gone has had somebody killed");
        Assert.Equal((0, default), (tenant.RefusalCount, tenant.Events.Current));
    }

    [Fact]
    public void Lease_that_does_not_fit_is_not_given()
    {
        using var world = new World();
        MemoryMember member = Tenant(world).CreateMember("m");

        Assert.Null(member.TryLease(1001));
        Assert.NotNull(member.TryLease(1000));
        Assert.Throws<MemoryLimitExceededException>(() => member.Lease(1));
    }

    [Fact]
    public void Lease_grows_and_shrinks_by_what_it_says()
    {
        using var world = new World();
        MemoryMember member = Tenant(world).CreateMember("m");
        using MemoryCharge lease = member.Lease(100);

        Assert.True(lease.TryGrow(900));
        Assert.False(lease.TryGrow(1));
        lease.Shrink(400);
        lease.Shrink(10_000);

        Assert.Equal(0, lease.Bytes);
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Lease_that_is_disposed_while_it_grows_keeps_nothing()
    {
        using var world = new World();
        MemoryMember member = Tenant(world).CreateMember("m");
        MemoryMember other = member.Group.CreateMember("other", new MemoryMemberOptions { OomScoreAdjustment = -1000 });
        Assert.True(other.TryCharge(900));
        member.Group.Oom.KillDisabled = true;
        MemoryCharge lease = member.Lease(50);
        Task growing = lease.GrowAsync(500).AsTask();
        world.Run();

        lease.Dispose();
        other.Uncharge(900);
        world.Run();

        Assert.IsType<ObjectDisposedException>(growing.Exception?.InnerException);
        Assert.Equal(0, member.Usage);
        world.AssertQuiet();
    }

    [Fact]
    public void Split_part_lives_on_its_own()
    {
        using var world = new World();
        MemoryMember member = Tenant(world).CreateMember("m");
        using MemoryCharge whole = member.Lease(100);

        using (MemoryCharge part = whole.Split(30))
        {
            Assert.Equal((70, 30), (whole.Bytes, part.Bytes));
            Assert.Equal(100, member.Usage);
        }

        Assert.Equal(70, member.Usage);
        Assert.Throws<ArgumentOutOfRangeException>(() => whole.Split(71));
        Assert.Equal(70, whole.Bytes);
    }

    [Fact]
    public void Transferred_bytes_belong_to_the_other_member_and_are_charged_once()
    {
        using var world = new World();
        MemoryGroup group = Tenant(world);
        MemoryMember from = group.CreateMember("from");
        MemoryMember to = group.CreateMember("to");
        MemoryCharge lease = from.Lease(1000);

        using MemoryCharge? moved = lease.TransferTo(to);

        Assert.Equal((0, 1000), (from.Usage, to.Usage));
        Assert.Equal(1000, group.PeakUsage);
        lease.Dispose();
        Assert.Equal(1000, to.Usage);
        Assert.Null(lease.TransferTo(to));
    }

    [Fact]
    public void Transfer_to_another_group_is_refused_with_the_lease_intact()
    {
        using var world = new World();
        MemoryMember from = Tenant(world).CreateMember("from");
        MemoryMember stranger = world.Root.CreateGroup("other").CreateMember("stranger");
        using MemoryCharge lease = from.Lease(100);

        ArgumentException error = Assert.Throws<ArgumentException>(() => lease.TransferTo(stranger));

        Assert.Contains("another group", error.Message, StringComparison.Ordinal);
        Assert.Equal(100, lease.Bytes);
    }

    [Fact]
    public void Lease_that_outlives_its_member_returns_nothing_a_second_time()
    {
        using var world = new World();
        MemoryGroup group = Tenant(world);
        MemoryMember member = group.CreateMember("m");
        MemoryCharge lease = member.Lease(100);

        member.Dispose();
        Assert.Equal(0, group.Usage);
        Assert.Equal(100, world.Root.BytesLeftAtExit);
        lease.Dispose();

        Assert.Equal(0, group.Usage);
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    private static MemoryGroup Tenant(World world) =>
        world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
}
