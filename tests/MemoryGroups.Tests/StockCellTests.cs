// One cell of pre-charged bytes: what each operation does to an open and to a poisoned one, and that nothing is lost
// when they race.
namespace MemoryGroups.Tests;

public sealed class StockCellTests
{
    [Fact]
    public void Open_cell_gives_what_it_has_and_no_more()
    {
        StockCell cell = Open(100);

        Assert.True(cell.TryTake(60));
        Assert.False(cell.TryTake(41));
        Assert.True(cell.TryTake(40));

        Assert.Equal(0, cell.Held);
        Assert.True(cell.TryTake(0));
    }

    [Fact]
    public void Some_is_at_least_the_least_and_at_most_the_most_or_nothing()
    {
        StockCell cell = Open(100);
        StockCell poisoned = StockCell.NewPoisoned();

        Assert.Equal((0, 100), (cell.TakeSome(101, 200), cell.Held));
        Assert.Equal((80, 20), (cell.TakeSome(60, 80), cell.Held));
        Assert.Equal((20, 0), (cell.TakeSome(20, 80), cell.Held));
        Assert.Equal(0, cell.TakeSome(1, 80));
        Assert.Equal(0, poisoned.TakeSome(1, 80));
        Assert.True(poisoned.IsPoisoned);
    }

    [Fact]
    public void Poisoned_cell_gives_nothing_not_even_zero_bytes()
    {
        StockCell cell = StockCell.NewPoisoned();

        Assert.False(cell.TryTake(1));
        Assert.False(cell.TryTake(0));
        Assert.True(cell.IsPoisoned);
        Assert.Equal(0, cell.Held);
    }

    [Fact]
    public void Add_to_a_poisoned_cell_answers_negative_and_is_taken_back_by_itself()
    {
        StockCell cell = StockCell.NewPoisoned();

        Assert.True(cell.Add(MemoryMember.MaxChargeBytes) < 0);
        Assert.False(cell.TryOpen());
        cell.TakeBack(MemoryMember.MaxChargeBytes);

        Assert.True(cell.TryOpen());
        Assert.Equal(0, cell.Held);
    }

    [Fact]
    public void Deposit_lands_on_an_open_cell_only()
    {
        StockCell open = Open(5);
        StockCell poisoned = StockCell.NewPoisoned();

        Assert.True(open.TryDeposit(7));
        Assert.False(poisoned.TryDeposit(7));

        Assert.Equal(12, open.Held);
        Assert.True(poisoned.TryOpen());
        Assert.Equal(0, poisoned.Held);
    }

    [Fact]
    public void Drain_answers_what_was_there_once_and_leaves_poison()
    {
        StockCell cell = Open(30);

        Assert.Equal(30, cell.Drain());
        Assert.Equal(0, cell.Drain());
        Assert.True(cell.IsPoisoned);
        Assert.False(Open(1).TryOpen());
    }

    [Fact]
    [Requirement("M11")]
    public void Take_down_leaves_what_may_stay()
    {
        StockCell cell = Open(30);

        Assert.Equal(20, cell.TakeDownTo(10));
        Assert.Equal(0, cell.TakeDownTo(10));
        Assert.Equal(10, cell.Held);
        StockCell poisoned = StockCell.NewPoisoned();
        Assert.Equal(0, poisoned.TakeDownTo(0));
        Assert.True(poisoned.IsPoisoned);
    }

    // Each thread follows the protocol of a charger or of the drain; whatever the order, each byte is somewhere once.
    [Fact]
    [Requirement("I5")]
    public void Racing_takes_adds_deposits_and_drains_lose_no_byte()
    {
        const int rounds = 100_000;
        var shared = new Shared();
        Parallel.Invoke(
            () =>
            {
                for (int i = 0; i < rounds; i++)
                {
                    long outside = shared.Cell.TryTake(3) ? 3 : 0;
                    if (outside > 0 && shared.Cell.Add(outside) < 0)
                    {
                        shared.Cell.TakeBack(outside);
                        Interlocked.Add(ref shared.Outside, outside);
                    }
                }
            },
            () =>
            {
                for (int i = 0; i < rounds; i++)
                {
                    if (!shared.Cell.TryDeposit(5))
                    {
                        Interlocked.Add(ref shared.Outside, 5);
                    }
                }
            },
            () =>
            {
                for (int i = 0; i < rounds; i++)
                {
                    Interlocked.Add(ref shared.Outside, i % 3 == 0 ? shared.Cell.Drain() : shared.Cell.TakeDownTo(4));
                    shared.Cell.TryOpen();
                }
            });

        Assert.Equal(5L * rounds, shared.Cell.Drain() + shared.Outside);
    }

    private static StockCell Open(long bytes)
    {
        StockCell cell = StockCell.NewPoisoned();
        Assert.True(cell.TryOpen());
        Assert.True(cell.TryDeposit(bytes));
        return cell;
    }

    private sealed class Shared
    {
        public StockCell Cell = StockCell.NewPoisoned();
        public long Outside;
    }
}
