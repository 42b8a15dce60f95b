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
        if (node.Newer is null)
        {
            _newest = node.Older;
        }
        else
        {
            node.Newer.Older = node.Older;
        }

        if (node.Older is null)
        {
            Oldest = node.Newer;
        }
        else
        {
            node.Older.Newer = node.Newer;
        }

        node.Older = null;
        node.Newer = null;
        Bytes -= node.Bytes;
        Count--;
    }
}
