// A cache that is as large as its group lets it be: every entry is charged to a member, and the cache is a reclaimer
// of that member's group.
//
// A hit is one lookup and a small counter; it takes no lock and allocates nothing. Whatever changes the cache takes the
// gate, a leaf: under it run links and sums and nothing else. Keys are hashed and compared, values disposed, bytes
// charged and returned before or after it.
//
// It pushes nobody: it charges only what fits now and below High, gives up its own entries first, and else does
// without.
//
// Must stay true: table and queues hold the same entries; charged = bytes in the queues, and what is on its way in or
// out (ChargedCache.Adding); who takes an entry out disposes of its value and returns its bytes, once; once the cache
// is over nothing comes in any more and the lease is gone.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace MemoryGroups.Caching;

/// <summary>
/// A cache whose entries are charged to a member, and given back when the member's group is full. Evicts by S3-FIFO.
/// </summary>
/// <remarks>
/// <para>
/// It grows into what is free in its group and into nothing else. A value for which there is no room is not kept, and
/// that is no error. Give it a member of its own; when that is killed, exits or is moved to another group, the cache
/// empties itself, and after a kill or an exit it stays empty. It registers as a reclaimer of the group and lives until
/// it is disposed or its member is gone.
/// </para>
/// <para>
/// Values that are <see cref="IDisposable"/> are disposed when they leave it, unless the options say otherwise: a
/// reader may still have one in hand. Let them be of a kind for which that is an exception, such as
/// <see cref="MemoryBuffer"/>, or keep them to be collected.
/// </para>
/// Thread safety: all members may be used from any thread.
/// </remarks>
/// <typeparam name="TKey">What entries are found by.</typeparam>
/// <typeparam name="TValue">What is kept.</typeparam>
public sealed partial class ChargedCache<TKey, TValue> : IDisposable
    where TKey : notnull
{
    // The entry 64, its place in the table 24, the ghost it may leave 32.
    private const int FixedOverhead = 120;

    private readonly EntryTable<TKey, TValue> _table;
    private readonly ChargedCacheOptions<TKey, TValue> _options;
    private readonly CacheOwner _owner;
    private readonly StripedCount _hits = new();
    private readonly StripedCount _misses = new();
    private long _notKept;
    private long _failedDisposals;

    // Under the gate.
    private readonly Lock _gate;
    private readonly S3Fifo _fifo;
    private readonly long[] _left;

    /// <summary>Makes a cache.</summary>
    /// <param name="member">Who is charged; best one that has nothing else to do.</param>
    /// <param name="options">How it is to be; null for the defaults.</param>
    /// <exception cref="ArgumentNullException"><paramref name="member"/> is null.</exception>
    /// <exception cref="ArgumentException">A value of the options is not allowed.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    public ChargedCache(MemoryMember member, ChargedCacheOptions<TKey, TValue>? options = null)
    {
        ArgumentNullException.ThrowIfNull(member);
        _options = (options ?? new ChargedCacheOptions<TKey, TValue>()).Checked();
        _table = new EntryTable<TKey, TValue>(_options.Comparer);

        // After the table, which ends with room: what every writer changes shares no line with what every reader reads.
        _gate = new Lock();
        _fifo = new S3Fifo();
        _left = new long[(int)Leaving.Emptied + 1];
        _owner = new CacheOwner(
            member,
            _options.Name ?? $"cache of {member.Path}",
            _options.ReclaimCost,
            Reclaim,
            () => Empty(Leaving.Emptied));
        _owner.Start();
    }

    /// <summary>
    /// What each entry is charged for besides its own bytes: about what the cache's objects take, in bytes.
    /// </summary>
    public static int EntryOverheadBytes { get; } =
        FixedOverhead + Unsafe.SizeOf<TKey>() + Unsafe.SizeOf<TValue>();

    /// <summary>Who is charged.</summary>
    public MemoryMember Member => _owner.Member;

    /// <summary>What is charged for the entries, their overhead included, in bytes.</summary>
    public long Bytes => _owner.Lease.Bytes;

    /// <summary>How many entries there are.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _fifo.Count;
            }
        }
    }

    /// <summary>What happened so far.</summary>
    public ChargedCacheStatistics Statistics => new(
        Count,
        Bytes,
        _hits.Sum,
        _misses.Sum,
        LeftBy(Leaving.MaxBytes),
        LeftBy(Leaving.Refusal),
        LeftBy(Leaving.Reclaim),
        LeftBy(Leaving.Replaced),
        LeftBy(Leaving.Removed),
        LeftBy(Leaving.Emptied),
        Volatile.Read(ref _notKept),
        Volatile.Read(ref _failedDisposals));

    // What MaxBytes bounds.
    internal long HeldBytes
    {
        get
        {
            lock (_gate)
            {
                return _fifo.Bytes;
            }
        }
    }

    /// <summary>Looks a key up. Takes no lock and allocates nothing.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">What is kept for it.</param>
    /// <returns>True when it was found.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    public bool TryGet(TKey key, [MaybeNullWhen(false)] out TValue value)
    {
        ThrowIfNull(key);
        return TryFind(key, _table.HashOf(key), out value);
    }

    /// <summary>Removes a key; its value is disposed if the cache disposes values.</summary>
    /// <param name="key">The key.</param>
    /// <returns>True when it was there.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    public bool Remove(TKey key) => Drop(key, Leaving.Removed);

    /// <summary>Removes everything, and forgets what was evicted before.</summary>
    public void Clear() => Empty(Leaving.Removed);

    /// <summary>
    /// Empties the cache for good: later lookups miss, later values are not kept, and every byte is returned. Values
    /// that another thread is taking out at this moment may be disposed a little later. Never throws.
    /// </summary>
    public void Dispose() => _owner.End();

    private long LeftBy(Leaving why) => Volatile.Read(ref _left[(int)why]);

    private bool TryFind(TKey key, int hash, [MaybeNullWhen(false)] out TValue value)
    {
        if (_table.Find(key, hash) is { } node)
        {
            node.Touch();
            _hits.Increment();
            value = node.Value;
            return true;
        }

        _misses.Increment();
        value = default;
        return false;
    }

    // Written out: the library's own takes an object, and a key that is a value would be boxed for it.
    private static void ThrowIfNull(TKey key)
    {
        if (!typeof(TKey).IsValueType && key is null)
        {
            throw new ArgumentNullException(nameof(key));
        }
    }

    private bool Drop(TKey key, Leaving why)
    {
        ThrowIfNull(key);
        int hash = _table.HashOf(key);

        // What was found may have left since, and another may stand for the key: who has been there all the time is
        // not missed.
        CacheNode<TKey, TValue>? node;
        do
        {
            node = _table.Find(key, hash);
        }
        while (node is not null && !TryTakeOut(node, why));

        if (node is null)
        {
            return false;
        }

        Finish(node);
        _owner.Lease.Shrink(node.Bytes);
        return true;
    }

    private bool TryTakeOut(CacheNode<TKey, TValue> node, Leaving why)
    {
        lock (_gate)
        {
            if (node.Place == CachePlace.Gone)
            {
                return false;
            }

            _fifo.Remove(node);
            _table.Remove(node);
            _left[(int)why]++;
            return true;
        }
    }

    private void Empty(Leaving why)
    {
        CacheNode? all;
        long freed;
        lock (_gate)
        {
            all = EvictLocked(long.MaxValue, why, out freed);
        }

        Finish(all);
        _owner.Lease.Shrink(freed);
    }

    // Entries of at least so many bytes, out of the queues and the table: a chain for Finish. What they took is still
    // charged.
    private CacheNode? EvictLocked(long bytes, Leaving why, out long freed)
    {
        CacheNode? evicted = _fifo.Evict(bytes, out freed);
        for (CacheNode? node = evicted; node is not null; node = node.Newer)
        {
            _table.Remove((CacheNode<TKey, TValue>)node);
            _left[(int)why]++;
        }

        return evicted;
    }

    // What has been taken out is disposed, under no lock. The bytes are the caller's to return.
    private void Finish(CacheNode? chain)
    {
        while (chain is CacheNode<TKey, TValue> node)
        {
            chain = node.Newer;
            node.Newer = null;
            Discard(node.Value);
        }
    }

    // User code. What it throws would hit whoever happened to need memory.
    private void Discard(TValue value)
    {
        if (_options.DisposesValues && value is IDisposable disposable)
        {
            try
            {
                disposable.Dispose();
            }
            catch (Exception)
            {
                Interlocked.Increment(ref _failedDisposals);
            }
        }
    }

    // For the group: as much as it asks for, and less than one entry more.
    private long Reclaim(long bytes)
    {
        CacheNode? evicted;
        long freed;
        lock (_gate)
        {
            evicted = EvictLocked(bytes, Leaving.Reclaim, out freed);
        }

        Finish(evicted);
        _owner.Lease.Shrink(freed);
        return freed;
    }
}
