// The second tier of stock: per-CPU cells of a group, from which its members' cells are refilled.
//
// Short-lived members of one group (queries of a session) would each have to walk to the root for their first bytes;
// the group's cells spare them that. A cell is chosen by the CPU that happens to run: only a hint, the cells are
// atomic, so a thread that moves between the choice and the use is harmless. One walk fetches three quarters of a
// batch, so that a group that only grows strands a batch for each CPU together with what its members keep; a cell that
// holds more than two batches returns down to one. Nearly a batch of traffic lies between two walks either way.
//
// A batch for each CPU is set aside for members that use little: their first quanta are larger than a sixteenth of what
// they use. While the group has few members it is cut into as many shares; when it has more than there are shares, it
// is cut anew, into twice as many, and all of them give back what they hold by the old ones. Who has nothing of its own
// in use gets no more than it would with many members: a share is for who works.
//
// Must stay true: what the cells hold is charged to this group and to all above it. The batch follows the smallest
// limit on the path, Max or High (limit / (16 * slots), at most 256 KiB, nothing below 16 KiB), so what a group can
// strand is bounded by 2 * batch * slots, an eighth of that limit; it is visible as UsageUpper - UsageLower. The shares
// together are batch * slots at most while all cells are full. (Who drew at the moment of the cut may fill a cell by
// the old share once more, until that cell is used again.)
using System.Numerics;

namespace MemoryGroups;

internal sealed class GroupStock(MemoryGroup group) : StockHolder(group)
{
    internal const long LargestBatch = 256 * 1024;

    private const long SmallestBatch = 16 * 1024;

    // Stocks pay only when a group is used more than a few times; idle groups allocate no cells.
    private const int WalksBeforeStock = 4;

    private StockCell[]? _cells;
    private int _walks;

    // A power of two. Racy on purpose: who reads the number of members again finds a wrong one.
    private int _shares = LeastShares;

    internal static int Slots { get; } =
        (int)Math.Min(16, BitOperations.RoundUpToPowerOf2((uint)Environment.ProcessorCount));

    // So few members, or cells of members, that each may have a thirty-second of a batch whatever it uses.
    private static int MostShares => 16 * Slots;

    // With fewer none would be larger: a quantum is a quarter of a batch at most.
    private static int LeastShares => 2 * Slots;

    // Where this CPU's part of so many is, a power of two of them. A thread may be on another CPU before it uses the
    // answer: a hint, no more.
    internal static int SlotOfThisCpu(int slots) => Thread.GetCurrentProcessorId() & (slots - 1);

    // This CPU's cell may give or take.
    internal bool IsOpenHere =>
        Volatile.Read(ref _cells) is { } cells && !StockCell.ForThisCpu(cells).IsPoisoned;

    internal override long Held
    {
        get
        {
            long held = 0;
            StockCell[]? cells = Volatile.Read(ref _cells);
            for (int i = 0; cells is not null && i < cells.Length; i++)
            {
                held += cells[i].Held;
            }

            return held;
        }
    }

    private static long BatchFor(long smallestLimitOnPath)
    {
        long batch = Math.Min(LargestBatch, smallestLimitOnPath / (16 * Slots));
        return batch < SmallestBatch ? 0 : batch;
    }

    // One byte, given as an option, means none; more than the limits on the path bear is allowed to nobody.
    internal static long FindBatch(MemoryGroup group)
    {
        long smallest = long.MaxValue;
        long most = long.MaxValue;
        for (MemoryGroup? at = group; at is not null; at = at.Parent)
        {
            smallest = Math.Min(smallest, Math.Min(at.Counter.Limit, at.High));
            most = Math.Min(most, at.OwnBatchBytes is 1 ? 0 : at.OwnBatchBytes ?? long.MaxValue);
        }

        return Math.Min(BatchFor(smallest), most);
    }

    // What a member's cell may fetch ahead although that is more than a sixteenth of what the member uses. Half of what
    // it uses, so that it does not outlive the use; full cells hold two quanta, and those of a wide member twice that.
    internal long SmallQuantum(long uses, int cells)
    {
        long batch = Group.BatchBytes;
        long members = Group.MemberRoster.Count;
        if (members * cells > MostShares)
        {
            return 0;
        }

        long parts = cells == 1 ? 2 : 4L * cells;
        long share = Slots * batch / (parts * Math.Max(members, Volatile.Read(ref _shares)));
        return Math.Max(cells == 1 ? batch / 32 : batch / 64, Math.Min(share, uses / parts));
    }

    // Before anybody fetches: there may be more members than shares. Fewer shares again only when there are far fewer
    // members, or who comes and goes would have them cut anew each time.
    internal void CutShares()
    {
        int members = Group.MemberRoster.Count;
        int shares = Volatile.Read(ref _shares);
        if (members > shares && members <= MostShares)
        {
            CutShares(members);
        }
        else if (members <= shares / 4 && shares > LeastShares)
        {
            Volatile.Write(ref _shares, shares / 2);
        }
    }

    // Draws at least `bytes`, with `quantum` on top where that is to be had; steps 1 to 3 of a charge (M8):
    // this CPU's stock, a batch, exactly what was asked for.
    internal bool TryDraw(long bytes, long quantum, long rootFloor, out long drawn, out UsageCounter? refused)
    {
        long wanted = bytes + quantum;
        StockCell[]? cells = Volatile.Read(ref _cells);
        int slot = cells is null ? 0 : SlotOfThisCpu(cells.Length);
        if (cells is not null && cells[slot].TryTake(wanted))
        {
            drawn = wanted;
            refused = null;
            return true;
        }

        long batch = Group.BatchBytes;
        if (cells is not null && batch > 0 && wanted <= batch && !cells[slot].IsPoisoned
            && Group.Counter.TryCharge(wanted + RefillOf(batch), rootFloor, out refused))
        {
            drawn = wanted;
            DepositOrReturn(ref cells[slot], RefillOf(batch));
            return true;
        }

        drawn = wanted;
        if (quantum > 0 && Group.Counter.TryCharge(wanted, rootFloor, out refused))
        {
            NoteWalk(batch);
            return true;
        }

        drawn = bytes;
        bool fits = Group.Counter.TryCharge(bytes, rootFloor, out refused);
        if (fits)
        {
            NoteWalk(batch);
        }

        return fits;
    }

    // Takes bytes back that are charged to the group; what the cell may not keep goes to the counters.
    internal void Return(long bytes)
    {
        StockCell[]? cells = Volatile.Read(ref _cells);
        if (cells is null)
        {
            Group.Counter.Uncharge(bytes);
            return;
        }

        ref StockCell cell = ref StockCell.ForThisCpu(cells);
        long now = cell.Add(bytes);
        long batch = Group.BatchBytes;
        if (now < 0)
        {
            cell.TakeBack(bytes);
            Group.Counter.Uncharge(bytes);
        }
        else if (now > 2 * batch)
        {
            Group.Counter.Uncharge(cell.TakeDownTo(batch));
        }
    }

    internal override long DrainLocked()
    {
        long drained = 0;
        for (int i = 0; _cells is not null && i < _cells.Length; i++)
        {
            drained += _cells[i].Drain();
        }

        return drained;
    }

    internal override bool TryOpenLocked(StockRoom room)
    {
        StockCell[] cells = _cells ?? StockCell.NewPoisoned(Slots);
        bool opened = false;
        for (int i = 0; i < cells.Length; i++)
        {
            opened |= cells[i].TryOpen();
        }

        Volatile.Write(ref _cells, cells);
        return opened;
    }

    // Cut first: who fetches from now on goes by the new shares.
    private void CutShares(int members)
    {
        StockLedger stocks = Group.Root.Stocks;
        Volatile.Write(ref _shares, (int)BitOperations.RoundUpToPowerOf2((uint)members));
        foreach (MemoryMember? member in Group.MemberRoster.Read())
        {
            if (member?.Books is { IsListed: true } books)
            {
                stocks.Remove(books);
            }
        }
    }

    private static long RefillOf(long batch) => batch - (batch / 4);

    private void DepositOrReturn(ref StockCell cell, long bytes)
    {
        if (!cell.TryDeposit(bytes))
        {
            Group.Counter.Uncharge(bytes);
        }
    }

    // Racy on purpose: a walk counted twice or not at all only moves the moment at which the stock opens.
    private void NoteWalk(long batch)
    {
        if (batch > 0 && !IsListed && ++_walks >= WalksBeforeStock)
        {
            _walks = 0;
            Group.Root.Stocks.TryOpen(this, StockRoom.Ample);
        }
    }
}
