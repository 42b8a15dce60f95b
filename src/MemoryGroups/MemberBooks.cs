// What one member has drawn from one group, and the stock from which it serves its charges.
//
// The member's usage is what it drew minus what is left in its stock, so attributing bytes to a member costs nothing on
// the fast path. Leases and other owners of bytes keep a reference to these books and uncharge here: to the recorded
// owner, whichever thread runs and whatever has become of the member since.
//
// A member that moves to another group gets other books there (MemoryMember.Moving). The ones it leaves keep what was
// charged to them until it is returned, with cells that stay poisoned; empty, they are put away.
//
// Must stay true: drawn >= what the cells hold (drawn rises before a cell does and falls after it); the group is
// charged for exactly `drawn`; once closed, `drawn` is the Closed mark, everything was returned exactly once, and later
// uncharges change nothing. A poisoned cell makes every charge and uncharge exact. Only a member's current books have
// open cells, and only while it holds nothing in books that it has left.
namespace MemoryGroups;

internal sealed partial class MemberBooks(MemoryMember member, MemoryGroup group) : StockHolder(group)
{
    private const long Closed = -1;

    // Left by the member and empty; a charge that began before the move takes them up again.
    private const long PutAway = -2;

    private long _drawn;
    private long _overdraft;

    internal MemoryMember Member { get; } = member;

    internal bool IsClosed =>
        Volatile.Read(ref _drawn) is var drawn && (drawn == Closed || (drawn == PutAway && Member.IsExited));

    // What is charged to the group for it: its usage and what is left in its cells.
    internal long Drawn => Math.Max(0, Volatile.Read(ref _drawn));

    internal long Overdraft => Volatile.Read(ref _overdraft);

    // Both numbers belong together only if drawn did not move meanwhile; after a few tries the later one is as good.
    internal long Usage
    {
        get
        {
            long drawn = Volatile.Read(ref _drawn);
            for (int tries = 0; ; tries++)
            {
                long usage = drawn - _stock.Held;
                long again = Volatile.Read(ref _drawn);
                if (again == drawn || tries == 3)
                {
                    return Math.Max(0, usage);
                }

                drawn = again;
            }
        }
    }

    // Draws from the group: exact, plus a quantum for the cell while it is open. Refused says which level had no room.
    internal bool TryDraw(long bytes, long rootFloor, out UsageCounter? refused)
    {
        refused = null;
        if (IsClosed)
        {
            // Not charged and taken back: the groups' peaks and refusals tell of nobody who is gone.
            return false;
        }

        GroupStock stock = Group.Stock;
        stock.CutShares();
        bool fetches = !_stock.Own.IsPoisoned && !_stock.KeepsLittle;
        if (!fetches && !stock.IsOpenHere)
        {
            if (!TryDraw(bytes, fetches: false, rootFloor, out refused))
            {
                return false;
            }

            Interlocked.MemoryBarrier();
            Member.ConfirmScore();
            return true;
        }

        StockMoves moves = Group.Root.Stocks.Moves;
        int move = moves.Begin();
        bool isDrawn = false;
        try
        {
            isDrawn = TryDraw(bytes, fetches, rootFloor, out refused);
        }
        finally
        {
            if (refused is null)
            {
                moves.End(move);
            }
            else
            {
                moves.Cancel(move);
            }
        }

        if (isDrawn)
        {
            Member.ConfirmScore();
        }

        return isDrawn;
    }

    // Over the limit, for the requests that may; the caller has counted it.
    internal bool TryForce(long bytes, long rootFloor, bool evenAtRoot)
    {
        // Refused by the root alone, of which the stock of strangers may be idle.
        StockLedger stocks = Group.Root.Stocks;
        if (!Group.Counter.TryForce(bytes, rootFloor, evenAtRoot)
            && (stocks.Drain(Group.Root) == 0 || !Group.Counter.TryForce(bytes, rootFloor, evenAtRoot)))
        {
            return false;
        }

        // Where it is above a limit now nothing stays idle: stock would serve some while all others are refused.
        for (UsageCounter? level = Group.Counter; level is not null; level = level.Parent)
        {
            if (level.Room(rootFloor: 0) < 0)
            {
                stocks.Drain(level.Group);
            }
        }

        if (TryAddDrawn(bytes))
        {
            return true;
        }

        Group.Counter.Uncharge(bytes);
        return false;
    }

    // A victim's charge over the limit, out of the reserve, which gets it back as the victim uncharges or exits.
    // The overdraft is noted first: an exit in between then returns it with the rest.
    internal bool TryOverdraw(long bytes, long rootFloor)
    {
        OomReserve reserve = Group.Root.Reserve;
        if (!reserve.TryTake(bytes))
        {
            return false;
        }

        Interlocked.Add(ref _overdraft, bytes);
        if (!IsClosed && TryForce(bytes, rootFloor, evenAtRoot: false))
        {
            return true;
        }

        Repay(bytes);
        return false;
    }

    // Takes off what is there, at most so much, and gives it back to the group.
    internal long ReturnUpTo(long bytes)
    {
        long part = Math.Max(0, Subtract(0, bytes));
        GiveBack(part);
        return part;
    }

    // Under the root's guard.
    internal bool TryPutAwayLocked() => Interlocked.CompareExchange(ref _drawn, PutAway, 0) == 0;

    // Under the root's guard, which is where books are put away: whatever else they are, they are not now.
    internal bool TryTakeUpLocked(long bytes) =>
        Interlocked.CompareExchange(ref _drawn, bytes, PutAway) == PutAway || TryAddDrawn(bytes);

    // Moves bytes that this member already holds to other books of the same group: nothing is charged anew, so it
    // cannot be refused. False when either side is closed, or these books do not hold as much.
    internal bool TryMoveTo(MemberBooks other, long bytes)
    {
        if (other.Group != Group || Subtract(bytes, bytes) != bytes)
        {
            ReportIfLacking(bytes);
            return false;
        }

        // An overdraft goes with the bytes, or a victim could have it repaid by handing them on and overdraw again. It
        // is there before them, so that returning them repays it.
        long overdraft = TakeOverdraft(bytes);
        Interlocked.Add(ref other._overdraft, overdraft);

        // The bytes are taken off here before they are added there: were they in both, two exits at this moment would
        // return them twice.
        if (other.TryAddDrawn(bytes))
        {
            return true;
        }

        // What the other's exit has not repaid belongs to these bytes again, and is there before them again.
        Interlocked.Add(ref _overdraft, other.TakeOverdraft(overdraft));
        if (!TryAddDrawn(bytes))
        {
            GiveBack(bytes);
        }

        return false;
    }

    // The member exits, which is written already, so none of its cells is opened again. What is idle goes back first:
    // it is nothing that was left behind. Then whatever is left goes back, once. Answers how much that was; a charge
    // that comes in between counts as made before the exit.
    internal long Close()
    {
        Group.Root.Stocks.Remove(this);
        long left = Math.Max(0, Interlocked.Exchange(ref _drawn, Closed));

        // The counter first: the reserve must not be lent again while these bytes still stand above the limit.
        Group.Counter.Uncharge(left);
        Repay(long.MaxValue);
        return left;
    }

    // The counter first, as in Close.
    private void GiveBack(long bytes)
    {
        Group.Counter.Uncharge(bytes);
        Repay(bytes);
    }

    // The caller confirms the score.
    private bool TryDraw(long bytes, bool fetches, long rootFloor, out UsageCounter? refused)
    {
        // Only what the cell lacks: charges larger than its content would else fill it by a quantum each.
        long quantum = fetches ? Math.Max(0, Quantum(bytes) - _stock.Own.Held) : 0;
        if (!Group.Stock.TryDraw(bytes, quantum, rootFloor, out long drawn, out refused))
        {
            return false;
        }

        if (!TryRaiseDrawn(drawn))
        {
            Group.Counter.Uncharge(drawn);
            return false;
        }

        Member.ShowScore();
        Deposit(drawn - bytes);
        if (!fetches)
        {
            TryOpenStock();
        }

        return true;
    }

    private bool TryAddDrawn(long bytes)
    {
        if (!TryRaiseDrawn(bytes))
        {
            return false;
        }

        Member.PublishScore();
        return true;
    }

    // The caller publishes the score.
    private bool TryRaiseDrawn(long bytes)
    {
        long seen = Volatile.Read(ref _drawn);
        while (seen >= 0)
        {
            long was = Interlocked.CompareExchange(ref _drawn, seen + bytes, seen);
            if (was == seen)
            {
                return true;
            }

            seen = was;
        }

        return seen == PutAway && Member.TryTakeUpAgain(this, bytes);
    }

    // True: the caller gives these bytes back to the group. False: there is nothing left to do. What these books lack
    // is in other books of the same member, if it has moved: its raw uncharges took from here what was charged there.
    private bool TrySubtractDrawn(long bytes, bool confirms = false)
    {
        if (Subtract(bytes, bytes, confirms) == bytes)
        {
            return true;
        }

        if (Member.HasMoved)
        {
            Member.ReturnToAny(bytes - ReturnUpTo(bytes));
        }

        ReportIfLacking(bytes);
        return false;
    }

    // No error when the books are closed; nor when the member has moved, for its other books may have it.
    private void ReportIfLacking(long bytes)
    {
        if (Volatile.Read(ref _drawn) is >= 0 and var drawn && bytes > drawn && !Member.HasMoved)
        {
            Group.Root.Books.Report(
                $"member '{Member.Path}' uncharged {bytes} bytes but has only {drawn}; nothing was uncharged");
        }
    }

    // Takes off what is there, at most so much; -1 when that is less than the least, or the books are closed. Who
    // confirms the score shows it only.
    private long Subtract(long atLeast, long bytes, bool confirms = false)
    {
        long seen = Volatile.Read(ref _drawn);
        while (seen >= atLeast)
        {
            long part = Math.Min(seen, bytes);
            long was = Interlocked.CompareExchange(ref _drawn, seen - part, seen);
            if (was == seen)
            {
                if (confirms)
                {
                    Member.ShowScore();
                }
                else
                {
                    Member.PublishScore();
                }

                if (seen == part && Member.Books != this)
                {
                    Member.PutAwayIfEmpty(this);
                }

                return part;
            }

            seen = was;
        }

        return -1;
    }

    private void Repay(long atMost) => Group.Root.Reserve.Return(TakeOverdraft(atMost));

    private long TakeOverdraft(long atMost)
    {
        long seen = Volatile.Read(ref _overdraft);
        while (seen > 0)
        {
            long part = Math.Min(seen, atMost);
            long was = Interlocked.CompareExchange(ref _overdraft, seen - part, seen);
            if (was == seen)
            {
                return part;
            }

            seen = was;
        }

        return 0;
    }
}
