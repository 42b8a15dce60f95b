// The member's side of its stock: charging from it and uncharging into it, how much it keeps, and when it opens.
//
// With room on the path a draw fetches a quantum ahead. At the edge of a limit nothing is fetched ahead, but what comes
// back may stay: whoever returns and charges again and again walks once, not each time. Such a cell opens only after
// many draws, and a drain starts the count anew, so its part in a drain is paid for by those.
//
// Must stay true: the fast path is the single cell's, inlined into the verbs; all else is out of line. What the cells
// hold is bounded by a part of the member's usage, or of the group's batch, whatever the number of cells.
using System.Numerics;
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal sealed partial class MemberBooks
{
    private const long LargestQuantum = 64 * 1024;

    // At the edge of a limit a cell is opened after so many draws from the group: it will be drained soon.
    private const int DrawsBeforeLittle = 16;

    private MemberStock _stock = new();

    // What the member's pools keep here; null or empty for most. Guarded by the ledger's gate.
    private HashSet<KeptArrays>? _keeping;

    // Since the last drain. Racy on purpose; unsigned, because it may go round.
    private uint _draws;

    internal override long Held => _stock.Held;

    internal bool IsWide => _stock.IsWide;

    // What a single-owner account may keep for itself: nothing while we are under pressure.
    internal long AccountQuantum =>
        !IsListed || _stock.KeepsLittle ? 0 : Math.Min(LargestQuantum, Group.BatchBytes / 4);

    internal bool TryTake(long bytes) => _stock.TryTake(bytes);

    // From this CPU's cell alone. Answers how much: at least so much, or nothing.
    internal long TakeSome(long least, long most) => _stock.Own.TakeSome(least, most);

    internal bool TryChargeFast(long bytes) => _stock.TryTake(bytes) || TryChargeElsewhere(bytes);

    // For leases and accounts.
    internal void Uncharge(long bytes)
    {
        if (!_stock.TryPut(bytes, out long now))
        {
            UnchargeElsewhere(bytes, now, anyBooks: false);
        }
    }

    // For raw pairs, which cannot say which of the member's books they mean.
    internal void UnchargeAny(long bytes)
    {
        if (!_stock.TryPut(bytes, out long now))
        {
            UnchargeElsewhere(bytes, now, anyBooks: true);
        }
    }

    // When the books are closed already, Close has returned these bytes as part of `drawn`.
    internal override long DrainLocked()
    {
        long drained = _stock.DrainLocked();
        _draws = 0;
        return drained > 0 && TrySubtractDrawn(drained) ? drained : 0;
    }

    internal override bool TryOpenLocked(StockRoom room)
    {
        if (IsClosed || !Member.MayHoldStock || Member.Books != this
            || !_stock.TryOpenLocked(keepLittle: room == StockRoom.Little))
        {
            return false;
        }

        Quantum(0);
        return true;
    }

    internal bool MayKeepArraysLocked => IsListed && !IsClosed && Member.MayHoldStock && Member.Books == this;

    internal void StartKeepingLocked(KeptArrays kept) => (_keeping ??= []).Add(kept);

    internal void StopKeepingLocked(KeptArrays kept) => _keeping?.Remove(kept);

    internal override void ShutKeptLocked(ref List<KeptArrays>? shut)
    {
        if (_keeping is not { Count: > 0 } keeping)
        {
            return;
        }

        foreach (KeptArrays kept in keeping)
        {
            kept.ShutLocked();
        }

        (shut ??= []).AddRange(keeping);
        keeping.Clear();
    }

    internal long WidenLocked() => _stock.WidenLocked(GroupStock.Slots);

    internal void Deposit(long bytes)
    {
        if (bytes > 0 && !_stock.Own.TryDeposit(bytes) && TrySubtractDrawn(bytes))
        {
            Group.Counter.Uncharge(bytes);
        }
    }

    // Past the stock, for what was idle itself.
    internal void UnchargeToGroup(long bytes)
    {
        if (TrySubtractDrawn(bytes))
        {
            GiveBack(bytes);
        }
    }

    // The cells of a wide member, or after a collision. What it is called from decides whether it is inlined there.
    internal bool TryChargeElsewhere(long bytes)
    {
        bool taken = _stock.TryTakeElsewhere(bytes);
        if (taken && _stock.HasCollided)
        {
            Group.Root.Stocks.Widen(this);
        }

        return taken;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void UnchargeElsewhere(long bytes, long now, bool anyBooks)
    {
        // What was added to the single cell is taken back from there, whatever the member has become since.
        if (now == MemberStock.NotAdded && IsWide)
        {
            ref StockCell own = ref _stock.Own;
            if (!_stock.TryPut(ref own, bytes, out now))
            {
                UnchargeSlow(ref own, bytes, now, anyBooks);
            }
        }
        else
        {
            UnchargeSlow(ref _stock.Single, bytes, now, anyBooks);
        }
    }

    private void UnchargeSlow(ref StockCell cell, long bytes, long now, bool anyBooks)
    {
        if (now >= 0)
        {
            int move = Group.Root.Stocks.Moves.Begin();
            long excess = _stock.TakeDownTo(Quantum(0), ref cell);
            if (excess > 0 && TrySubtractDrawn(excess, confirms: true))
            {
                Group.Stock.Return(excess);
            }

            Group.Root.Stocks.Moves.End(move);
            Member.ConfirmScore();
            return;
        }

        if (now != MemberStock.NotAdded)
        {
            cell.TakeBack(bytes);
        }

        if (anyBooks && Member.HasLeftBooks)
        {
            Member.ReturnToAny(bytes);
        }
        else
        {
            UnchargeToGroup(bytes);
        }
    }

    // Looked for seldom, because a look reads the whole path and under pressure it is in vain.
    private void TryOpenStock()
    {
        uint draws = unchecked(++_draws);
        if (draws % DrawsBeforeLittle == 0 || (draws < DrawsBeforeLittle && BitOperations.IsPow2(draws)))
        {
            Group.Root.Stocks.TryOpen(this, draws < DrawsBeforeLittle ? StockRoom.Ample : StockRoom.Little);
        }
    }

    // A sixteenth of what the member uses, so that a full cell (two quanta) strands an eighth at most; small members
    // get more where the group can spare it (GroupStock.SmallQuantum), or a lone query would walk for each of its first
    // charges. With several cells each gets its part of half as much: they may hold twice that before they are taken
    // down together. The cells of other CPUs are not read for it; what these hold counts as used, which is why it is 36
    // and not 32.
    private long Quantum(long bytes)
    {
        long batch = Group.BatchBytes;
        int cells = _stock.Cells;
        (long uses, long part) = cells == 1
            ? (Usage + bytes, 16)
            : (Math.Max(0, Volatile.Read(ref _drawn) - _stock.Own.Held) + bytes, 36L * cells);
        long most = _stock.KeepsLittle ? batch / 32 : Math.Min(LargestQuantum, batch / 4);
        long quantum = Math.Min(most, uses / part);
        if (quantum < most)
        {
            quantum = Math.Min(most, Math.Max(quantum, Group.Stock.SmallQuantum(uses, cells)));
        }

        _stock.Keep(quantum);
        return quantum;
    }
}
