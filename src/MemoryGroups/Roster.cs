// The children, or the members, of a group: in order of creation, removed in O(1), read without a lock.
//
// An array with holes. Writers hold the root's guard; removal clears the item's place, and when more than half of the
// places are holes the live items move to a new array. Readers take the array once and skip holes: they see everything
// that was there before they came and stays until they leave. An item removed meanwhile may still be seen and has to be
// asked whether it is closed. Order matters: of two equal victims the later one dies.
namespace MemoryGroups;

internal interface IRosterItem
{
    // Guarded by the root's guard.
    int RosterPlace { get; set; }
}

// A field of its owner and no object of its own: most groups have no members, or no children.
internal struct Roster<T>
    where T : class, IRosterItem
{
    // Null while nobody was ever added.
    private T?[]? _places;
    private int _used;
    private int _live;

    internal int Count => Volatile.Read(ref _live);

    internal ReadOnlySpan<T?> Read() => Volatile.Read(ref _places);

    // For one more, so that the next AddLocked cannot fail for want of memory.
    internal void MakeRoomLocked()
    {
        if (_places is null || _used == _places.Length)
        {
            Repack(Math.Max(4, 2 * _live));
        }
    }

    internal void AddLocked(T item)
    {
        MakeRoomLocked();
        item.RosterPlace = _used;
        Volatile.Write(ref _places![_used], item);
        _used++;
        Volatile.Write(ref _live, _live + 1);
    }

    internal void RemoveLocked(T item)
    {
        int place = item.RosterPlace;
        if (place >= _used || _places![place] != item)
        {
            return;
        }

        Volatile.Write(ref _places[place], null);
        Volatile.Write(ref _live, _live - 1);
        if (_places.Length > 16 && _live < _places.Length / 4)
        {
            try
            {
                Repack(2 * _live);
            }
            catch (OutOfMemoryException)
            {
                // The holes stay. Who goes away must not fail in the middle of it.
            }
        }
    }

    internal List<T> ToList()
    {
        var items = new List<T>(Count);
        foreach (T? item in Read())
        {
            if (item is not null)
            {
                items.Add(item);
            }
        }

        return items;
    }

    private void Repack(int length)
    {
        var places = new T?[Math.Max(4, length)];
        int used = 0;
        foreach (T? item in Read())
        {
            if (item is not null)
            {
                item.RosterPlace = used;
                places[used++] = item;
            }
        }

        _used = used;
        Volatile.Write(ref _places, places);
    }
}
