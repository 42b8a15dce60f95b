// Which entry goes next: S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: FIFO queues are all you need for cache eviction,
// SOSP 2023), by bytes instead of entries, and for a size that changes.
//
//   small   a tenth of the bytes: what is new. Hit more than once it moves to main with its hits forgotten, else it is
//           evicted and remembered as a ghost
//   main    the rest. Its oldest goes back to the newest end, one hit poorer, until one without hits is found
//   ghosts  keys of what small has evicted, nine for ten entries that are cached: who is one of them enters main
//
// Most entries are used once in a long while: they pass through small and never push a proven one out. A hit moves
// nothing. The paper's cache has one size; this one is as large as its group lets it be, so the shares are those of
// what is there now, and a cache that is shrunk keeps its proportions.
//
// Must stay true: a node's place says which queue it is in. All of it under the cache's gate.
namespace MemoryGroups.Caching;

internal sealed class S3Fifo
{
    private readonly NodeQueue _small = new(CachePlace.Small);
    private readonly NodeQueue _main = new(CachePlace.Main);
    private readonly GhostQueue _ghosts = new();

    internal long Bytes => _small.Bytes + _main.Bytes;

    internal int Count => _small.Count + _main.Count;

    internal void Add(CacheNode node, bool isProven) =>
        (_ghosts.TryRemove(node.Hash) || isProven ? _main : _small).Add(node);

    internal void Remove(CacheNode node)
    {
        QueueOf(node).Remove(node);
        node.Place = CachePlace.Gone;
        _ghosts.TrimTo(MostGhosts);
    }

    // Takes out entries of at least so many bytes, or all there are: a chain, linked by Newer, the first one evicted
    // first.
    internal CacheNode? Evict(long bytes, out long freed)
    {
        CacheNode? first = null;
        CacheNode? last = null;
        freed = 0;
        while (freed < bytes && EvictOne() is { } node)
        {
            freed += node.Bytes;
            if (last is null)
            {
                first = node;
            }
            else
            {
                last.Newer = node;
            }

            last = node;
        }

        _ghosts.TrimTo(MostGhosts);
        return first;
    }

    private int MostGhosts => (int)(Count * 9L / 10);

    private CacheNode? EvictOne()
    {
        while (Count > 0)
        {
            bool fromSmall = _small.Count > 0 && _small.Bytes >= Bytes / 10;
            NodeQueue queue = fromSmall ? _small : _main;
            CacheNode node = queue.Oldest!;
            queue.Remove(node);
            if (node.Hits > (fromSmall ? 1 : 0))
            {
                node.Hits = fromSmall ? 0 : node.Hits - 1;
                _main.Add(node);
                continue;
            }

            node.Place = CachePlace.Gone;
            if (fromSmall)
            {
                _ghosts.Add(node.Hash, MostGhosts);
            }

            return node;
        }

        return null;
    }

    private NodeQueue QueueOf(CacheNode node) => node.Place == CachePlace.Small ? _small : _main;
}
