// The second tier of stock: per-CPU cells of a group, from which its members' cells are refilled.
//
// Short-lived members of one group (queries of a session) would each have to walk to the root for their first bytes;
// the group's cells spare them that. A cell is chosen by the CPU that happens to run: only a hint, the cells are
// atomic, so a thread that moves between the choice and the use is harmless. One walk fetches three quarters of a
// batch, so that a group that only grows strands a batch for each CPU together with what its members keep; a cell that
// holds more than two batches returns down to one. Nearly a batch of traffic lies between two walks either way.
//
// Must stay true: what the cells hold is charged to this group and to all above it. The batch follows the smallest
// limit on the path, Max or High (limit / (16 * slots), at most 256 KiB, nothing below 16 KiB), so what a group can
// strand is bounded by 2 * batch * slots, an eighth of that limit; it is visible as UsageUpper - UsageLower.
namespace MemoryGroups;

internal sealed class GroupStock(MemoryGroup group) : StockHolder(group)
{
    internal const long LargestBatch = 256 * 1024;

    private const long SmallestBatch = 16 * 1024;

    // Stocks pay only when a group is used more than a few times; idle groups allocate no cells.
    private const int WalksBeforeStock = 4;

    private StockCell[]? _cells;
    private int _walks;

    internal static int Slots { get; } =
        (int)Math.Min(16, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Environment.ProcessorCount));

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

    // Draws at least `bytes`, with `quantum` on top where that is to be had; steps 1 to 3 of a charge (M8):
    // this CPU's stock, a batch, exactly what was asked for.
    internal bool TryDraw(long bytes, long quantum, long rootFloor, out long drawn, out UsageCounter? refused)
    {
        long wanted = bytes + quantum;
        StockCell[]? cells = Volatile.Read(ref _cells);
        if (cells is not null && StockCell.ForThisCpu(cells).TryTake(wanted))
        {
            drawn = wanted;
            refused = null;
            return true;
        }

        long batch = Group.BatchBytes;
        if (cells is not null && batch > 0 && wanted <= batch && !StockCell.ForThisCpu(cells).IsPoisoned
            && Group.Counter.TryCharge(wanted + RefillOf(batch), rootFloor, out refused))
        {
            drawn = wanted;
            DepositOrReturn(cells, RefillOf(batch));
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

    private static long RefillOf(long batch) => batch - (batch / 4);

    private void DepositOrReturn(StockCell[] cells, long bytes)
    {
        if (!StockCell.ForThisCpu(cells).TryDeposit(bytes))
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
