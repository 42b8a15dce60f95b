// What every member of a tree may score at most, side by side in flat arrays: finding the worst of a million members is
// a scan of eight megabytes instead of a walk over a million objects.
//
// A member has one place from its creation to its exit. The place shows a bound: what the member has drawn, which is
// its usage and whatever stock is left in its cell, so never less than its usage. The scan takes the bounds; who is
// near the top is asked itself. A member of which the bound says nothing (an origin, one that shares its space) shows
// Always and is asked every time; one that is never killed shows Never. Adjustments stand beside the bounds, because
// what they are worth depends on who asks. Drawn bytes change on slow paths only, so the fast path knows nothing of
// this.
//
// A place is brought up to date by whoever changed something, without a lock: read what is true of the owner, write it,
// read again, with a full fence in between. Whoever writes last looks again after it, so when all is quiet every place
// shows what is true. A late writer may find that the place has a new owner by now; it writes what is true of that one.
// Who moves stock executes such a fence anyway a little later: it shows the score first and looks again after that.
// Must stay true: whoever changes what ScoreBound tells publishes after the change. How wrong at most: while a charge
// is under way its place may be a moment behind, as if the scan had come before the charge.
using System.Numerics;
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal sealed class ScoreTable
{
    internal const long Never = long.MinValue;

    // With a quarter of the range there is room for the largest adjustment on both sides.
    internal const long Always = 1L << 62;

    // What a member needs before the table has a million of them is small, and a block is never copied. Powers of two,
    // none smaller than the widest vector: a block is made of whole vectors.
    private const int SmallestBlock = 16;
    private const int LargestBlock = 4096;

    private readonly Lock _gate = new();

    // Only the first _count are there; both are written under the gate, the blocks first.
    private ScoreBlock[] _blocks = [];
    private int _places;

    // Guarded by the gate.
    private readonly Stack<ScorePlace> _free = new();

    internal ReadOnlySpan<ScoreBlock> Blocks => Volatile.Read(ref _blocks);

    // Places, taken or free: what a scan costs.
    internal int Places => Volatile.Read(ref _places);

    internal ScorePlace Take(MemoryMember owner)
    {
        ScorePlace place;
        lock (_gate)
        {
            if (_free.Count == 0)
            {
                GrowLocked();
            }

            place = _free.Pop();
            place.Block!.SetOwner(place.At, owner);
        }

        place.Publish();
        return place;
    }

    internal void Release(ScorePlace place)
    {
        place.Block!.SetOwner(place.At, null);
        place.Publish();
        lock (_gate)
        {
            _free.Push(place);
        }
    }

    private void GrowLocked()
    {
        var block = new ScoreBlock(Math.Clamp(_places, SmallestBlock, LargestBlock));
        for (int at = block.Size - 1; at >= 0; at--)
        {
            _free.Push(new ScorePlace(block, at));
        }

        Volatile.Write(ref _blocks, [.. _blocks, block]);
        Volatile.Write(ref _places, _places + block.Size);
    }
}

internal readonly record struct ScorePlace(ScoreBlock? Block, int At)
{
    internal void Publish() => Block?.Publish(At);

    internal void Show() => Block?.Show(At);

    internal void Confirm() => Block?.Confirm(At);
}

internal sealed class ScoreBlock
{
    private readonly long[] _bounds;
    private readonly int[] _adjustments;
    private readonly MemoryMember?[] _owners;

    // Whether any owner ever had an adjustment: most blocks are scanned without looking at them.
    private bool _isAdjusted;

    internal ScoreBlock(int size)
    {
        _bounds = new long[size];
        _adjustments = new int[size];
        _owners = new MemoryMember?[size];
        Array.Fill(_bounds, ScoreTable.Never);
    }

    internal int Size => _bounds.Length;

    internal MemoryMember? OwnerOf(int at) => Volatile.Read(ref _owners[at]);

    internal void SetOwner(int at, MemoryMember? owner) => Volatile.Write(ref _owners[at], owner);

    internal void Publish(int at)
    {
        do
        {
            Show(at);
            Interlocked.MemoryBarrier();
        }
        while (!IsShown(at));
    }

    // The first half of it. The caller executes a full fence, an interlocked operation, and then calls Confirm.
    internal void Show(int at)
    {
        (long bound, int adjustment) = TrueOf(OwnerOf(at));
        if (adjustment != 0)
        {
            Volatile.Write(ref _isAdjusted, true);
        }

        Volatile.Write(ref _adjustments[at], adjustment);
        Volatile.Write(ref _bounds[at], bound);
    }

    internal void Confirm(int at)
    {
        if (!IsShown(at))
        {
            Publish(at);
        }
    }

    // The highest score that any of this block can have, of those below a ceiling; Never when there is none. Compiled
    // for speed at once: the first OOM of a process is as urgent as the tenth.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal long HighestBelow(long ceiling, long thousandth)
    {
        long highest = ScoreTable.Never;
        var limit = new Vector<long>(ceiling);
        var never = new Vector<long>(ScoreTable.Never);
        Vector<long> found = never;
        for (int at = 0; at < Size; at += Vector<int>.Count)
        {
            (Vector<long> low, Vector<long> high) = ScoresFrom(at, thousandth);
            low = Vector.ConditionalSelect(Vector.LessThan(low, limit), low, never);
            high = Vector.ConditionalSelect(Vector.LessThan(high, limit), high, never);
            found = Vector.Max(found, Vector.Max(low, high));
        }

        for (int lane = 0; lane < Vector<long>.Count; lane++)
        {
            highest = Math.Max(highest, found[lane]);
        }

        return highest;
    }

    // The next place, from `at` on, whose score can be that high; Size when there is none.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal int NextReaching(long score, int at, long thousandth)
    {
        var least = new Vector<long>(score);
        while (at < Size)
        {
            if (at <= Size - Vector<int>.Count)
            {
                (Vector<long> low, Vector<long> high) = ScoresFrom(at, thousandth);
                if (!Vector.GreaterThanOrEqualAny(Vector.Max(low, high), least))
                {
                    at += Vector<int>.Count;
                    continue;
                }
            }

            if (ScoreAt(at, thousandth) >= score)
            {
                return at;
            }

            at++;
        }

        return Size;
    }

    internal long ScoreAt(int at, long thousandth)
    {
        long bound = Volatile.Read(ref _bounds[at]);
        return bound > 0 ? bound + (_adjustments[at] * thousandth) : ScoreTable.Never;
    }

    // Two vectors of scores: there are half as many longs in one as adjustments. Who has drawn nothing scores Never.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private (Vector<long> Low, Vector<long> High) ScoresFrom(int at, long thousandth)
    {
        var low = new Vector<long>(_bounds, at);
        var high = new Vector<long>(_bounds, at + Vector<long>.Count);
        if (!Volatile.Read(ref _isAdjusted))
        {
            return (low, high);
        }

        Vector.Widen(new Vector<int>(_adjustments, at), out Vector<long> addLow, out Vector<long> addHigh);
        var never = new Vector<long>(ScoreTable.Never);
        return
        (
            Vector.ConditionalSelect(Vector.GreaterThan(low, Vector<long>.Zero), low + (addLow * thousandth), never),
            Vector.ConditionalSelect(Vector.GreaterThan(high, Vector<long>.Zero), high + (addHigh * thousandth), never)
        );
    }

    private bool IsShown(int at) =>
        TrueOf(OwnerOf(at)) == (Volatile.Read(ref _bounds[at]), Volatile.Read(ref _adjustments[at]));

    private static (long Bound, int Adjustment) TrueOf(MemoryMember? owner) =>
        owner?.ScoreBound ?? (ScoreTable.Never, 0);
}
