// S3-FIFO as one would write it down first: lists of keys, and no cleverness. What the cache does on one thread must be
// the same, request for request.
namespace MemoryGroups.Caching.Tests;

internal sealed class ReferenceS3Fifo(int size)
{
    // Oldest first.
    private readonly LinkedList<int> _small = new();
    private readonly LinkedList<int> _main = new();
    private readonly LinkedList<int> _ghosts = new();
    private readonly Dictionary<int, int> _hits = [];
    private readonly Dictionary<int, LinkedListNode<int>> _ghostOf = [];

    private int Count => _small.Count + _main.Count;

    internal IEnumerable<int> Keys => _hits.Keys;

    // True for a hit.
    internal bool Request(int key)
    {
        if (_hits.TryGetValue(key, out int hits))
        {
            _hits[key] = Math.Min(hits + 1, 3);
            return true;
        }

        while (Count >= size)
        {
            Evict();
        }

        if (_ghostOf.Remove(key, out LinkedListNode<int>? ghost))
        {
            _ghosts.Remove(ghost);
            _main.AddLast(key);
        }
        else
        {
            _small.AddLast(key);
        }

        _hits[key] = 0;
        return false;
    }

    private void Evict()
    {
        while (true)
        {
            if (_small.Count > 0 && _small.Count >= Count / 10.0)
            {
                int key = TakeOldest(_small);
                if (_hits[key] > 1)
                {
                    _hits[key] = 0;
                    _main.AddLast(key);
                    continue;
                }

                _hits.Remove(key);
                _ghostOf.Add(key, _ghosts.AddLast(key));
                while (_ghosts.Count > Count * 9 / 10.0)
                {
                    _ghostOf.Remove(TakeOldest(_ghosts));
                }

                return;
            }

            int proven = TakeOldest(_main);
            if (_hits[proven] == 0)
            {
                _hits.Remove(proven);
                return;
            }

            _hits[proven]--;
            _main.AddLast(proven);
        }
    }

    private static int TakeOldest(LinkedList<int> list)
    {
        int key = list.First!.Value;
        list.RemoveFirst();
        return key;
    }
}

// Least recently used, to compare with.
internal sealed class ReferenceLru(int size)
{
    private readonly LinkedList<int> _byUse = new();
    private readonly Dictionary<int, LinkedListNode<int>> _nodes = [];

    internal bool Request(int key)
    {
        if (_nodes.TryGetValue(key, out LinkedListNode<int>? node))
        {
            _byUse.Remove(node);
            _byUse.AddLast(node);
            return true;
        }

        if (_nodes.Count >= size)
        {
            _nodes.Remove(_byUse.First!.Value);
            _byUse.RemoveFirst();
        }

        _nodes[key] = _byUse.AddLast(key);
        return false;
    }
}
