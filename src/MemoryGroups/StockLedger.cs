// Who holds pre-charged stock, so that a refusal can take it back without walking the subtree.
//
// Each group lists its own holders (members' cells and the group's per-CPU cells) and those of its children below which
// somebody holds stock; a drain follows these lists only. A drained holder is poisoned and leaves the list, so that
// repeated refusals find an empty list and cost nothing.
//
// Must stay true: a holder whose cell is open is listed (it is listed first, opened second, both under the gate). A
// holder is opened only when every group on its path has room to spare and no waiter, and nobody asked for rest, and
// that is read under the gate: a waiter raises its count before it drains, so either the drain finds the holder or the
// holder finds the waiter.
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal abstract class StockHolder(MemoryGroup group)
{
    private bool _isListed;

    internal MemoryGroup Group { get; } = group;

    // Guarded by StockLedger's gate.
    internal StockHolder? Next { get; set; }

    internal StockHolder? Previous { get; set; }

    // Written under the gate. Read without it: that this holder may hold something, without touching its cells.
    internal bool IsListed
    {
        get => Volatile.Read(ref _isListed);
        set => Volatile.Write(ref _isListed, value);
    }

    internal abstract long Held { get; }

    // Takes everything out and leaves poison; the caller gives the bytes back to the group's counter.
    internal abstract long DrainLocked();

    // Shuts the arrays that pools keep on the strength of this stock; the caller takes them back after the gate.
    internal virtual void ShutKeptLocked(ref List<KeptArrays>? shut)
    {
    }

    // False when the holder is closed or a racing uncharge still holds the poisoned cell; it is tried again later.
    internal abstract bool TryOpenLocked(StockRoom room);
}

// How much room there is on a holder's path, at its narrowest place.
internal enum StockRoom
{
    // None, or somebody waits.
    None,

    // Enough to keep what comes back: who returns and charges again at the edge of a limit need not walk each time.
    Little,

    // For several batches everywhere, or stocks that fetch ahead would be drained as fast as they fill.
    Ample,
}

// A group's place in the lists; guarded by the gate. Made when something in its subtree first holds stock, and kept.
internal sealed class StockLinks
{
    internal StockHolder? Holders;
    internal MemoryGroup? Children;
    internal MemoryGroup? Next;
    internal MemoryGroup? Previous;
    internal bool IsListed;

    // What pools may keep idle here, in bytes; and how often one was turned away, which is not guarded.
    internal long Kept;
    internal uint TurnedAway;
}

internal sealed partial class StockLedger
{
    private readonly Lock _gate = new();

    // Charges that were refused for idle bytes again and again. While there is one, nobody stocks up.
    private int _resting;

    internal StockMoves Moves { get; } = new();

    internal void TryOpen(StockHolder holder, StockRoom least)
    {
        if (RoomFor(holder.Group) < least)
        {
            return;
        }

        lock (_gate)
        {
            StockRoom room = RoomFor(holder.Group);
            if (room < least)
            {
                return;
            }

            // Listed already: some of its cells may be shut still, or it was opened when there was little room.
            bool listed = holder.IsListed;
            if (!listed)
            {
                Link(holder);
            }

            if (!holder.TryOpenLocked(room) && !listed)
            {
                Unlink(holder);
                UnlistUpwards(holder.Group);
            }
        }
    }

    // Like a waiter's count: raised before the drain, read under the gate before anything is opened.
    internal void BeginRest() => Interlocked.Increment(ref _resting);

    internal void EndRest() => Interlocked.Decrement(ref _resting);

    // A member's threads collide on its single cell. What that cell held is stock of the new ones, or goes back.
    internal void Widen(MemberBooks books)
    {
        long held;
        int move = Moves.Begin();
        lock (_gate)
        {
            held = books.WidenLocked();
            StockRoom room = RoomFor(books.Group);
            if (books.IsListed && room > StockRoom.None)
            {
                books.TryOpenLocked(room);
            }
        }

        books.Deposit(held);
        Moves.End(move);
    }

    // The same, and waits for stock that is on its way at this moment.
    internal void DrainAll(MemoryGroup top)
    {
        Drain(top);
        Moves.Settle();
    }

    // Takes back all stock of the subtree, and the arrays that pools keep. The counters fall inside the gate, for those
    // arrays after it; thresholds are told, and sleepers woken, after it.
    internal long Drain(MemoryGroup top)
    {
        long drained = 0;
        List<UsageCounter>? crossed = null;
        List<KeptArrays>? shut = null;
        int taking = -1;
        lock (_gate)
        {
            MemoryGroup at = top;
            while (true)
            {
                while (at.StockLinks?.Holders is { } holder)
                {
                    int move = Moves.Begin();
                    Unlink(holder);
                    long bytes = holder.DrainLocked();
                    drained += bytes;
                    if (at.Counter.UnchargeQuietly(bytes))
                    {
                        (crossed ??= []).Add(at.Counter);
                    }

                    holder.ShutKeptLocked(ref shut);
                    if (shut is null || taking >= 0)
                    {
                        Moves.End(move);
                    }
                    else
                    {
                        taking = move;
                    }
                }

                if (at.StockLinks?.Children is { } child)
                {
                    at = child;
                    continue;
                }

                if (at == top)
                {
                    UnlistUpwards(top);
                    break;
                }

                UnlistIfEmpty(at);
                at = at.Parent!;
            }
        }

        if (shut is not null)
        {
            drained += KeptArrays.TakeBack(shut);
            Moves.End(taking);
        }

        crossed?.ForEach(static counter => counter.CheckThresholds());

        if (drained > 0)
        {
            top.Root.WaitQueue.WakeFitting(top);
        }

        return drained;
    }

    // A look without the gate, for those who only want to spare themselves a useless drain.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool MayHaveStock(MemoryGroup top) =>
        top.StockLinks is { } links && (links.Holders is not null || links.Children is not null);

    // Empties one holder; one that may not hold stock any more (a victim, closed books) is not opened again.
    internal void Remove(StockHolder holder)
    {
        long drained;
        List<KeptArrays>? shut = null;
        int move = Moves.Begin();
        lock (_gate)
        {
            if (holder.IsListed)
            {
                Unlink(holder);
                UnlistUpwards(holder.Group);
            }

            drained = holder.DrainLocked();
            holder.ShutKeptLocked(ref shut);
        }

        if (drained == 0 && shut is null)
        {
            Moves.Cancel(move);
            return;
        }

        holder.Group.Counter.Uncharge(drained);
        KeptArrays.TakeBack(shut);
        Moves.End(move);
    }

    // What the subtree holds in stock at this moment, at most.
    internal long HeldIn(MemoryGroup top)
    {
        long held = 0;
        lock (_gate)
        {
            MemoryGroup? at = top;
            while (at is not null)
            {
                for (StockHolder? holder = at.StockLinks?.Holders; holder is not null; holder = holder.Next)
                {
                    held += holder.Held;
                }

                at = at.StockLinks?.Children ?? NextAfter(at, top);
            }
        }

        return held;
    }

    private static MemoryGroup? NextAfter(MemoryGroup at, MemoryGroup top)
    {
        while (at != top)
        {
            if (at.StockLinks!.Next is { } sibling)
            {
                return sibling;
            }

            at = at.Parent!;
        }

        return null;
    }

    private StockRoom RoomFor(MemoryGroup group)
    {
        long batch = group.BatchBytes;
        if (batch == 0 || group.IsClosed || Volatile.Read(ref _resting) > 0)
        {
            return StockRoom.None;
        }

        long least = long.MaxValue;
        for (UsageCounter? level = group.Counter; level is not null; level = level.Parent)
        {
            if (level.Waiters > 0)
            {
                return StockRoom.None;
            }

            long belowHigh = level.Group.High - level.Usage;
            least = Math.Min(least, Math.Min(level.Room(group.Root.MinWatermark), belowHigh));
        }

        return least >= 4 * GroupStock.Slots * batch ? StockRoom.Ample
            : least >= batch / 8 ? StockRoom.Little
            : StockRoom.None;
    }

    private static void Link(StockHolder holder)
    {
        StockLinks links = LinksOf(holder.Group);
        holder.Next = links.Holders;
        holder.Previous = null;
        if (links.Holders is not null)
        {
            links.Holders.Previous = holder;
        }

        links.Holders = holder;
        holder.IsListed = true;

        for (MemoryGroup at = holder.Group; at.Parent is { } parent && !LinksOf(at).IsListed; at = parent)
        {
            StockLinks own = LinksOf(at);
            StockLinks above = LinksOf(parent);
            own.IsListed = true;
            own.Previous = null;
            own.Next = above.Children;
            if (own.Next is not null)
            {
                own.Next.StockLinks!.Previous = at;
            }

            above.Children = at;
        }
    }

    private static StockLinks LinksOf(MemoryGroup group) => group.StockLinks ??= new StockLinks();

    private static void Unlink(StockHolder holder)
    {
        StockLinks links = holder.Group.StockLinks!;
        if (holder.Previous is null)
        {
            links.Holders = holder.Next;
        }
        else
        {
            holder.Previous.Next = holder.Next;
        }

        if (holder.Next is not null)
        {
            holder.Next.Previous = holder.Previous;
        }

        holder.Next = holder.Previous = null;
        holder.IsListed = false;
    }

    // Takes this group out of its parent's list when nothing below it holds stock any more.
    private static bool UnlistIfEmpty(MemoryGroup group)
    {
        if (group.StockLinks is not { IsListed: true } own || own.Holders is not null || own.Children is not null)
        {
            return false;
        }

        if (own.Previous is null)
        {
            group.Parent!.StockLinks!.Children = own.Next;
        }
        else
        {
            own.Previous.StockLinks!.Next = own.Next;
        }

        if (own.Next is not null)
        {
            own.Next.StockLinks!.Previous = own.Previous;
        }

        own.Next = own.Previous = null;
        own.IsListed = false;
        return true;
    }

    private static void UnlistUpwards(MemoryGroup? from)
    {
        while (from is not null && UnlistIfEmpty(from))
        {
            from = from.Parent;
        }
    }
}
