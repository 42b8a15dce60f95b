// The bytes that OOM victims together may use above their groups' limits, so that they can finish and free the rest.
//
// A victim that needs 2 MiB to release 2 GiB must get them; many victims must not get more than the reserve between
// them. What a victim overdraws is noted in its books and comes back as it uncharges or exits; handed to another
// member it stays in use until that one returns it.
// Must stay true: 0 <= used <= size, and used is zero when what victims overdrew is returned (I8). Follows
// mm/oom_kill.c in giving victims partial access to reserves rather than all of them.
namespace MemoryGroups;

internal sealed class OomReserve(long size)
{
    private long _used;
    private long _size = size;

    internal long Size
    {
        get => Volatile.Read(ref _size);
        set => Volatile.Write(ref _size, value);
    }

    internal long Used => Volatile.Read(ref _used);

    internal long Left => Size - Used;

    internal bool TryTake(long bytes)
    {
        long seen = Used;
        while (bytes <= Size - seen)
        {
            long was = Interlocked.CompareExchange(ref _used, seen + bytes, seen);
            if (was == seen)
            {
                return true;
            }

            seen = was;
        }

        return false;
    }

    internal void Return(long bytes) => Interlocked.Add(ref _used, -bytes);
}
