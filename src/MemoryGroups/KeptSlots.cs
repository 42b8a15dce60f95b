// The idle arrays of one pool on one thread: one for each size, taken and put back without a locked instruction.
//
// Only their thread uses them. Who takes them back (a drain, the end of the pool) is another thread, and pays for both:
//
//   the thread      busy = true; is the size open?; take or put; busy = false; is it shut now?
//   the taker       shuts all sizes; a barrier in all threads of the process; not busy: it takes what is there
//
// Without the barrier both could look before either write is seen. With it, each thread has either written that it is
// busy before the barrier, and the taker sees that, or looks after it and finds the size shut. Nothing that belongs to
// a use leaks out of it: busy is written and read as volatile, whose order the compiler must keep (side effects of
// ECMA-335, I.12.6.4), a plain read of a slot stays behind the volatile one of the sizes, and a plain write before the
// volatile one that ends the use. Whoever is found busy is in a use that had not ended at the barrier, or began after
// it: what it reads at its end comes after the barrier, so it finds itself shut, and gives everything back by itself.
// The taker waits for it a moment only.
// Wrong at most: a thread that lost its core in the middle of those ten instructions has up to its slots' bytes still
// charged when the taker goes on, and whoever was refused for them is refused; they go back as soon as it runs again.
//
// A thread finds its slots through a table of its own by the number of the pool, unless they are those it used last. It
// holds no pool: neither lives longer for the other, and the slots of a pool that is over hold nothing and give way to
// others.
//
// Must stay true: `open` is written under the ledger's gate, and raised by the owning thread only, while nobody takes;
// outside a use of the owner, all that lies idle leaves by one exchange of its bits, so each array leaves once.
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal sealed class KeptSlots
{
    // Lengths of 16, 32, 64 ... 65,536 elements.
    internal const int Classes = 13;

    private const int SmallestShift = 4;

    // Beyond it a pool whose number meets another's keeps nothing on this thread.
    private const int LargestTable = 1024;

    [ThreadStatic]
    private static KeptSlots?[]? _table;

    // Of these, the ones that were used last.
    [ThreadStatic]
    private static KeptSlots? _last;

    [ThreadStatic]
    private static WeakReference<Thread>? _thisThread;

    private readonly long _pool;
    private readonly WeakReference<Thread> _owner;
    private uint _open;
    private bool _busy;
    private bool _isOver;
    private uint _idle;
    private Arrays _arrays;

    internal KeptSlots(long pool)
    {
        _pool = pool;
        _owner = _thisThread ??= new WeakReference<Thread>(Thread.CurrentThread);
    }

    internal bool IsShut => Volatile.Read(ref _open) == 0;

    // Its thread is in the middle of a use.
    internal bool IsBusy
    {
        get => Volatile.Read(ref _busy);
        set => Volatile.Write(ref _busy, value);
    }

    // Bit by bit the sizes that may be kept. Written under the ledger's gate.
    internal uint Open
    {
        get => Volatile.Read(ref _open);
        set => Volatile.Write(ref _open, value);
    }

    // Bit by bit the sizes of which an array lies here. One that is out may still be known: when it comes back, which
    // is what nearly always happens, a bit says so, and no reference is written. (One that comes back elsewhere is held
    // in memory until then; its open size counts for it.)
    internal uint Idle => IsOver ? 0 : Volatile.Read(ref _idle);

    internal bool IsOpen(int sizeClass) => ((Open >> sizeClass) & 1) != 0;

    // Its pool is over. Written under the ledger's gate, or when nobody uses the pool any more.
    internal bool IsOver
    {
        get => Volatile.Read(ref _isOver);
        set => Volatile.Write(ref _isOver, value);
    }

    // It was open since the owner gave back last. The owner's own.
    internal bool MayHold { get; set; }

    // Its pool knows it. Guarded by the ledger's gate.
    internal bool IsListed { get; set; }

    internal bool IsOfLivingThread => _owner.TryGetTarget(out Thread? owner) && owner.IsAlive;

    // The smallest class that has so many elements; one that is never open for lengths that have none.
    internal static int ClassFor(int length) =>
        unchecked(System.Numerics.BitOperations.Log2((uint)(length - 1) | 15) - (SmallestShift - 1));

    internal static int LengthOf(int sizeClass) => unchecked(1 << (sizeClass + SmallestShift));

    // This thread's slots of a pool; null when it has none.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static KeptSlots? Of(long pool) => _last is { } last && last._pool == pool ? last : Find(pool);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static KeptSlots? Find(long pool)
    {
        if (_table is { } table && table[PlaceOf(pool, table)] is { } slots && slots._pool == pool)
        {
            return _last = slots;
        }

        return null;
    }

    private static int PlaceOf(long pool, KeptSlots?[] table) => unchecked((int)pool & (table.Length - 1));

    // Into this thread's table. False when it would have to grow beyond reason.
    internal static bool TryAdd(KeptSlots slots)
    {
        KeptSlots?[] table = _table ??= new KeptSlots?[4];
        while (table[PlaceOf(slots._pool, table)] is { IsOver: false })
        {
            if (table.Length == LargestTable)
            {
                return false;
            }

            // Numbers that differ in their low bits differ in one bit more: nobody is in another's way.
            var larger = new KeptSlots?[2 * table.Length];
            foreach (KeptSlots? one in table)
            {
                if (one is { IsOver: false })
                {
                    larger[PlaceOf(one._pool, larger)] = one;
                }
            }

            _table = table = larger;
        }

        table[PlaceOf(slots._pool, table)] = slots;
        return true;
    }

    // By the owner. Null when that size is shut, or nothing is there.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal object? TryTake(int sizeClass)
    {
        object? array = null;
        uint bit = 1u << sizeClass;
        IsBusy = true;
        if ((Open & _idle & bit) != 0)
        {
            _idle ^= bit;
            array = _arrays[sizeClass];
        }

        IsBusy = false;
        return array;
    }

    // By the owner. False when that size is shut, or one is there already.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryPut(int sizeClass, object array)
    {
        bool isPut = false;
        uint bit = 1u << sizeClass;
        IsBusy = true;
        if ((Open & ~_idle & bit) != 0)
        {
            if (_arrays[sizeClass] != array)
            {
                _arrays[sizeClass] = array;
            }

            _idle |= bit;
            isPut = true;
        }

        IsBusy = false;
        return isPut;
    }

    internal bool Holds(int sizeClass, object array) =>
        ((Idle >> sizeClass) & 1) != 0 && Volatile.Read(ref _arrays[sizeClass]) == array;

    // Shut, and the barrier is behind the caller. Answers, bit by bit, what it took; nothing when the owner is in the
    // middle of a use, who gives all back at its end.
    internal uint TakeFromOwner()
    {
        BriefWait wait = default;
        while (IsBusy)
        {
            if (!wait.TryGoOn())
            {
                return 0;
            }
        }

        return TakeAll();
    }

    // By the owner outside its uses, or when it can have none any more. The arrays go to the garbage collector: to
    // nobody who could read them.
    internal uint TakeAll()
    {
        uint taken = Interlocked.Exchange(ref _idle, 0);
        ((Span<object?>)_arrays).Clear();
        return taken;
    }

    [InlineArray(Classes)]
    private struct Arrays
    {
        private object? _first;
    }
}
