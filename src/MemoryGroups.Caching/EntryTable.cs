// Keys to entries: read without a lock, written under the cache's gate.
//
// A dictionary of the library would do, and did: but it makes a node of its own for each entry, hashes the key again to
// remove it, and calls the user's comparer while it holds a lock, so that nothing else could happen in the same step.
// Here entries are the nodes, and one that leaves is found by its stored hash code and by itself. Keys are compared
// only outside the gate: who writes looks first, and what was seen is still true under the gate if its chain still
// begins with the same entry, for new ones come in at the beginning.
//
// Must stay true for readers: an entry is complete before it can be seen; one that is taken out still leads on to the
// rest of its chain; a larger table is built with the other one of two links, so that the chains of the old one stay
// whole until everybody sees the new one. Who misses looks whether the table is still the same, and its chain begins as
// it did, and else looks again: an entry may have left behind it whose place another has taken at the beginning.
// The links of an old table are cut: they would keep entries alive that have left since, and are charged no more.
using System.Numerics;
using System.Runtime.InteropServices;

namespace MemoryGroups.Caching;

internal sealed class EntryTable<TKey, TValue>(IEqualityComparer<TKey>? comparer)
    where TKey : notnull
{
    private const int SmallestTable = 16;

    // Null for the default comparer of a value type, which is called without an indirection.
    private readonly IEqualityComparer<TKey>? _comparer =
        comparer ?? (typeof(TKey).IsValueType ? null : EqualityComparer<TKey>.Default);

    private Table _table = new(SmallestTable, useOther: false);

    // Writers' own, and on a line of its own: the fields above are read by every lookup.
    private PaddedCount _count;

    internal int HashOf(TKey key) =>
        _comparer is null ? EqualityComparer<TKey>.Default.GetHashCode(key) : _comparer.GetHashCode(key);

    internal CacheNode<TKey, TValue>? Find(TKey key, int hash)
    {
        while (true)
        {
            Table table = Volatile.Read(ref _table);
            ref CacheNode<TKey, TValue>? bucket = ref table.BucketOf(hash);
            CacheNode<TKey, TValue>? first = Volatile.Read(ref bucket);
            CacheNode<TKey, TValue>? node = Search(first, table, key, hash);
            if (node is not null || (first == Volatile.Read(ref bucket) && table == Volatile.Read(ref _table)))
            {
                return node;
            }
        }
    }

    internal Sighting Look(TKey key, int hash)
    {
        Table table = Volatile.Read(ref _table);
        CacheNode<TKey, TValue>? first = Volatile.Read(ref table.BucketOf(hash));
        return new Sighting(table, first, Search(first, table, key, hash));
    }

    // Under the gate: no other entry has come in under that key.
    internal bool IsCurrent(in Sighting seen, int hash) =>
        seen.Table == _table && seen.First == _table.BucketOf(hash) && seen.Node?.Place != CachePlace.Gone;

    internal void Add(CacheNode<TKey, TValue> node)
    {
        // Half full at most: a miss then seldom has to look at an entry. First, because there may be no memory for it:
        // then nothing has changed.
        if (_count.Value >= _table.Buckets.Length / 2)
        {
            Resize(2 * _table.Buckets.Length);
        }

        _count.Value++;
        ref CacheNode<TKey, TValue>? bucket = ref _table.BucketOf(node.Hash);
        node.Next(_table.UseOther) = bucket;
        Volatile.Write(ref bucket, node);
    }

    internal void Remove(CacheNode<TKey, TValue> node)
    {
        ref CacheNode<TKey, TValue>? link = ref _table.BucketOf(node.Hash);
        while (link != node)
        {
            link = ref link!.Next(_table.UseOther);
        }

        Volatile.Write(ref link, node.Next(_table.UseOther));
        if (--_count.Value < _table.Buckets.Length / 16 && _table.Buckets.Length > SmallestTable)
        {
            TryShrink();
        }
    }

    private CacheNode<TKey, TValue>? Search(CacheNode<TKey, TValue>? node, Table table, TKey key, int hash)
    {
        while (node is not null && !(node.Hash == hash && AreEqual(node.Key, key)))
        {
            node = Volatile.Read(ref node.Next(table.UseOther));
        }

        return node;
    }

    private bool AreEqual(TKey a, TKey b) =>
        _comparer is null ? EqualityComparer<TKey>.Default.Equals(a, b) : _comparer.Equals(a, b);

    // Thrown from here, in the middle of an eviction, it would leave entries in the table that are in no queue.
    private void TryShrink()
    {
        try
        {
            Resize(_table.Buckets.Length / 4);
        }
        catch (OutOfMemoryException)
        {
            // It stays larger than it need be; the next one that leaves tries again.
        }
    }

    private void Resize(int buckets)
    {
        Table old = _table;
        var fresh = new Table(Math.Max(SmallestTable, buckets), !old.UseOther);
        foreach (CacheNode<TKey, TValue>? first in old.Buckets)
        {
            for (CacheNode<TKey, TValue>? node = first; node is not null; node = node.Next(old.UseOther))
            {
                ref CacheNode<TKey, TValue>? bucket = ref fresh.BucketOf(node.Hash);
                node.Next(fresh.UseOther) = bucket;
                bucket = node;
            }
        }

        Volatile.Write(ref _table, fresh);
        Cut(fresh, old.UseOther);
    }

    // Volatile: whoever finds a link cut, and misses for it, finds the new table.
    private static void Cut(Table table, bool other)
    {
        foreach (CacheNode<TKey, TValue>? first in table.Buckets)
        {
            for (CacheNode<TKey, TValue>? node = first; node is not null; node = node.Next(table.UseOther))
            {
                Volatile.Write(ref node.Next(other), null);
            }
        }
    }

    internal readonly struct Sighting(Table table, CacheNode<TKey, TValue>? first, CacheNode<TKey, TValue>? node)
    {
        internal Table Table { get; } = table;

        internal CacheNode<TKey, TValue>? First { get; } = first;

        internal CacheNode<TKey, TValue>? Node { get; } = node;
    }

    internal sealed class Table(int buckets, bool useOther)
    {
        private readonly int _shift = 32 - BitOperations.Log2((uint)buckets);

        internal CacheNode<TKey, TValue>?[] Buckets { get; } = new CacheNode<TKey, TValue>?[buckets];

        internal bool UseOther { get; } = useOther;

        // Multiplied, so that hash codes that are numbers spread (Fibonacci hashing).
        internal ref CacheNode<TKey, TValue>? BucketOf(int hash) =>
            ref Buckets[(int)(unchecked((uint)hash * 2654435769u) >> _shift)];
    }
}

// The line before and the line after it are nobody's.
[StructLayout(LayoutKind.Explicit, Size = 128)]
internal struct PaddedCount
{
    [FieldOffset(64)]
    internal int Value;
}
