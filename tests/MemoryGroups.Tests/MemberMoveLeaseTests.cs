// Leases and accounts of a member that moves: what they charged goes back where it was charged, what they charge
// next is charged to the new group.
namespace MemoryGroups.Tests;

public sealed class MemberMoveLeaseTests
{
    [Fact]
    public void Account_follows_its_member_and_returns_what_it_used_before_first()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        using (MemoryAccount account = member.OpenAccount())
        {
            Assert.True(account.TryGrow(100));
            member.MoveTo(b);
            Assert.True(account.TryGrow(50));
            Assert.True(world.Await(Granted(account.GrowAsync(7))));
            Assert.Equal((100, 57, 157), (a.Usage, b.Usage, account.Used));

            account.Shrink(120);
            Assert.Equal((0, 37, 37), (a.Usage, b.Usage, account.Used));
            Assert.True(account.TryGrow(3));
            member.MoveTo(a);
            Assert.True(account.TryGrow(5));
            Assert.Equal((5, 40, 45), (a.Usage, b.Usage, account.Used));
            Assert.Throws<ArgumentOutOfRangeException>(() => account.Shrink(46));
        }

        Assert.Equal(0, member.Usage);
        world.AssertQuiet();
    }

    [Fact]
    public void Lease_that_grows_after_the_move_charges_the_new_group_and_ends_in_both()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryCharge lease = member.Lease(100);
        member.MoveTo(b);
        Assert.True(lease.TryGrow(50));
        Assert.Equal((100, 50, 150), (a.Usage, b.Usage, lease.Bytes));

        MemoryCharge split = lease.Split(120);
        Assert.Equal((120, 30), (split.Bytes, lease.Bytes));
        Assert.Throws<ArgumentOutOfRangeException>(() => lease.Split(31));
        lease.Shrink(10);
        Assert.Equal((100, 40, 20), (a.Usage, b.Usage, lease.Bytes));
        lease.Dispose();
        Assert.Equal((100, 20), (a.Usage, b.Usage));
        Assert.False(lease.TryGrow(1));
        split.Dispose();
        world.AssertQuiet();
    }

    [Fact]
    public void Lease_is_transferred_within_the_group_that_was_charged()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryMember inA = a.CreateMember("in-a");
        MemoryMember inB = b.CreateMember("in-b");
        MemoryCharge lease = member.Lease(100);
        member.MoveTo(b);

        Assert.Throws<ArgumentException>(() => lease.TransferTo(inB));
        Assert.False(member.TryMoveTo(inB, 100));
        Assert.Throws<ArgumentException>(() => member.TryMoveTo(inA, 100));
        MemoryCharge moved = lease.TransferTo(inA)!;
        Assert.Equal((100, 0, 100), (inA.Usage, member.Usage, moved.Bytes));
        Assert.False(member.HasLeftBooks);

        MemoryCharge mixed = inA.Lease(10);
        inA.MoveTo(b);
        Assert.True(mixed.TryGrow(20));
        Assert.Throws<ArgumentException>(() => mixed.TransferTo(inB));
        mixed.Shrink(10);
        MemoryCharge late = mixed.TransferTo(inB)!;
        Assert.Equal((100, 20, 20), (a.Usage, inB.Usage, late.Bytes));
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    [Fact]
    public void Lease_is_not_transferred_to_another_group_than_each_of_its_bytes_was_charged_to()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryMember inA = a.CreateMember("in-a");
        MemoryMember inB = b.CreateMember("in-b");
        using MemoryCharge mixed = member.Lease(100);
        using MemoryCharge empty = inA.Lease(0);
        member.MoveTo(b);
        mixed.Grow(50);

        Assert.Throws<ArgumentException>(() => mixed.TransferTo(inA));
        Assert.Throws<ArgumentException>(() => mixed.TransferTo(inB));
        Assert.Throws<ArgumentException>(() => empty.TransferTo(inB));

        Assert.Equal((100, 50, 150), (a.Usage, b.Usage, mixed.Bytes));
        Assert.True(empty.TryGrow(1));
        Assert.Equal((1, 0), (inA.Usage, inB.Usage));
    }

    // It may have grown since in another group, and returned that.
    [Theory]
    [InlineData(0, 0)]
    [InlineData(10, 0)]
    [InlineData(0, 5)]
    [InlineData(10, 5)]
    public void Lease_that_was_emptied_goes_over_to_who_is_there_where_it_was_made(long here, long there)
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryMember to = a.CreateMember("to");
        MemoryMember gone = a.CreateMember("gone");
        MemoryCharge lease = member.Lease(here);
        MemoryCharge other = member.Lease(here);
        member.MoveTo(b);
        lease.Grow(there);
        other.Grow(there);
        lease.Shrink(here + there);
        other.Shrink(here + there);
        gone.Dispose();

        Assert.Null(other.TransferTo(gone));
        using MemoryCharge? moved = lease.TransferTo(to);

        Assert.NotNull(moved);
        Assert.True(moved.TryGrow(7));
        Assert.Equal((7, 0, 7), (a.Usage, b.Usage, to.Usage));
    }

    [Fact]
    public void Part_that_is_split_off_has_what_it_took_in_each_group_and_returns_it_there()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryGroup c = world.Root.CreateGroup("c");
        MemoryCharge lease = member.Lease(10);
        member.MoveTo(b);
        lease.Grow(20);
        member.MoveTo(c);
        lease.Grow(30);

        Assert.Throws<ArgumentOutOfRangeException>(() => lease.Split(61));
        Assert.Equal((10, 20, 30, 60), (a.Usage, b.Usage, c.Usage, lease.Bytes));
        MemoryCharge part = lease.Split(55);
        Assert.Equal((55, 5), (part.Bytes, lease.Bytes));
        lease.Dispose();
        Assert.Equal((10, 20, 25), (a.Usage, b.Usage, c.Usage));
        part.Shrink(15);
        Assert.Equal((0, 15, 25), (a.Usage, b.Usage, c.Usage));
        part.Dispose();
        world.AssertQuiet();
    }

    [Fact]
    public void Idle_bytes_of_a_lease_go_back_to_each_group_and_no_more_than_that()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryGroup c = world.Root.CreateGroup("c");
        using MemoryCharge lease = member.Lease(10);
        member.MoveTo(b);
        lease.Grow(20);
        member.MoveTo(c);
        lease.Grow(30);

        lease.ShrinkToGroup(15);
        Assert.Equal((0, 15, 30), (a.Usage, b.Usage, c.Usage));
        lease.ShrinkToGroup(20);
        Assert.Equal((0, 25), (b.Usage, c.Usage));
    }

    [Fact]
    public void Lease_shrinks_by_no_more_than_it_has_in_all_groups_and_grows_again()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryCharge lease = member.Lease(100);
        member.MoveTo(b);
        lease.Grow(50);
        member.Charge(7);

        lease.Shrink(1000);

        Assert.Equal((0, 7, 0), (a.Usage, b.Usage, lease.Bytes));
        Assert.True(lease.TryGrow(5));
        Assert.Equal(12, b.Usage);
        member.Uncharge(7);
        lease.Dispose();
        world.AssertQuiet();
    }

    private static (MemoryGroup A, MemoryGroup B, MemoryMember Member) Moving(World world)
    {
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = 10_000 });
        MemoryGroup b = world.Root.CreateGroup("b", new MemoryGroupOptions { Max = 10_000 });
        return (a, b, a.CreateMember("member"));
    }

    private static async ValueTask<bool> Granted(ValueTask growing)
    {
        await growing;
        return true;
    }
}
