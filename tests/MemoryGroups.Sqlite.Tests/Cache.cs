// A cache beside SQLite: takes all that is free in its group, and gives back what it is asked for.

namespace MemoryGroups.Sqlite.Tests;

internal sealed class Cache(MemoryMember member) : MemoryReclaimer("cache"), IDisposable
{
    private const long Entry = 64 * 1024;

    private long _entries;

    internal void Fill()
    {
        while (member.TryCharge(Entry))
        {
            Interlocked.Increment(ref _entries);
        }
    }

    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
    {
        long given = 0;
        while (given < request.Bytes && Interlocked.Decrement(ref _entries) >= 0)
        {
            member.Uncharge(Entry);
            given += Entry;
        }

        return new ValueTask<long>(given);
    }

    public void Dispose() => member.Dispose();
}
