// Opening and shutting the sizes that pools keep: under the gate of the stocks, because they are open where stock is.
namespace MemoryGroups;

internal sealed partial class StockLedger
{
    internal bool HasAmpleRoom(MemoryGroup group) => RoomFor(group) == StockRoom.Ample;

    // One size, for the thread that asks. Only where stock is open and could grow still; but the slots are listed in
    // any case, or nobody would tell them when the pool is over, and they would keep their place on the thread.
    internal bool TryOpen(KeptArrays kept, KeptSlots slots, int sizeClass)
    {
        MemberBooks books = kept.Wanted;
        List<KeptSlots>? ended;
        bool isOpen;

        // What ended threads kept is out of reach of a drain as soon as it leaves the list.
        int move = Moves.Begin();
        lock (_gate)
        {
            ended = kept.RemoveEndedLocked();
            isOpen = kept.TryListLocked(slots) && books.MayKeepArraysLocked
                && HasAmpleRoom(books.Group) && kept.TryOpenLocked(books, slots, sizeClass);
        }

        if (ended is null)
        {
            Moves.Cancel(move);
            return isOpen;
        }

        ended.ForEach(kept.GiveBack);
        Moves.End(move);
        return isOpen;
    }

    // What the pools of one group's members keep.
    internal void TakeBackKept(MemoryGroup group)
    {
        List<KeptArrays>? shut = null;
        int move = Moves.Begin();
        lock (_gate)
        {
            for (StockHolder? holder = group.StockLinks?.Holders; holder is not null; holder = holder.Next)
            {
                holder.ShutKeptLocked(ref shut);
            }
        }

        KeptArrays.TakeBack(shut);
        Moves.End(move);
    }

    internal void End(KeptArrays kept)
    {
        lock (_gate)
        {
            kept.EndLocked();
        }
    }
}
