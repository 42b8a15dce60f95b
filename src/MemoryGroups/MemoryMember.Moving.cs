// Moving a member to another group: it belongs there from then on, and what it has charged stays where it was charged.
//
// The member gets other books, bound to the new group. The ones it leaves stay linked here, and to their group, for as
// long as they hold bytes; leases and accounts keep the books they charged, so their bytes go back to the recorded
// owner. A charge under way at the move (asleep, reclaiming, or between two instructions) was begun before it: it is a
// request of the old group's path until it ends, and its bytes are charged there.
//
// A raw uncharge cannot say which books it means. It takes from the oldest books that hold something, and what one
// lacks comes from the others: the sum over all books is what the member holds, to the byte; only which of its groups a
// mixture of raw pairs and leases is charged to is approximate.
//
// Must stay true: while books that were left hold bytes, no cell of this member is open (a raw uncharge into an open
// cell would make stock of bytes that another group is charged for). So a cell is drained, and kept shut, before books
// are left or taken up again, and a ledger that opens one looks at both facts under its gate. A move, an exit, a kill
// and the lists of left books are decided under the root's guard. Follows "Memory Ownership" in
// Documentation/admin-guide/cgroup-v2.rst.
namespace MemoryGroups;

public sealed partial class MemoryMember
{
    private static readonly MemberBooks[] None = [];

    private MemoryGroup _group;
    private MemberBooks _books;

    // Oldest first. Replaced under the root's guard, read without it.
    private MemberBooks[] _left = None;
    private int _shut;
    private bool _hasMoved;

    internal bool HasMoved => Volatile.Read(ref _hasMoved);

    internal bool HasLeftBooks => Volatile.Read(ref _left).Length > 0;

    internal ReadOnlySpan<MemberBooks> LeftBooks => Volatile.Read(ref _left);

    private bool IsShut => Volatile.Read(ref _shut) > 0;

    /// <summary>
    /// Moves this member to another group: new charges go there. What it has charged stays charged where it was and
    /// goes back there when it is returned, so the move itself fits always, kills nobody, and frees nothing in the old
    /// group. Charges that wait at this moment stay requests of the old group.
    /// </summary>
    /// <remarks>
    /// Leases and accounts return their bytes to the group that was charged. <see cref="Uncharge"/> does not say which
    /// bytes it means: the group that was left first is relieved first, and the totals are exact. Until everything is
    /// returned that was charged before the move, the member keeps no pre-charged stock and charges a little slower.
    /// </remarks>
    /// <param name="to">The group it belongs to from then on: of the same root. Its own group changes nothing.</param>
    /// <returns>
    /// False when it was killed, is finishing (<see cref="BeginExit"/>), or shares the memory of a victim: those stay
    /// where they are.
    /// </returns>
    /// <exception cref="ArgumentNullException"><paramref name="to"/> is null.</exception>
    /// <exception cref="ArgumentException"><paramref name="to"/> is of another root.</exception>
    /// <exception cref="ObjectDisposedException">This member has exited, or a group is closed.</exception>
    public bool MoveTo(MemoryGroup to)
    {
        ArgumentNullException.ThrowIfNull(to);
        if (to.Root != Root)
        {
            throw new ArgumentException(
                $"'{to.Path}' is a group of another root than '{Path}'; make a member there instead.", nameof(to));
        }

        var fresh = new MemberBooks(this, to);
        MemberBooks left;
        MakePressure(to);
        Interlocked.Increment(ref _shut);
        try
        {
            Root.Stocks.Remove(_books);
            using (Root.EnterGuard())
            {
                Gone.ThrowIf(_exited || _group.IsClosed, this);
                Gone.ThrowIf(to.IsClosed, to);
                if (IsDying || Space.IsVictim)
                {
                    return false;
                }

                if (to == _group)
                {
                    return true;
                }

                left = MoveLocked(to, fresh);
            }
        }
        finally
        {
            Interlocked.Decrement(ref _shut);
        }

        PublishScore();

        // Whoever empties them later puts them away; who did so before they were left could not see that.
        PutAwayIfEmpty(left);
        return true;
    }

    // A raw uncharge, or what some books lack of an exact one.
    internal void ReturnToAny(long bytes)
    {
        // Once is enough unless others return and charge at the same time.
        for (int tries = 0; bytes > 0 && tries < 8; tries++)
        {
            foreach (MemberBooks books in LeftBooks)
            {
                bytes -= books.ReturnUpTo(bytes);
            }

            bytes -= _books.ReturnUpTo(bytes);
        }

        if (bytes > 0 && !IsExited)
        {
            Root.Books.Report($"member '{Path}' uncharged {bytes} bytes more than it has in all its groups");
        }
    }

    // Books that were left hold nothing any more: the member may stock up again, and a closed group is let go.
    internal void PutAwayIfEmpty(MemberBooks books)
    {
        using (Root.EnterGuard())
        {
            if (books != _books && books.TryPutAwayLocked())
            {
                UnlinkLocked(books);
            }
        }
    }

    // A charge that began before a move ends after its books were put away. The cell is drained before the books hold
    // bytes again, and before the charge returns.
    internal bool TryTakeUpAgain(MemberBooks books, long bytes)
    {
        Interlocked.Increment(ref _shut);
        try
        {
            Root.Stocks.Remove(_books);
            using (Root.EnterGuard())
            {
                if (_exited || !books.TryTakeUpLocked(bytes))
                {
                    return false;
                }

                if (!_left.Contains(books))
                {
                    LinkLocked(books);
                }

                PublishScore();
                return true;
            }
        }
        finally
        {
            Interlocked.Decrement(ref _shut);
        }
    }

    // The exit: what is left in all books goes back. Nobody adds to the list once the exit is written.
    private long CloseBooks()
    {
        MemberBooks[] left;
        using (Root.EnterGuard())
        {
            left = _left;
            foreach (MemberBooks books in left)
            {
                UnlinkLocked(books);
            }
        }

        long bytes = _books.Close();
        foreach (MemberBooks books in left)
        {
            bytes += books.Close();
        }

        return bytes;
    }

    private long UsageEverywhere()
    {
        MemberBooks current = Volatile.Read(ref _books);
        long usage = current.Usage;
        foreach (MemberBooks books in LeftBooks)
        {
            usage += books == current ? 0 : books.Usage;
        }

        return usage;
    }

    // Answers the books that were left. Back in a group where it still has bytes, the member goes on in its books
    // there: their number is bounded by that of the groups. In the middle of it some books are both left and current,
    // never neither: a raw uncharge that looks then would not find what they hold.
    private MemberBooks MoveLocked(MemoryGroup to, MemberBooks fresh)
    {
        MemberBooks left = _books;
        MemberBooks next = Array.Find(_left, books => books.Group == to) ?? fresh;

        // What may fail for want of memory comes first: half moved it would be in no group's list, and never killed.
        to.MemberRoster.MakeRoomLocked();
        LinkLocked(left);
        _group.MemberRoster.RemoveLocked(this);
        to.MemberRoster.AddLocked(this);
        Volatile.Write(ref _hasMoved, true);
        Volatile.Write(ref _group, to);
        RecountLocked();

        // A full fence: who returns the last bytes of the left books looks here afterwards, and we look there.
        Interlocked.Exchange(ref _books, next);
        if (next != fresh)
        {
            UnlinkLocked(next);
        }

        return left;
    }

    private void LinkLocked(MemberBooks books)
    {
        MemberBooks[] left = [.. _left, books];
        books.Group.FirstOpen().AddLeftLocked(books);
        Volatile.Write(ref _left, left);
    }

    private void UnlinkLocked(MemberBooks books)
    {
        MemberBooks[] rest = [.. _left.Where(one => one != books)];
        Volatile.Write(ref _left, rest.Length == 0 ? None : rest);
        for (MemoryGroup? at = books.Group; at is not null && !at.RemoveLeftLocked(books); at = at.Parent)
        {
        }
    }
}
