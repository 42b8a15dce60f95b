// What charging allocates: nothing, in stock, at the edge of a limit, refused, or wide; a lease is one small object.
namespace MemoryGroups.Tests;

public sealed class ChargeAllocationTests
{
    private const int Operations = 1000;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Charging_and_returning_allocates_nothing(bool wide)
    {
        using var world = new World();
        MemoryMember member = Stocked.Member(Tenant(world));
        if (wide)
        {
            Stocked.Widen(member);
        }

        MemoryCharge lease = member.TryLease(1)!;
        using MemoryAccount account = member.OpenAccount();
        Assert.Equal(0, Allocated(() =>
        {
            member.TryCharge(4096);
            member.Uncharge(4096);
            lease.TryGrow(4096);
            lease.Shrink(4096);
            account.TryGrow(4096);
            account.Shrink(4096);
        }));
    }

    [Fact]
    public void Charging_and_being_refused_at_a_limit_allocates_nothing()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(hog.TryCharge(Stocked.AmpleLimit - 8192));

        Assert.Equal(0, Allocated(() =>
        {
            member.TryCharge(4096);
            member.TryCharge(8192);
            member.Uncharge(4096);
        }));
        Assert.True(tenant.RefusalCount > Operations);
    }

    // Asked by every charge that is about to wait. (The wait itself: the benchmark, because only optimized code keeps
    // what suspends out of the heap.)
    [Fact]
    public void Looking_for_victims_allocates_nothing_while_there_are_none()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);

        Assert.Equal(0, Allocated(() => world.Root.OomKiller.HasVictimInFlight(tenant)));
    }

    [Fact]
    public void Lease_takes_no_more_than_48_bytes()
    {
        using var world = new World();
        MemoryMember member = Stocked.Member(Tenant(world));

        long bytes = Allocated(() => member.TryLease(1)!.Dispose());

        Assert.InRange(bytes, 24L * Operations, 48L * Operations);
    }

    private static MemoryGroup Tenant(World world) =>
        world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });

    // Once for what is made at the first use, such as the cells of a group.
    private static long Allocated(Action operation)
    {
        Repeat(operation);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Repeat(operation);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static void Repeat(Action operation)
    {
        for (int i = 0; i < Operations; i++)
        {
            operation();
        }
    }
}
