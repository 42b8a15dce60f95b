// Limits and members with which stocks exist, whatever the number of CPUs.
namespace MemoryGroups.Tests;

internal static class Stocked
{
    // The smallest limit below which a group has a stock, and one with plenty of room.
    public static long SmallestLimit { get; } = 16L * GroupStock.Slots * 16 * 1024;

    public static long AmpleLimit { get; } = 64 * SmallestLimit;

    // A member whose own stock is open and holds something.
    public static MemoryMember Member(MemoryGroup group, long uses = 1 << 20)
    {
        MemoryMember member = group.CreateMember("stocked");
        for (int charged = 0; charged < 16; charged++)
        {
            Assert.True(member.TryCharge(uses / 16));
        }

        Assert.True(member.Books.Held > 0, "the member has no stock; it should");
        return member;
    }

    // So many members that there is no more than the least for those that use little.
    public static void Crowd(MemoryGroup group)
    {
        while (group.Members.Count < 16 * GroupStock.Slots)
        {
            group.CreateMember("other");
        }
    }

    // As if its threads had collided often enough: it gets a cell for each CPU.
    public static void Widen(MemoryMember member)
    {
        member.Root.Stocks.Widen(member.Books);
        Assert.True(member.Books.IsWide);
    }

    // Gives the group's own cells something: enough walks, and an uncharge that comes back to them.
    public static void FillOwnStock(MemoryGroup group)
    {
        MemoryMember walker = group.CreateMember("walker");
        for (int i = 0; i < 32; i++)
        {
            Assert.True(walker.TryCharge(8192));
        }

        walker.Uncharge(32 * 8192);
        Assert.True(group.Stock.Held > 0, "the group has no stock; it should");
    }
}
