// Stock on its way: who was refused meanwhile looks again, and nobody else does.

namespace MemoryGroups.Tests;

public sealed class StockMovesTests
{
    private readonly StockMoves _moves = new();

    [Fact]
    public void Who_looks_again_after_a_move_need_not_do_so_twice()
    {
        Move();
        long mark = _moves.Mark;

        Assert.True(_moves.SettledSince(ref mark));
        Assert.False(_moves.SettledSince(ref mark));
    }

    [Fact]
    public void What_one_has_seen_arrive_is_no_reason_for_the_next()
    {
        Move();
        long first = _moves.Mark;
        Assert.True(_moves.SettledSince(ref first));

        long next = _moves.Mark;

        Assert.False(_moves.SettledSince(ref next));
    }

    [Fact]
    public void Move_that_another_has_seen_arrive_after_the_mark_is_a_reason_still()
    {
        long mark = _moves.Mark;
        Move();
        long others = _moves.Mark;
        Assert.True(_moves.SettledSince(ref others));

        Assert.True(_moves.SettledSince(ref mark));
    }

    [Fact]
    public void Move_that_was_under_way_at_the_mark_and_is_over_is_a_reason()
    {
        int move = _moves.Begin();
        long mark = _moves.Mark;
        _moves.End(move);

        Assert.True(_moves.SettledSince(ref mark));
        Assert.False(_moves.SettledSince(ref mark));
    }

    [Fact]
    public void Move_that_came_to_nothing_is_no_reason()
    {
        long mark = _moves.Mark;
        _moves.Cancel(_moves.Begin());

        Assert.False(_moves.SettledSince(ref mark));
    }

    [Fact]
    public void Move_that_does_not_end_is_waited_for_a_bounded_time_and_stays_a_reason()
    {
        long mark = _moves.Mark;
        _moves.Begin();

        Assert.True(_moves.SettledSince(ref mark));
        Assert.True(_moves.SettledSince(ref mark));
    }

    // What began before the wait is over after it, whatever comes and goes on other CPUs meanwhile; unless the wait was
    // given up, which takes twenty sleeps of a millisecond. The time is looked at for that excuse only. It looks for a
    // race, and finds it when the two threads that move are on two CPUs for a while.
    [Fact]
    public void Wait_does_not_end_before_the_moves_that_were_under_way_beside_others_that_come_and_go()
    {
        const int Moves = 200_000;
        int begun = 0, done = 0;
        Thread mover = new(() =>
        {
            for (int move = 1; move <= Moves; move++)
            {
                int slot = _moves.Begin();
                Volatile.Write(ref begun, move);
                Thread.SpinWait(100);
                Volatile.Write(ref done, move);
                _moves.End(slot);
                Thread.SpinWait(100);
            }
        });
        Thread passer = new(() =>
        {
            while (Volatile.Read(ref done) < Moves)
            {
                Move();
                Thread.SpinWait(20);
            }
        });
        mover.Start();
        passer.Start();
        int early = 0;
        while (Volatile.Read(ref done) < Moves)
        {
            int seen = Volatile.Read(ref begun);
            long start = TimeProvider.System.GetTimestamp();
            _moves.Settle();
            bool isOver = Volatile.Read(ref done) >= seen;
            if (!isOver && TimeProvider.System.GetElapsedTime(start) < TimeSpan.FromMilliseconds(10))
            {
                early++;
            }
        }

        mover.Join();
        passer.Join();
        Assert.True(early == 0, $"it ended too early {early} times");
    }

    private void Move() => _moves.End(_moves.Begin());
}
