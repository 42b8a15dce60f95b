// An entry: key and value, its bytes, how often it was hit lately, and its links in a queue and in the table.
//
// Readers touch a node without a lock. Two that do so at the same time may count as one, and a hit may land on a node
// that was evicted a moment ago: both only blur a small counter that decides nothing but the order of eviction. Place
// and links are written under the cache's gate.
namespace MemoryGroups.Caching;

internal enum CachePlace : byte
{
    // Not in the cache yet.
    None,
    Small,
    Main,

    // Whoever wrote this disposes of the value and returns the bytes.
    Gone,
}

internal abstract class CacheNode(long bytes, int hash)
{
    // More hits than this count as this many.
    internal const int MostHits = 3;

    private byte _hits;

    internal long Bytes { get; } = bytes;

    internal int Hash { get; } = hash;

    internal CacheNode? Older { get; set; }

    internal CacheNode? Newer { get; set; }

    internal CachePlace Place { get; set; }

    internal int Hits
    {
        get => _hits;
        set => _hits = (byte)value;
    }

    // Saturated it is only read: hot entries do not travel between the cores' caches.
    internal void Touch()
    {
        byte hits = _hits;
        if (hits < MostHits)
        {
            _hits = (byte)(hits + 1);
        }
    }
}

internal sealed class CacheNode<TKey, TValue>(TKey key, TValue value, long bytes, int hash) : CacheNode(bytes, hash)
{
    private CacheNode<TKey, TValue>? _next;
    private CacheNode<TKey, TValue>? _otherNext;

    internal TKey Key { get; } = key;

    internal TValue Value { get; } = value;

    // The next one of its chain, in a table that uses the one link or the other.
    internal ref CacheNode<TKey, TValue>? Next(bool other) => ref other ? ref _otherNext : ref _next;
}
