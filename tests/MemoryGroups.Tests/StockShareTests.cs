// The stock that is set aside for members that use little: how much of it each may have, and that all of them together
// never have more, however their number changes.
namespace MemoryGroups.Tests;

public sealed class StockShareTests
{
    private static readonly int Slots = GroupStock.Slots;

    [Fact]
    public void Lone_member_fetches_half_of_what_it_uses_up_to_a_quarter_of_a_batch()
    {
        using var world = new World();
        MemoryMember member = Tenant(world).CreateMember("m");
        long batch = member.Group.BatchBytes;
        member.Charge(1000);

        foreach (long uses in (long[])[batch / 32, batch / 8, batch / 4, batch / 2, batch])
        {
            Fetch(member, uses);
            Assert.Equal(Math.Clamp(uses / 2, batch / 32, batch / 4), member.Books.Held);
        }
    }

    // A query that is over: what it had fetched does not outlive it.
    [Fact]
    public void Member_that_has_returned_everything_keeps_no_more_than_among_many()
    {
        using var world = new World();
        MemoryMember member = Tenant(world).CreateMember("m");
        long batch = member.Group.BatchBytes;
        for (int page = 0; page < 256; page++)
        {
            Assert.True(member.TryCharge(batch / 64));
        }

        for (int page = 0; page < 256; page++)
        {
            member.Uncharge(batch / 64);
            Assert.InRange(member.Books.Held, 0, Math.Max(2 * member.Usage, batch / 16));
        }

        Assert.InRange(member.Books.Held, 1, batch / 16);
    }

    // Each fills its cell as far as it may, while there are few; the later ones find less.
    [Fact]
    [Requirement("I12")]
    [Requirement("M11")]
    public void Small_members_of_a_group_hold_a_batch_for_each_cpu_at_most_while_their_number_grows()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        for (int count = 1; count <= 16 * Slots; count++)
        {
            Fill(tenant.CreateMember($"m{count}"));
            long held = tenant.Members.Sum(static one => one.Books.Held);
            Assert.True(held <= Slots * tenant.BatchBytes, $"{count} members hold {held}");
        }

        long all = tenant.Members.Sum(static one => one.Books.Held);
        MemoryMember oneTooMany = tenant.CreateMember("last");
        Assert.True(oneTooMany.TryCharge(1000) && oneTooMany.TryCharge(1000));

        Assert.InRange(oneTooMany.Books.Held, 0, oneTooMany.Usage / 16);

        // It has no share, so there is nothing to cut.
        Assert.Equal(all, tenant.Members.Sum(static one => one.Books.Held) - oneTooMany.Books.Held);
    }

    // Each cell may hold two quanta, and those of a wide member twice that before they are taken down.
    [Fact]
    [Requirement("I12")]
    public void Shares_for_all_cells_of_all_members_are_a_batch_for_each_cpu_together()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        long all = Slots * tenant.BatchBytes;
        for (int members = 1; members <= 16; members++)
        {
            tenant.CreateMember("m");
            long wide = tenant.Stock.SmallQuantum(long.MaxValue, Slots);
            int most = Slots == 1 ? 2 : 4;
            Assert.True(members * Slots * most * wide <= all, $"{members} wide members: {wide}");
            Assert.True(members * 2 * tenant.Stock.SmallQuantum(long.MaxValue, cells: 1) <= all);
        }
    }

    [Fact]
    public void Shares_are_halved_when_there_are_more_members_and_doubled_when_there_are_far_fewer()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        long batch = tenant.BatchBytes;
        var members = new List<MemoryMember>();
        long ShareAmong(int count)
        {
            while (members.Count < count)
            {
                members.Add(tenant.CreateMember("m"));
            }

            for (; members.Count > count; members.RemoveAt(members.Count - 1))
            {
                members[^1].Dispose();
            }

            // The first one opens a cell that was shut when the shares were cut.
            Fetch(members[0], batch);
            Fetch(members[0], batch);
            return members[0].Books.Held;
        }

        Assert.Equal(batch / 4, ShareAmong(2 * Slots));
        Assert.Equal(batch / 8, ShareAmong((2 * Slots) + 1));
        Assert.Equal(batch / 8, ShareAmong(4 * Slots));
        Assert.Equal(batch / 16, ShareAmong((4 * Slots) + 1));
        Assert.Equal(batch / 16, ShareAmong((2 * Slots) + 1));
        Assert.Equal(batch / 8, ShareAmong(2 * Slots));
        Assert.Equal(batch / 8, ShareAmong(Slots + 1));
        Assert.Equal(batch / 4, ShareAmong(Slots));
    }

    // Queries come and go: none of them makes the others lose what they have.
    [Fact]
    public void Stock_stays_where_it_is_while_members_come_and_go_within_their_shares()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryMember staying = tenant.CreateMember("staying");
        for (int i = 0; i < 2 * Slots; i++)
        {
            tenant.CreateMember("m");
        }

        Fill(staying);
        long held = staying.Books.Held;
        for (int i = 0; i < 8; i++)
        {
            tenant.Members[^1].Dispose();
            Assert.True(tenant.Members[1].TryCharge(1000));
            Assert.True(tenant.CreateMember("next").TryCharge(1000));
            Assert.Equal(held, staying.Books.Held);
        }
    }

    [Fact]
    public void Cut_gives_the_bytes_back_to_the_groups_and_touches_no_other_group()
    {
        using var world = new World();
        MemoryGroup tenant = Tenant(world);
        MemoryGroup below = tenant.CreateGroup("below");
        MemoryMember first = tenant.CreateMember("first");
        MemoryMember other = below.CreateMember("other");
        Fill(first);
        Fill(other);
        long others = other.Books.Held;
        for (int i = 0; i < 2 * Slots; i++)
        {
            tenant.CreateMember("m");
        }

        tenant.Members[^1].Charge(1000);

        Assert.Equal((0, others), (first.Books.Held, other.Books.Held));
        long used = first.Usage + other.Usage + 1000;
        Assert.Equal(used, tenant.Usage - world.Root.Stocks.HeldIn(tenant));
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    private static MemoryGroup Tenant(World world) =>
        world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 16 * Stocked.AmpleLimit });

    // Its next fetch is made when it uses so much, and finds its cell empty.
    private static void Fetch(MemoryMember member, long uses)
    {
        Assert.True(member.TryCharge(member.Books.Held));
        member.Root.Stocks.Remove(member.Books);
        member.Uncharge(member.Usage);
        Assert.Equal((0, 0), (member.Usage, member.Books.Held));
        Assert.True(member.TryCharge(1));
        Assert.False(member.Books.Held > 0);
        Assert.True(member.TryCharge(uses - 1));
    }

    // Two quanta of its share, while it uses just enough for that.
    private static void Fill(MemoryMember member)
    {
        // The first draw may cut the shares.
        Assert.True(member.TryCharge(1));
        long share = member.Group.Stock.SmallQuantum(long.MaxValue, cells: 1);
        while (member.Usage < 3 * share)
        {
            Assert.True(member.TryCharge(share / 4));
        }

        Assert.True(member.TryCharge(member.Books.Held) && member.TryCharge(1));
        Assert.InRange(member.Books.Held, share, 2 * share);
        member.Uncharge((2 * share) - member.Books.Held);
        Assert.Equal(2 * share, member.Books.Held);
    }
}
