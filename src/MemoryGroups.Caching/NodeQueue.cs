// First in, first out, without nodes of its own: entries carry their links, so that one can leave from the middle.
// Under the cache's gate.
namespace MemoryGroups.Caching;

internal sealed class NodeQueue(CachePlace place)
{
    private CacheNode? _newest;

    internal CacheNode? Oldest { get; private set; }

    internal long Bytes { get; private set; }

    internal int Count { get; private set; }

    internal void Add(CacheNode node)
    {
        node.Place = place;
        node.Older = _newest;
        node.Newer = null;
        if (_newest is null)
        {
            Oldest = node;
        }
        else
        {
            _newest.Newer = node;
        }

        _newest = node;
        Bytes += node.Bytes;
        Count++;
    }

    // The caller says what becomes of its place.
    internal void Remove(CacheNode node)
    {
        Relink(node, node.Older, node.Newer);
        node.Older = null;
        node.Newer = null;
        Bytes -= node.Bytes;
        Count--;
    }

    // The new one stands where the old one stood.
    internal void Replace(CacheNode old, CacheNode fresh)
    {
        fresh.Place = place;
        fresh.Older = old.Older;
        fresh.Newer = old.Newer;
        Relink(old, fresh, fresh);
        old.Older = null;
        old.Newer = null;
        Bytes += fresh.Bytes - old.Bytes;
    }

    // Whoever pointed to the node points past it, or to what stands in for it.
    private void Relink(CacheNode node, CacheNode? toOlder, CacheNode? toNewer)
    {
        if (node.Newer is null)
        {
            _newest = toOlder;
        }
        else
        {
            node.Newer.Older = toOlder;
        }

        if (node.Older is null)
        {
            Oldest = toNewer;
        }
        else
        {
            node.Older.Newer = toNewer;
        }
    }
}
