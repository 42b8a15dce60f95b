// Leases at their edges: disposed in the middle of growing, empty, with parts in two groups, transferred to somebody
// who has gone.
namespace MemoryGroups.Tests;

public sealed class MemoryChargeEdgeTests
{
    [Fact]
    public void Lease_that_is_disposed_in_the_middle_of_a_call_keeps_nothing_and_says_so()
    {
        using var world = new World();
        MemoryMember member = Tenant(world).CreateMember("m");
        MemoryCharge first = member.Lease(10);
        MemoryCharge second = member.Lease(10);

        world.Once(ProbePoint.BeforeSwap, first.Dispose);
        Assert.False(first.TryGrow(100));
        world.Once(ProbePoint.BeforeSwap, second.Dispose);
        Assert.Throws<ObjectDisposedException>(() => second.Grow(100));

        Assert.Equal((0, 0, 0), (first.Bytes, second.Bytes, member.Usage));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(20)]
    public void Lease_that_is_disposed_while_it_grows_in_its_members_new_group_keeps_nothing_there(long there)
    {
        using var world = new World();
        MemoryGroup before = Tenant(world);
        MemoryGroup after = Tenant(world, "after");
        MemoryMember member = before.CreateMember("m");
        MemoryCharge lease = member.Lease(10);
        Assert.True(member.MoveTo(after));
        Assert.True(there == 0 || lease.TryGrow(there));

        world.Once(ProbePoint.BeforeSwap, lease.Dispose);

        Assert.False(lease.TryGrow(100));
        Assert.Equal((0, 0, 0), (before.Usage, after.Usage, lease.Bytes));
    }

    [Fact]
    public void Lease_grows_as_its_caller_says_and_may_be_told_to_stop()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryCharge lease = tenant.CreateMember("m").Lease(10);
        Assert.True(hog.TryCharge(990));

        Task growing = lease.GrowAsync(5, ChargeFlags.NoRetry).AsTask();
        world.Run();
        Assert.IsType<MemoryLimitExceededException>(growing.Exception?.InnerException);
        lease.Grow(5, ChargeFlags.NoFail);
        Assert.Equal((15, 1005, false), (lease.Bytes, tenant.Usage, hog.IsKilled));

        using var cancel = new CancellationTokenSource();
        Task cancelled = lease.GrowAsync(5, cancellationToken: cancel.Token).AsTask();
        cancel.Cancel();
        world.Run();
        Assert.True(cancelled.IsCanceled);
        Assert.Equal((15, false), (lease.Bytes, hog.IsKilled));
    }

    // However much is added to it afterwards it stays disposed: each of these takes back what it added.
    [Fact]
    public void Disposed_lease_stays_disposed_whatever_was_growing_at_that_moment()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = MemoryMember.MaxChargeBytes, KillDisabled = true });
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(MemoryMember.MaxChargeBytes));
        MemoryCharge lease = tenant.CreateMember("m").Lease(0);
        Task[] growing = [.. Enumerable.Range(0, 9).Select(
            _ => lease.GrowAsync(MemoryMember.MaxChargeBytes).AsTask())];
        world.Run();

        lease.Dispose();
        hog.Uncharge(MemoryMember.MaxChargeBytes);
        world.Run();

        Assert.All(growing, static one => Assert.IsType<ObjectDisposedException>(one.Exception?.InnerException));
        Assert.Equal(0, tenant.Usage);
    }

    [Fact]
    public void Shrink_takes_from_the_old_group_first_and_only_the_rest_from_the_new_one()
    {
        using var world = new World();
        MemoryGroup before = Tenant(world);
        MemoryGroup after = Tenant(world, "after");
        MemoryMember member = before.CreateMember("m");
        using MemoryCharge lease = member.Lease(100);
        Assert.True(member.MoveTo(after));
        lease.Grow(100);

        lease.Shrink(120);

        Assert.Equal((0, 80, 80), (before.Usage, after.Usage, lease.Bytes));
    }

    [Fact]
    public void Empty_lease_is_transferred_and_grows_at_the_other_member()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryMember to = tenant.CreateMember("to");

        using MemoryCharge? moved = tenant.CreateMember("from").Lease(0).TransferTo(to);

        Assert.NotNull(moved);
        moved.Grow(10);
        Assert.Equal(10, to.Usage);
    }

    [Fact]
    public void Empty_lease_of_who_has_gone_goes_over_to_nobody()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryMember from = tenant.CreateMember("from");
        MemoryCharge lease = from.Lease(0);
        from.Dispose();

        Assert.Null(lease.TransferTo(tenant.CreateMember("to")));
    }

    [Fact]
    public void Lease_of_a_member_that_came_back_is_transferred_whole()
    {
        using var world = new World();
        MemoryGroup home = Tenant(world);
        MemoryGroup away = Tenant(world, "away");
        MemoryMember member = home.CreateMember("m");
        MemoryMember to = home.CreateMember("to");
        using MemoryCharge other = member.Lease(10);
        MemoryCharge lease = member.Lease(100);
        Assert.True(member.MoveTo(away));
        lease.Grow(50);
        lease.Shrink(150);
        Assert.True(member.MoveTo(home));
        lease.Grow(70);

        using MemoryCharge? moved = lease.TransferTo(to);

        Assert.Equal((70, 70, 10), (moved!.Bytes, to.Usage, member.Usage));
    }

    [Theory]
    [InlineData(100, false)]
    [InlineData(0, false)]
    [InlineData(100, true)]
    public void Lease_that_is_transferred_to_somebody_who_has_gone_is_over_and_returned(long bytes, bool hasMoved)
    {
        using var world = new World();
        MemoryGroup group = Tenant(world);
        MemoryMember from = group.CreateMember("from");
        MemoryCharge lease = from.Lease(bytes);
        if (hasMoved)
        {
            group = Tenant(world, "after");
            Assert.True(from.MoveTo(group));
            lease.Grow(100);
            lease.Shrink(100);
        }

        MemoryMember gone = group.CreateMember("gone");
        gone.Dispose();

        Assert.Null(lease.TransferTo(gone));
        Assert.Equal((0, 0), (lease.Bytes, world.Root.Usage));
        Assert.False(lease.TryGrow(1));
    }

    [Fact]
    public void Part_or_target_that_a_lease_cannot_serve_is_told_with_what_can_be_done()
    {
        using var world = new World();
        using MemoryCharge lease = Tenant(world).CreateMember("m").Lease(100);
        MemoryMember stranger = world.Root.CreateGroup("other").CreateMember("stranger");

        Assert.StartsWith(
            "The lease holds 100 bytes; a part of 101 cannot be split off.",
            Assert.Throws<ArgumentOutOfRangeException>("bytes", () => lease.Split(101)).Message,
            StringComparison.Ordinal);
        Assert.Equal(
            "'root/other/stranger' is in another group than 'root/tenant', which was charged; bytes move only within a "
            + "group. Charge the other member and dispose this lease instead. (Parameter 'to')",
            Assert.Throws<ArgumentException>("to", () => lease.TransferTo(stranger)).Message);
    }

    private static MemoryGroup Tenant(World world, string name = "tenant") =>
        world.Root.CreateGroup(name, new MemoryGroupOptions { Max = 1000 });
}
