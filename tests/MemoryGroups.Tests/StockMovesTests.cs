// Stock on its way: who was refused meanwhile looks again, and nobody else does.

namespace MemoryGroups.Tests;

public sealed class StockMovesTests
{
    private StockMoves _moves;

    [Fact]
    public void Nothing_moved_is_no_reason_to_look_again()
    {
        Move();

        long mark = _moves.Mark;

        Assert.False(_moves.SettledSince(mark));
    }

    [Fact]
    public void Move_that_was_whole_after_the_mark_is_a_reason()
    {
        long mark = _moves.Mark;

        Move();

        Assert.True(_moves.SettledSince(mark));
        Assert.False(_moves.SettledSince(_moves.Mark));
    }

    [Fact]
    public void Move_that_was_under_way_at_the_mark_and_is_over_is_a_reason()
    {
        _moves.Begin();
        long mark = _moves.Mark;
        _moves.End();

        Assert.True(_moves.SettledSince(mark));
    }

    [Fact]
    public void Move_that_came_to_nothing_is_no_reason()
    {
        long mark = _moves.Mark;
        _moves.Begin();
        _moves.Cancel();

        Assert.False(_moves.SettledSince(mark));
    }

    [Fact]
    public void Move_that_does_not_end_is_waited_for_a_bounded_time()
    {
        long mark = _moves.Mark;
        _moves.Begin();

        Assert.True(_moves.SettledSince(mark));
        _moves.Settle();
    }

    private void Move()
    {
        _moves.Begin();
        _moves.End();
    }
}
