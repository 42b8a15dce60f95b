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
