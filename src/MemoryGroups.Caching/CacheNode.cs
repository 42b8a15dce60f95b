// What the queues know of a cached entry: its place, its bytes, and how often it was hit lately.
//
// Readers touch a node without a lock. Two that do so at the same time may count as one, and a hit may land on a node
// that was evicted a moment ago: both only blur a small counter that decides nothing but the order of eviction. Place,
// bytes and links belong to the cache's gate.
namespace MemoryGroups.Caching;

internal enum CachePlace : byte
{
    // Paid for and visible to readers, in no queue yet.
    Arriving,
    Small,
    Main,

    // Whoever wrote this disposes of the value; who took it out of a queue returns its bytes.
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
    internal TKey Key { get; } = key;

    internal TValue Value { get; } = value;
}
