// The entries that were evicted without having been worth it, by their keys' hash codes, first in first out.
//
// A key that comes back while it is here was evicted too early, and is kept among the proven ones at once. Hash codes
// and not keys: a ghost keeps nothing alive and calls no code of the user's. Two keys of one hash code share a ghost,
// which now and then promotes one too early.
//
// A chained hash table over one array whose slots are also linked by age. Must stay true: every hash code is in it
// once; its memory follows the number of ghosts, down as well as up, because each cached entry is charged for one. It
// never fails: where there is no memory for a larger array a ghost is not remembered, and a smaller one can wait.
// Under the cache's gate.
using System.Numerics;

namespace MemoryGroups.Caching;

internal sealed class GhostQueue
{
    private const int None = -1;
    private const int SmallestTable = 16;

    // So many sizes are left as they are after one for which there was no memory: asking costs a collection.
    private const int SparedRebuilds = 1000;

    private int[] _buckets = [];
    private Slot[] _slots = [];
    private int _used;
    private int _free = None;
    private int _oldest = None;
    private int _newest = None;
    private int _spared;

    internal int Count { get; private set; }

    internal int Capacity => _slots.Length;

    // True when it was there.
    internal bool TryRemove(int hash)
    {
        int at = Find(hash);
        if (at == None)
        {
            return false;
        }

        Remove(at);
        return true;
    }

    // As the newest; the oldest go until no more than so many are left.
    internal void Add(int hash, int most)
    {
        TryRemove(hash);
        if (Count < _slots.Length || TryRebuild(Math.Max(SmallestTable, 2 * Count)))
        {
            Append(hash);
        }

        TrimTo(most);
    }

    internal void TrimTo(int most)
    {
        while (Count > most)
        {
            Remove(_oldest);
        }

        if (_slots.Length > SmallestTable && Count < _slots.Length / 4)
        {
            TryRebuild(Math.Max(SmallestTable, 2 * Count));
        }
    }

    private void Append(int hash)
    {
        int at = _free;
        if (at == None)
        {
            at = _used++;
        }
        else
        {
            _free = _slots[at].Chain;
        }

        ref int bucket = ref BucketOf(hash);
        _slots[at] = new Slot { Hash = hash, Chain = bucket, Older = _newest, Newer = None };
        bucket = at;
        (_newest == None ? ref _oldest : ref _slots[_newest].Newer) = at;
        _newest = at;
        Count++;
    }

    private int Find(int hash)
    {
        int at = _buckets.Length == 0 ? None : BucketOf(hash);
        while (at != None && _slots[at].Hash != hash)
        {
            at = _slots[at].Chain;
        }

        return at;
    }

    private void Remove(int at)
    {
        Slot slot = _slots[at];
        ref int link = ref BucketOf(slot.Hash);
        while (link != at)
        {
            link = ref _slots[link].Chain;
        }

        link = slot.Chain;
        (slot.Newer == None ? ref _newest : ref _slots[slot.Newer].Older) = slot.Older;
        (slot.Older == None ? ref _oldest : ref _slots[slot.Older].Newer) = slot.Newer;
        _slots[at].Chain = _free;
        _free = at;
        Count--;
    }

    // In the order of their age, without gaps. False when there is no memory for it: nothing has changed then.
    private bool TryRebuild(int capacity)
    {
        if (_spared > 0)
        {
            _spared--;
            return false;
        }

        Slot[] old = _slots;
        int from = _oldest;
        try
        {
            var slots = new Slot[capacity];
            _buckets = new int[BitOperations.RoundUpToPowerOf2((uint)capacity)];
            _slots = slots;
        }
        catch (OutOfMemoryException)
        {
            _spared = SparedRebuilds;
            return false;
        }

        Array.Fill(_buckets, None);
        (_used, _free, _oldest, _newest, Count) = (0, None, None, None, 0);
        for (; from != None; from = old[from].Newer)
        {
            Append(old[from].Hash);
        }

        return true;
    }

    // Hash codes of numbers are the numbers: multiplied, so that neighbours and multiples spread (Fibonacci hashing).
    private ref int BucketOf(int hash)
    {
        uint mixed = unchecked((uint)hash * 2654435769u);
        return ref _buckets[(int)(mixed >> (32 - BitOperations.Log2((uint)_buckets.Length)))];
    }

    private struct Slot
    {
        internal int Hash;
        internal int Chain;
        internal int Older;
        internal int Newer;
    }
}
