// What one pool keeps: arrays that came back, still charged, for the next renter on the same thread.
//
// They are idle bytes like stock, and hang on the same hook: a size is opened, for one thread, only where the member's
// stock is open and there is ample room, and all is shut and given back wherever that stock is drained: before anybody
// is refused, reclaimed, put to sleep or killed; when the member is killed, moves, or exits. So no idle array is ever a
// reason for any of these, and none is left charged in a group that the member has left.
//
// Each open size counts as full until it is shut, so renting and returning counts nothing. All of them below one group
// together are bounded by a batch for each CPU, a sixteenth of the smallest limit on its path, whatever the number of
// pools, members and threads; a limit without a batch has none. Whoever opens first has it, so when others were turned
// away often enough all of the group begin anew: what is used is open again at once. Slots of threads that ended are
// given back when another thread opens one, and with all others.
//
// Must stay true: the pool's lease covers what is out and what is kept; what is taken from a slot is uncharged once, by
// who took it; nothing is opened while somebody takes. State is guarded by the ledger's gate; arrays are taken, and
// bytes uncharged, after it.
using System.Numerics;

namespace MemoryGroups;

internal sealed class KeptArrays
{
    private const long LargestBytes = 64 * 1024;

    // So many are turned away in one group before all of it begins anew.
    private const int MostTurnedAway = 256;

    private static long _pools;

    private readonly MemoryCharge _charge;
    private readonly int _elementBytes;
    private readonly int _overhead;
    private KeptSlots[] _slots = [];
    private MemberBooks? _books;
    private int _takers;

    internal KeptArrays(MemoryCharge charge, int elementBytes, int overhead)
    {
        _charge = charge;
        _elementBytes = elementBytes;
        _overhead = overhead;
    }

    // Nobody can reach the pool any more, and it was not ended: its whole root was forgotten. Threads live on.
    ~KeptArrays()
    {
        foreach (KeptSlots slots in _slots)
        {
            slots.IsOver = true;
            slots.TakeAll();
        }
    }

    // Never 0, which is that of a pool that keeps nothing yet.
    internal long Id { get; } = Interlocked.Increment(ref _pools);

    internal MemberBooks Wanted => _charge.Member.Books;

    // What lies idle now, in bytes.
    internal long Bytes
    {
        get
        {
            long bytes = 0;
            foreach (KeptSlots slots in Volatile.Read(ref _slots))
            {
                bytes += BytesOf(slots.Idle);
            }

            return bytes;
        }
    }

    private StockLedger Ledger => _charge.Member.Root.Stocks;

    internal static bool MayKeep(int length, int elementBytes) =>
        length >= KeptSlots.LengthOf(0) && BitOperations.IsPow2(length) && (long)length * elementBytes <= LargestBytes;

    // This thread's slots, with that size open; null when it may not be.
    internal KeptSlots? TryOpen(int sizeClass)
    {
        // A look without the gate, and before any slots are made: near a limit they would be for nothing.
        MemoryGroup group = Wanted.Group;
        if (!Ledger.HasAmpleRoom(group))
        {
            return null;
        }

        if (!HasRoomIn(group, sizeClass))
        {
            // Racy on purpose: it only moves the moment.
            if (group.StockLinks is { } links && unchecked(++links.TurnedAway) % MostTurnedAway == 0)
            {
                Ledger.TakeBackKept(group);
            }

            return null;
        }

        KeptSlots? slots = KeptSlots.Of(Id);
        if (slots is null)
        {
            slots = new KeptSlots(Id);
            if (!KeptSlots.TryAdd(slots))
            {
                return null;
            }
        }

        if (!Ledger.TryOpen(this, slots, sizeClass))
        {
            return null;
        }

        slots.MayHold = true;
        return slots;
    }

    // The owner found itself shut: until it opens a size again there is nothing more to give back than this once.
    internal void GiveBackOwn(KeptSlots slots)
    {
        if (slots.MayHold)
        {
            slots.MayHold = false;
            GiveBack(slots);
        }
    }

    // By the owner, or when it has ended. On their way the bytes are no reason to refuse anybody.
    internal void GiveBack(KeptSlots slots)
    {
        StockMoves moves = Ledger.Moves;
        int move = moves.Begin();
        _charge.ShrinkToGroup(BytesOf(slots.TakeAll()));
        moves.End(move);
    }

    // What was shut together is taken back together, after the gate, behind one barrier. Answers what came back.
    internal static long TakeBack(List<KeptArrays>? shut)
    {
        long bytes = 0;
        if (shut is not null)
        {
            Interlocked.MemoryBarrierProcessWide();
            foreach (KeptArrays kept in shut)
            {
                bytes += kept.TakeBack();
            }
        }

        return bytes;
    }

    // The lease is disposed. No barrier: what is taken here goes to nobody, and uncharges nothing.
    internal void End()
    {
        GC.SuppressFinalize(this);
        Ledger.End(this);
        foreach (KeptSlots slots in _slots)
        {
            slots.TakeAll();
        }
    }

    // False when the pool is disposed; that may be before it began to keep.
    internal bool TryListLocked(KeptSlots slots)
    {
        if (_charge.IsDisposed)
        {
            slots.IsOver = true;
            return false;
        }

        if (!slots.IsListed)
        {
            slots.IsListed = true;
            Volatile.Write(ref _slots, [.. _slots, slots]);
        }

        return true;
    }

    internal bool TryOpenLocked(MemberBooks books, KeptSlots slots, int sizeClass)
    {
        if (Volatile.Read(ref _takers) > 0 || !HasRoomIn(books.Group, sizeClass))
        {
            return false;
        }

        books.StartKeepingLocked(this);
        _books = books;
        slots.Open |= 1u << sizeClass;
        books.Group.StockLinks!.Kept += BytesOf(1u << sizeClass);
        return true;
    }

    // Whoever shuts takes what is there, or lets it be taken, by TakeBack.
    internal void ShutLocked()
    {
        foreach (KeptSlots slots in _slots)
        {
            ShutLocked(slots);
        }

        _books = null;
        Interlocked.Increment(ref _takers);
    }

    // Those of threads that have ended leave the list.
    internal List<KeptSlots>? RemoveEndedLocked()
    {
        List<KeptSlots>? ended = null;
        foreach (KeptSlots slots in _slots)
        {
            if (!slots.IsOfLivingThread)
            {
                ShutLocked(slots);
                (ended ??= []).Add(slots);
            }
        }

        if (ended is not null)
        {
            Volatile.Write(ref _slots, [.. _slots.Except(ended)]);
        }

        return ended;
    }

    internal void EndLocked()
    {
        _books?.StopKeepingLocked(this);
        ShutLocked();
        foreach (KeptSlots slots in _slots)
        {
            slots.IsOver = true;
        }
    }

    private bool HasRoomIn(MemoryGroup group, int sizeClass) =>
        group.StockLinks is { } links
        && Volatile.Read(ref links.Kept) + BytesOf(1u << sizeClass) <= group.BatchBytes * GroupStock.Slots;

    private void ShutLocked(KeptSlots slots)
    {
        if (slots.Open is not 0 and var open)
        {
            _books!.Group.StockLinks!.Kept -= BytesOf(open);
            slots.Open = 0;
        }
    }

    private long TakeBack()
    {
        long bytes = 0;
        foreach (KeptSlots slots in Volatile.Read(ref _slots))
        {
            bytes += BytesOf(slots.TakeFromOwner());
        }

        Interlocked.Decrement(ref _takers);
        _charge.ShrinkToGroup(bytes);
        return bytes;
    }

    private long BytesOf(uint classes)
    {
        long bytes = 0;
        for (; classes != 0; classes &= classes - 1)
        {
            int sizeClass = BitOperations.TrailingZeroCount(classes);
            bytes += ((long)KeptSlots.LengthOf(sizeClass) * _elementBytes) + _overhead;
        }

        return bytes;
    }
}
