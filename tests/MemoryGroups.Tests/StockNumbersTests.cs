// The published numbers of stock, one by one: batches by limit, quanta by usage, how much may stay, and that a number
// at its bound is within it.
namespace MemoryGroups.Tests;

public sealed class StockNumbersTests
{
    private const long Batch = GroupStock.LargestBatch;

    // What a small member gets where the group can spare it.
    private const long Small = Batch / 32;

    [Fact]
    public void Batch_follows_the_smallest_limit_on_the_path_within_its_bounds()
    {
        using var world = new World();
        long smallest = Stocked.SmallestLimit;

        Assert.Equal(16 * 1024, Group(world, smallest).BatchBytes);
        Assert.Equal(0, Group(world, smallest - 1).BatchBytes);
        Assert.Equal(Batch, Group(world, long.MaxValue).BatchBytes);
        MemoryGroup capped = world.Root.CreateGroup("capped", new MemoryGroupOptions { BatchBytes = 20_000 });
        Assert.Equal((20_000, 20_000), (capped.BatchBytes, capped.CreateGroup("below").BatchBytes));
        MemoryGroup high = world.Root.CreateGroup("high", new MemoryGroupOptions { High = 2 * smallest });
        Assert.Equal(32 * 1024, high.CreateGroup("below", new MemoryGroupOptions { Max = 4 * smallest }).BatchBytes);
    }

    [Fact]
    public void Member_fetches_a_sixteenth_of_its_usage_ahead_but_not_too_little_and_not_too_much()
    {
        using var world = new World();
        MemoryMember member = Group(world, Stocked.AmpleLimit).CreateMember("m");
        Stocked.Crowd(member.Group);
        long batch = member.Group.BatchBytes;
        Assert.True(member.TryCharge(1000));

        Assert.True(member.TryCharge(1000));
        Assert.Equal(batch / 32, member.Books.Held);
        Empty(member);
        long usage = member.Usage;
        Assert.True(member.TryCharge(2 * batch));
        Assert.Equal((usage + (2 * batch)) / 16, member.Books.Held);
        Empty(member);
        Assert.True(member.TryCharge(40 * batch));
        Assert.Equal(Math.Min(64 * 1024, batch / 4), member.Books.Held);
    }

    [Fact]
    public void Small_members_get_a_little_more_only_while_there_are_few_of_them()
    {
        using var world = new World();
        MemoryGroup group = Group(world, Stocked.AmpleLimit);
        MemoryMember first = group.CreateMember("first");
        Stocked.Crowd(group);
        first.Charge(1000);
        first.Charge(1000);
        Assert.Equal(Small, first.Books.Held);
        MemoryMember oneTooMany = group.CreateMember("last");
        oneTooMany.Charge(1000);
        oneTooMany.Charge(1000);

        Assert.Equal(2000 / 16, oneTooMany.Books.Held);
    }

    [Fact]
    public void Cells_of_all_members_count_when_small_ones_get_a_little_more()
    {
        using var world = new World();
        MemoryGroup group = Group(world, Stocked.AmpleLimit);
        Stocked.Crowd(group);

        Assert.Equal((Small, 0), (group.Stock.SmallQuantum(0, 1), group.Stock.SmallQuantum(0, 2)));
    }

    [Fact]
    public void Wide_member_fetches_its_part_for_one_cell()
    {
        using var world = new World();
        MemoryGroup group = Group(world, Stocked.AmpleLimit);
        MemoryMember member = Stocked.Member(group, (long)GroupStock.Slots << 20);
        Stocked.Widen(member);
        world.Root.Stocks.Drain(world.Root);
        member.Charge(1000);
        member.Charge(1000);
        world.Root.Stocks.Drain(world.Root);
        for (int count = 0; member.Books.Held == 0; count++)
        {
            Assert.True(count < 100, "the member gets no stock");
            member.Charge(1000);
        }

        long most = Math.Min(64 * 1024, group.BatchBytes / 4);
        long parts = GroupStock.Slots == 1 ? 16 : 36 * GroupStock.Slots;
        Assert.Equal(Math.Min(most, member.Usage / parts), member.Books.Held);
    }

    [Fact]
    public void Two_quanta_may_stay_in_the_cell_and_one_byte_more_takes_it_down_to_one()
    {
        using var world = new World();
        MemoryMember member = Group(world, Stocked.AmpleLimit).CreateMember("m");
        Stocked.Crowd(member.Group);
        member.Charge(1000);
        member.Charge(1000);
        Empty(member);
        member.Charge(20_000);
        Assert.Equal(Small, member.Books.Held);

        member.Uncharge(Small);
        Assert.Equal(2 * Small, member.Books.Held);
        member.Uncharge(1);

        Assert.Equal(Small, member.Books.Held);
    }

    [Fact]
    public void Member_becomes_wide_with_its_sixteenth_collision()
    {
        using var world = new World();
        MemoryMember member = Stocked.Member(Group(world, Stocked.AmpleLimit));

        for (int collision = 1; collision <= 16; collision++)
        {
            Assert.False(member.Books.IsWide);
            Assert.True(member.Books.TryChargeElsewhere(1));
        }

        Assert.True(member.Books.IsWide);
    }

    [Fact]
    public void Group_fetches_three_quarters_of_a_batch_ahead_and_keeps_two_batches_at_most()
    {
        using var world = new World();
        MemoryGroup group = Opened(world);
        GroupStock stock = group.Stock;
        long batch = group.BatchBytes;
        long ahead = batch / 4 * 3;

        Draw(stock, batch);
        Assert.Equal((ahead, batch + ahead), (stock.Held, group.Usage));
        Draw(stock, ahead);
        Draw(stock, batch + 1);
        Assert.Equal((0, (2 * batch) + ahead + 1), (stock.Held, group.Usage));

        stock.Return(2 * batch);
        Assert.Equal((2 * batch, (2 * batch) + ahead + 1), (stock.Held, group.Usage));
        stock.Return(1);
        Assert.Equal((batch, batch + ahead), (stock.Held, group.Usage));
        world.Root.Stocks.Drain(group);
        group.Counter.Uncharge(ahead);
    }

    [Fact]
    public void Batch_that_arrives_after_a_drain_goes_back_to_the_counters()
    {
        using var world = new World();
        MemoryGroup group = Opened(world);
        world.Once(ProbePoint.BeforeSwap, () => world.Root.Stocks.Drain(group));

        Draw(group.Stock, 1000);

        Assert.Equal((0, 1000), (group.Stock.Held, group.Usage));
        group.Counter.Uncharge(1000);
    }

    [Fact]
    public void Quantum_that_arrives_after_a_drain_goes_back_to_the_counters()
    {
        using var world = new World();
        MemoryMember member = Stocked.Member(Group(world, Stocked.AmpleLimit));
        long usage = member.Usage;
        world.Once(ProbePoint.BeforeSwap, () => world.Root.Stocks.Drain(world.Root));

        Assert.True(member.TryCharge(1 << 20));

        Assert.Equal((0, usage + (1 << 20)), (member.Books.Held, member.Usage));
        world.Root.Stocks.Drain(world.Root);
        Assert.Equal(member.Usage, member.Group.Usage);
        member.Dispose();
        world.AssertQuiet();
    }

    [Fact]
    public void Member_of_a_group_with_small_batches_fetches_a_quarter_of_one_at_most()
    {
        using var world = new World();
        MemoryGroup group = Group(world, Stocked.SmallestLimit);
        long batch = group.BatchBytes;
        MemoryMember member = Stocked.Member(group, 8 * batch);
        Empty(member);

        Assert.True(member.TryCharge(batch));

        Assert.Equal(batch / 4, member.Books.Held);
    }

    [Fact]
    public void Killed_member_gets_no_stock_any_more()
    {
        using var world = new World();
        MemoryMember member = Stocked.Member(Group(world, Stocked.AmpleLimit));
        member.Kill("test");

        world.Root.Stocks.TryOpen(member.Books, StockRoom.Ample);

        Assert.False(member.Books.IsListed);
        member.Uncharge(1000);
        Assert.Equal(0, member.Books.Held);
    }

    [Fact]
    public void Account_draws_nothing_ahead_beyond_the_largest_charge()
    {
        using var world = new World();
        MemoryMember member = Stocked.Member(Group(world, long.MaxValue));
        long others = member.Usage;
        using MemoryAccount account = member.OpenAccount();

        Assert.True(account.TryGrow(MemoryMember.MaxChargeBytes));

        Assert.Equal(others + MemoryMember.MaxChargeBytes, member.Usage);
    }

    // The others may hold much more than is to stay, and are taken down with the one that noticed.
    [Fact]
    public void Cells_are_all_taken_down_when_much_less_is_to_stay_in_them()
    {
        var stock = new MemberStock();
        stock.WidenLocked(4);
        Assert.True(stock.TryOpenLocked(keepLittle: false));
        stock.Keep(1000);
        Assert.True(stock.Own.TryDeposit(2000));
        StockCell noticing = StockCell.NewPoisoned();
        Assert.True(noticing.TryOpen());

        stock.Keep(100);
        long taken = stock.TakeDownTo(100, ref noticing);

        Assert.Equal((1900, 100), (taken, stock.Held));
    }

    // Each return would lift the poison by as much, until the cell looks open.
    [Fact]
    public void Returns_to_a_closed_stock_leave_it_closed_however_much_they_are()
    {
        using var world = new World();
        MemoryGroup group = Opened(world);
        world.Root.Stocks.Drain(group);

        for (int count = 0; count < 16; count++)
        {
            Assert.True(group.Counter.TryCharge(MemoryMember.MaxChargeBytes, 0, out _));
            group.Stock.Return(MemoryMember.MaxChargeBytes);
        }

        Assert.Equal((0, 0), (group.Stock.Held, group.Usage));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(64)]
    public void Account_draws_a_quarter_of_a_batch_ahead_and_keeps_two_of_that(int limits)
    {
        using var world = new World();
        MemoryGroup group = Group(world, limits * Stocked.SmallestLimit);
        MemoryMember member = Stocked.Member(group, 128 * 1024);
        long others = member.Usage;
        long quantum = Math.Min(64 * 1024, group.BatchBytes / 4);
        using MemoryAccount account = member.OpenAccount();
        long Spare() => member.Usage - others - account.Used;

        // More than the member's cell can serve.
        Assert.True(account.TryGrow(group.BatchBytes));
        Assert.Equal(quantum, Spare());
        Assert.True(account.TryGrow(quantum));
        Assert.Equal(0, Spare());
        Assert.True(account.TryGrow(2 * quantum));
        others += member.Books.Held;
        Empty(member);
        Assert.True(account.TryGrow(quantum + 5));
        Assert.Equal(quantum, Spare());

        account.Shrink(quantum);
        Assert.Equal(2 * quantum, Spare());
        account.Shrink(1);
        Assert.Equal(quantum + 1, Spare());
        account.Shrink(account.Used);
        Assert.InRange(Spare(), quantum, (2 * quantum) - 1);
    }

    // What the member has fetched lies nearer than the group's stock, if it is worth the way.
    [Fact]
    public void Account_draws_from_its_members_cell_first()
    {
        using var world = new World();
        MemoryGroup group = Group(world, Stocked.AmpleLimit);
        MemoryMember member = Stocked.Member(group, 128 * group.BatchBytes / 16);
        long quantum = Math.Min(64 * 1024, group.BatchBytes / 4);
        Empty(member);
        Assert.True(member.TryCharge(1));
        Assert.Equal(quantum, member.Books.Held);
        long charged = group.Usage;
        using MemoryAccount account = member.OpenAccount();

        Assert.True(account.TryGrow(quantum / 2));
        Assert.Equal((0, charged), (member.Books.Held, group.Usage));
        Assert.True(account.TryGrow(quantum / 2));

        member.Uncharge(quantum / 4);
        Assert.Equal(quantum / 4, member.Books.Held);
        Assert.True(account.TryGrow(1));

        Assert.Equal(quantum, member.Books.Held);
    }

    [Fact]
    public void Account_takes_its_spare_along_when_its_member_moves()
    {
        using var world = new World();
        MemoryGroup before = Group(world, Stocked.AmpleLimit);
        MemoryGroup after = Group(world, Stocked.AmpleLimit);
        MemoryMember member = Stocked.Member(before);
        long others = member.Usage;
        using MemoryAccount account = member.OpenAccount();
        Assert.True(account.TryGrow(10));
        Assert.True(member.Usage > others + 10);
        Assert.True(member.MoveTo(after));

        Assert.True(account.TryGrow(1 << 20));

        world.Root.Stocks.Drain(world.Root);
        Assert.Equal((others + 10, (1 << 20) + 10), (before.Usage, account.Used));
    }

    private static MemoryGroup Group(World world, long max) =>
        world.Root.CreateGroup("g", new MemoryGroupOptions { Max = max });

    private static MemoryGroup Opened(World world)
    {
        MemoryGroup group = Group(world, long.MaxValue);
        world.Root.Stocks.TryOpen(group.Stock, StockRoom.Ample);
        Assert.True(group.Stock.IsOpenHere);
        return group;
    }

    private static void Draw(GroupStock stock, long bytes)
    {
        Assert.True(stock.TryDraw(bytes, 0, 0, out long drawn, out _));
        Assert.Equal(bytes, drawn);
    }

    // Charges what the cell holds, so that the next charge has to draw.
    private static void Empty(MemoryMember member)
    {
        Assert.True(member.TryCharge(member.Books.Held));
        Assert.Equal(0, member.Books.Held);
    }
}
