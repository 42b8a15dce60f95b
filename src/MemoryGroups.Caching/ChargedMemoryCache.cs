// A MemoryCache whose entries are charged to a member, and which is compacted when the member's group is full.
//
// MemoryCache says what it has evicted on the thread pool, some time later; a reclaimer must have uncharged when it
// answers. So nothing is counted by those callbacks. The cache keeps its own sum of sizes, which falls before a
// callback is even queued; what we have charged beyond that sum and beyond what is just being added is not in the
// cache any more and goes back at once. Every addition, removal, eviction and reclaim settles in this way; whoever
// comes second finds nothing left to return. Hence never twice.
//
// What a reclaim has evicted is therefore returned by whichever thread settles first. A reclaimer that said that it had
// given nothing would have the charge refused that asked, so it answers what has come back since it began, whoever
// returned it, and waits until that is uncharged.
//
// An addition counts as arriving from before it is committed until after, so it may be in the sum as well: then a
// settling returns too little, and the one at the end of the addition returns the rest. Too much is impossible while
// the cache's own sum is right.
//
// Must stay true: charged = ledger; ledger >= sizes in the cache + arriving; the gate is a leaf (the sum is read under
// it, which takes MemoryCache's own lock for a moment), and no user code runs under it.
using Microsoft.Extensions.Caching.Memory;

namespace MemoryGroups.Caching;

/// <summary>
/// An <see cref="IMemoryCache"/> whose entries are charged by their size, in bytes, and given back when their group is
/// full. Made by <see cref="MemoryCacheCharging.ChargeTo"/>.
/// </summary>
/// <remarks>
/// <para>
/// Add entries here and not to the cache inside: those are not charged, and hide what could be given back. An entry
/// for which there is no room is not kept, like one that exceeds the cache's own limit.
/// </para>
/// <para>
/// The bytes are returned to the books when <see cref="MemoryCache.Compact"/> has let go of the entries; the garbage
/// collector frees the objects when it next runs. Eviction walks all entries: reclaiming a little costs as much as
/// reclaiming a lot.
/// </para>
/// Thread safety: all members may be used from any thread.
/// </remarks>
public sealed class ChargedMemoryCache : IMemoryCache
{
    // Compact counts entries; a few rounds for those that were smaller than the average.
    private const int MaxRounds = 4;

    // Others uncharge between two instructions, unless they lost their core there: then the answer comes too early.
    private const int MostSpins = 1000;

    private readonly MemoryCache _cache;
    private readonly CacheOwner _owner;
    private readonly Lock _gate = new();
    private long _ledger;
    private long _arriving;

    // What was ever taken off the ledger, and what of that was uncharged.
    private long _taken;
    private long _returned;

    internal ChargedMemoryCache(MemoryCache cache, MemoryMember member, string? name, int cost)
    {
        _cache = cache;
        _owner = new CacheOwner(member, name ?? $"memory cache of {member.Path}", cost, Shrink, Empty);
        _owner.Start();
    }

    /// <summary>Who is charged.</summary>
    public MemoryMember Member => _owner.Member;

    /// <summary>What is charged for the entries, in bytes.</summary>
    public long Bytes => _owner.Lease.Bytes;

    internal bool IsOver => _owner.IsOver;

    /// <summary>Begins an entry; it is charged and added when it is disposed.</summary>
    /// <param name="key">The key.</param>
    /// <returns>The entry. Its size is in bytes and must be set, like its value.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The cache inside is disposed.</exception>
    public ICacheEntry CreateEntry(object key) => new ChargedCacheEntry(this, _cache.CreateEntry(key));

    /// <summary>Looks a key up.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">What is kept for it; null when there is nothing.</param>
    /// <returns>True when it was found.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The cache inside is disposed.</exception>
    public bool TryGetValue(object key, out object? value) => _cache.TryGetValue(key, out value);

    /// <summary>Removes a key; its bytes are returned at once.</summary>
    /// <param name="key">The key.</param>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The cache inside is disposed.</exception>
    public void Remove(object key)
    {
        _cache.Remove(key);
        Settle();
    }

    /// <summary>
    /// Empties the cache for good, and disposes the one inside. To be called also when the member has exited: a
    /// <see cref="MemoryCache"/> that tracks statistics is kept alive by the threads that used it until then. Never
    /// throws.
    /// </summary>
    public void Dispose()
    {
        _owner.End();
        _cache.Dispose();
    }

    // Called by an entry that is complete. False when it is not to be kept; then nothing was charged.
    internal bool TryArrive(long bytes, out MemoryGroup home)
    {
        home = _owner.FollowMember();
        if (IsOver || bytes > MemoryMember.MaxChargeBytes || !TryPay(bytes))
        {
            return false;
        }

        lock (_gate)
        {
            _ledger += bytes;
            _arriving += bytes;
        }

        return true;
    }

    internal void HasArrived(long bytes, MemoryGroup home)
    {
        lock (_gate)
        {
            _arriving -= bytes;
        }

        Settle();
        if (IsOver || _owner.Home != home)
        {
            // It was emptied before this entry was in it: for good, or for another group than the one that was charged.
            Empty();
        }
    }

    // What a refused entry was to replace is out of date.
    internal void Drop(object key)
    {
        try
        {
            Remove(key);
        }
        catch (ObjectDisposedException)
        {
            // The cache inside is disposed: nothing is found in it any more.
        }
    }

    // Charged for and no longer in the cache: back to the member.
    internal void Settle()
    {
        long left;
        lock (_gate)
        {
            long sizes = _cache.GetCurrentStatistics()?.CurrentEstimatedSize ?? 0;
            left = Math.Max(0, _ledger - _arriving - sizes);
            _ledger -= left;
            _taken += left;
        }

        _owner.Lease.Shrink(left);
        Interlocked.Add(ref _returned, left);
    }

    private bool TryPay(long bytes)
    {
        if (_owner.TryGrow(bytes))
        {
            return true;
        }

        // A twentieth at once, as the cache itself does at its limit: each time it walks all entries.
        long held = Bytes;
        return held >= bytes && Shrink(Math.Max(bytes, held / 20)) > 0 && _owner.TryGrow(bytes);
    }

    // Answers what has been returned meanwhile.
    private long Shrink(long bytes)
    {
        long before = Taken;
        long given = 0;
        bool goesOn = true;
        for (int round = 1; goesOn && given < bytes; round++)
        {
            bool evicts = Compact(bytes - given);
            Settle();
            long now = Taken - before;
            goesOn = evicts && now > given && round < MaxRounds;
            given = now;
        }

        AwaitReturns(before + given);
        return given;
    }

    private long Taken
    {
        get
        {
            lock (_gate)
            {
                return _taken;
            }
        }
    }

    // Until as much has been uncharged: a hint, for what was taken later may be there before.
    private void AwaitReturns(long taken)
    {
        SpinWait spin = default;
        for (int spins = 0; spins < MostSpins && Interlocked.Read(ref _returned) < taken; spins++)
        {
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    // As many entries as have these bytes on the average, rounded up; half an entry more, because the cache rounds the
    // product down. False when there is nothing to evict.
    private bool Compact(long bytes)
    {
        int count = _cache.Count;
        long held = Bytes;
        if (count == 0 || held == 0)
        {
            return false;
        }

        double entries = Math.Ceiling(Math.Min(1.0, (double)bytes / held) * count);
        _cache.Compact(Math.Min(1.0, (entries + 0.5) / count));
        return true;
    }

    private void Empty()
    {
        try
        {
            _cache.Clear();
        }
        catch (ObjectDisposedException)
        {
            // Somebody disposed the cache inside: nothing of it can be used any more.
        }

        Settle();
    }
}
