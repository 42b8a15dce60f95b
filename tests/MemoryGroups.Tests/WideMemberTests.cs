// Members whose threads collide get a cell for each CPU: when that happens, that nothing is lost by it, and that such a
// member gives back, exits and is killed like any other.
namespace MemoryGroups.Tests;

public sealed class WideMemberTests
{
    // A collision is a swap that failed although there was enough: the second try, out of line, succeeds.
    [Fact]
    public void Member_becomes_wide_after_many_collisions_and_not_by_charges_that_find_nothing()
    {
        using var world = new World();
        MemoryMember member = Stocked.Member(Tenant(world));
        for (int i = 0; i < 1000; i++)
        {
            Assert.False(member.Books.TryChargeElsewhere(MemoryMember.MaxChargeBytes));
        }

        Assert.False(member.Books.IsWide);
        int collisions = 0;
        for (; !member.Books.IsWide && collisions < 1000; collisions++)
        {
            Assert.True(member.Books.TryChargeElsewhere(1));
        }

        Assert.InRange(collisions, 16, 256);
        member.Uncharge(collisions);
        Assert.Equal(1 << 20, member.Usage);
    }

    [Fact]
    [Requirement("I12")]
    public void Becoming_wide_keeps_usage_and_stock_as_they_were()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryMember member = Stocked.Member(tenant);
        long held = member.Books.Held;
        long usage = tenant.Usage;

        Stocked.Widen(member);
        Stocked.Widen(member);

        Assert.Equal((1 << 20, held, usage), (member.Usage, member.Books.Held, tenant.Usage));
        Assert.Equal(usage - (1 << 20), world.Root.Stocks.Drain(tenant));
        Assert.Equal((0, 1 << 20), (member.Books.Held, tenant.Usage));
    }

    // Not in the ledger's lists any more: were its cells opened, no drain would find them.
    [Fact]
    [Requirement("M11")]
    public void Member_that_was_drained_opens_nothing_by_becoming_wide()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryMember member = Stocked.Member(tenant);
        world.Root.Stocks.Drain(world.Root);

        Stocked.Widen(member);
        member.Uncharge(1000);

        Assert.Equal((0, (1 << 20) - 1000), (member.Books.Held, tenant.Usage));
    }

    [Fact]
    public void Wide_member_below_a_full_group_opens_nothing_and_opens_when_there_is_room()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(hog.TryCharge(Stocked.AmpleLimit - 1000));
        Assert.True(member.TryCharge(1000));
        Assert.False(member.TryCharge(1));
        Stocked.Widen(member);
        member.Uncharge(400);
        Assert.Equal((600, Stocked.AmpleLimit - 400), (member.Usage, tenant.Usage));

        hog.Dispose();
        for (int i = 0; i < 100; i++)
        {
            Assert.True(member.TryCharge(1000));
        }

        Assert.True(member.Books.Held > 0);
        Assert.Equal(100_600, member.Usage);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [Requirement("I5")]
    public void Threads_that_share_a_wide_member_leave_nothing_when_it_exits(int seed)
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        for (int round = 0; round < 50; round++)
        {
            MemoryMember member = Stocked.Member(tenant);
            Stocked.Widen(member);
            Share(member, seed + round, 500);
            if (round % 2 == 0)
            {
                member.Kill("test");
                Assert.Equal(0, member.Books.Held);
            }

            Assert.Equal(1 << 20, member.Usage);
            member.Dispose();
            Assert.True(member.Books.Held == 0, $"seed {seed}, round {round}: {member.Books.Held} held after the exit");
        }

        world.Root.Stocks.Drain(world.Root);
        Assert.Equal((0, 0), (tenant.Usage, world.Root.BooksErrorCount));
    }

    // All cells were filled while it used much; one thread alone returns all of it.
    [Fact]
    [Requirement("I12")]
    public void Wide_member_that_shrinks_takes_down_the_cells_of_all_cpus()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        long uses = 8 * Stocked.AmpleLimit;
        MemoryMember member = Stocked.Member(tenant, uses);
        Stocked.Widen(member);
        Share(member, 3, 2000);

        for (int i = 0; i < 256; i++)
        {
            member.Uncharge(uses / 256);
        }

        Assert.Equal(0, member.Usage);
        Assert.InRange(member.Books.Held, 0, GroupStock.Slots * tenant.BatchBytes / 16);
    }

    // Charges and returns on several threads at once, so that several CPUs' cells are used.
    private static void Share(MemoryMember member, int seed, int operations)
    {
        using var start = new Barrier(4);
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(i => new Thread(() =>
        {
            var random = new Random((seed * 10) + i);
            start.SignalAndWait();
            for (int operation = 0; operation < operations; operation++)
            {
                long bytes = random.Next(1, 30_000);
                if (member.TryCharge(bytes))
                {
                    member.Uncharge(bytes);
                }
            }
        }))];
        Array.ForEach(threads, static thread => thread.Start());
        Array.ForEach(threads, static thread => thread.Join());
    }

    private static MemoryGroup Tenant(World world) =>
        world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 16 * Stocked.AmpleLimit });
}
