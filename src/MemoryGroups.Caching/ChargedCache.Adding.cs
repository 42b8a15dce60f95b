// How an entry comes into the cache: room, bytes, dictionary, queue.
//
//   room        within the cache's own limit; reserved at once, so that two arrivals never use it twice. An entry that
//               is written again needs room beside the one it replaces
//   bytes       a cache that cannot grow evicts as much as the entry takes, and hands it those bytes: no charge, no
//               refusal. One that can charges first and evicts then: a refused entry evicts nothing, unless the cache
//               has as much and exchanges it after all. A refusal costs the whole group (its members' stock is taken
//               back before), so the cache grows no further for its next entries
//   dictionary  from here on readers find it, and others may remove or replace it
//   queue       unless somebody did so meanwhile, or the cache is over: then its bytes go back here
//
// Values are offered under no lock. Two callers who make one key's value at the same time both make it; GetOrAdd gives
// both the first one.
namespace MemoryGroups.Caching;

public sealed partial class ChargedCache<TKey, TValue>
{
    // So many entries are exchanged after a refusal before the group is asked for more again.
    private const int SparedCharges = 64;

    // Under the gate.
    private long _ceiling;
    private int _untilProbe;

    /// <summary>Keeps a value if there is room for it; an older one of the same key goes in any case.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The value. Kept, it belongs to the cache; else to the caller.</param>
    /// <returns>True when it was kept.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="InvalidOperationException">
    /// The options have no <see cref="ChargedCacheOptions{TKey, TValue}.SizeOf"/>, or its answer is out of range.
    /// </exception>
    public bool Set(TKey key, TValue value)
    {
        ArgumentNullException.ThrowIfNull(key);
        Offer(key, value, Measure(key, value), replaces: true, out bool isKept);
        return isKept;
    }

    /// <summary>Keeps a value if there is room for it; an older one of the same key goes in any case.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The value. Kept, it belongs to the cache; else to the caller.</param>
    /// <param name="bytes">
    /// What key and value take, 0 to <see cref="MemoryMember.MaxChargeBytes"/> less the overhead.
    /// </param>
    /// <returns>True when it was kept.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    public bool Set(TKey key, TValue value, long bytes)
    {
        ArgumentNullException.ThrowIfNull(key);
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, MostBytes);
        Offer(key, value, bytes + EntryOverheadBytes, replaces: true, out bool isKept);
        return isKept;
    }

    /// <summary>Looks a key up, and makes its value when it is not there.</summary>
    /// <param name="key">The key.</param>
    /// <param name="factory">Makes the value, under no lock. What it throws goes to the caller.</param>
    /// <returns>
    /// What is kept for the key now; what the factory has made when there was no room for it.
    /// </returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="InvalidOperationException">
    /// The options have no <see cref="ChargedCacheOptions{TKey, TValue}.SizeOf"/>, or its answer is out of range.
    /// </exception>
    public TValue GetOrAdd(TKey key, Func<TKey, TValue> factory) => GetOrAdd(key, factory, out _);

    /// <summary>Looks a key up, and makes its value when it is not there.</summary>
    /// <param name="key">The key.</param>
    /// <param name="factory">Makes the value, under no lock. What it throws goes to the caller.</param>
    /// <param name="isKept">True when the value belongs to the cache; else there was no room for it.</param>
    /// <returns>
    /// What is kept for the key now; what the factory has made when there was no room for it.
    /// </returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="InvalidOperationException">
    /// The options have no <see cref="ChargedCacheOptions{TKey, TValue}.SizeOf"/>, or its answer is out of range.
    /// </exception>
    public TValue GetOrAdd(TKey key, Func<TKey, TValue> factory, out bool isKept)
    {
        ArgumentNullException.ThrowIfNull(factory);
        if (TryGet(key, out TValue? found))
        {
            isKept = true;
            return found;
        }

        TValue made = factory(key);
        return Offer(key, made, Measure(key, made), replaces: false, out isKept);
    }

    /// <summary>
    /// Looks a key up, and makes its value when it is not there. Does not tell whether it was kept: values that must be
    /// disposed in any case go by <see cref="TryGet"/> and <see cref="Set(TKey, TValue)"/>.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="factory">Makes the value, under no lock. What it throws goes to the caller.</param>
    /// <param name="cancellationToken">Handed to the factory.</param>
    /// <returns>
    /// What is kept for the key now; what the factory has made when there was no room for it.
    /// </returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="InvalidOperationException">
    /// The options have no <see cref="ChargedCacheOptions{TKey, TValue}.SizeOf"/>, or its answer is out of range.
    /// </exception>
    public ValueTask<TValue> GetOrAddAsync(
        TKey key,
        Func<TKey, CancellationToken, ValueTask<TValue>> factory,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        return TryGet(key, out TValue? found)
            ? new ValueTask<TValue>(found)
            : MakeAsync(key, factory, cancellationToken);
    }

    private static long MostBytes => MemoryMember.MaxChargeBytes - EntryOverheadBytes;

    private async ValueTask<TValue> MakeAsync(
        TKey key, Func<TKey, CancellationToken, ValueTask<TValue>> factory, CancellationToken cancellationToken)
    {
        TValue made = await factory(key, cancellationToken).ConfigureAwait(false);
        return Offer(key, made, Measure(key, made), replaces: false, out _);
    }

    private long Measure(TKey key, TValue value)
    {
        Func<TKey, TValue, long> sizeOf = _options.SizeOf ?? throw new InvalidOperationException(
            $"The {_reclaimer.Name} does not know how large an entry is: give it SizeOf in its options, or the bytes "
            + "with each Set.");
        long bytes = sizeOf(key, value);
        return bytes >= 0 && bytes <= MostBytes
            ? bytes + EntryOverheadBytes
            : throw new InvalidOperationException(
                $"SizeOf of the {_reclaimer.Name} answered {bytes} bytes for an entry; 0 to {MostBytes} are possible.");
    }

    // Answers what the key stands for now: the value offered, unless another came first and is not to be replaced.
    private TValue Offer(TKey key, TValue value, long bytes, bool replaces, out bool isKept)
    {
        int hash = _comparer.GetHashCode(key);
        if (IsOver || bytes > _options.MaxBytes || !TryMakeRoom(bytes))
        {
            Interlocked.Increment(ref _notKept);
            isKept = false;
            if (replaces)
            {
                Drop(key, Leaving.Replaced);
            }

            return value;
        }

        var node = new CacheNode<TKey, TValue>(key, value, bytes, hash);
        CacheNode<TKey, TValue>? other;
        try
        {
            other = Publish(node, replaces);
        }
        catch (Exception)
        {
            // The user's comparer.
            GiveUp(bytes, bytes);
            throw;
        }

        if (other is null || replaces)
        {
            isKept = Link(node, other);
            return value;
        }

        GiveUp(bytes, bytes);
        DiscardUnlessSame(value, other.Value);
        isKept = true;
        return other.Value;
    }

    // Answers what the key stood for before, or still stands for.
    private CacheNode<TKey, TValue>? Publish(CacheNode<TKey, TValue> node, bool replaces)
    {
        while (!_entries.TryAdd(node.Key, node))
        {
            if (_entries.TryGetValue(node.Key, out CacheNode<TKey, TValue>? other)
                && (!replaces || _entries.TryUpdate(node.Key, node, other)))
            {
                return other;
            }
        }

        return null;
    }

    // True when the cache has taken the value, even if somebody has removed it since.
    private bool Link(CacheNode<TKey, TValue> node, CacheNode<TKey, TValue>? old)
    {
        bool wasRemoved, isLinked, dropsOld, unlinksOld;
        lock (_gate)
        {
            _fifo.Unreserve(node.Bytes);
            wasRemoved = node.Place == CachePlace.Gone;
            isLinked = !wasRemoved && !_isOver;
            dropsOld = old is { Place: not CachePlace.Gone };
            unlinksOld = dropsOld && old!.Place != CachePlace.Arriving;
            if (isLinked && unlinksOld)
            {
                _fifo.Replace(old!, node);
            }
            else
            {
                unlinksOld = dropsOld && _fifo.Remove(old!);
                if (isLinked)
                {
                    _fifo.Add(node);
                }

                node.Place = isLinked ? node.Place : CachePlace.Gone;
            }
        }

        if (!isLinked)
        {
            _entries.TryRemove(new KeyValuePair<TKey, CacheNode<TKey, TValue>>(node.Key, node));
        }

        if (dropsOld)
        {
            DiscardUnlessSame(old!.Value, node.Value);
            Interlocked.Increment(ref _left[(int)Leaving.Replaced]);
        }

        Return((unlinksOld ? old!.Bytes : 0) + (isLinked ? 0 : node.Bytes));
        return isLinked || wasRemoved;
    }

    // One object under one key twice is still in use.
    private void DiscardUnlessSame(TValue value, TValue used)
    {
        if (typeof(TValue).IsValueType || !ReferenceEquals(value, used))
        {
            Discard(value);
        }
    }

    private bool TryMakeRoom(long bytes)
    {
        FollowMember();
        if (TryExchange(bytes, isRefused: false))
        {
            return true;
        }

        long fresh = FreshBytes(bytes);
        if (!TryGrow(fresh))
        {
            return TryExchange(bytes, isRefused: true);
        }

        if (!TryReserve(bytes, out long freed))
        {
            Return(fresh);
            return false;
        }

        // Others may have evicted meanwhile what was counted on.
        long held = fresh + freed;
        if (held < bytes && !TryGrow(bytes - held))
        {
            GiveUp(bytes, held);
            return false;
        }

        Return(held - bytes);
        return true;
    }

    // Evicts as much as the entry takes and gives it those bytes: nothing is charged, so nothing is refused. False when
    // the cache may still grow, or has not that much: to be emptied for one entry helps nobody.
    private bool TryExchange(long bytes, bool isRefused)
    {
        CacheNode? evicted;
        long freed;
        bool isOverMax;
        lock (_gate)
        {
            long after = _fifo.Bytes + _fifo.Reserved + bytes;
            isOverMax = after > _options.MaxBytes;
            bool isSpared = _untilProbe > 0 && after > _ceiling;
            if (_isOver || _fifo.Bytes < bytes || !(isRefused || isOverMax || isSpared))
            {
                return false;
            }

            evicted = _fifo.Evict(bytes, out freed);
            _fifo.Reserve(bytes);
            if (isRefused)
            {
                _ceiling = _fifo.Bytes + _fifo.Reserved;
                _untilProbe = SparedCharges;
            }
            else if (!isOverMax)
            {
                _untilProbe--;
            }
        }

        Finish(evicted, isOverMax ? Leaving.MaxBytes : Leaving.Refusal);
        Return(freed - bytes);
        return true;
    }

    // What an entry would add to what is held now; the rest of it has to be evicted for it.
    private long FreshBytes(long bytes)
    {
        lock (_gate)
        {
            return Math.Clamp(_options.MaxBytes - _fifo.Bytes - _fifo.Reserved, 0, bytes);
        }
    }

    // Evicts what exceeds the limit with this entry, and reserves it, in one step. Answers what that freed, which is
    // still charged.
    private bool TryReserve(long bytes, out long freed)
    {
        CacheNode? evicted;
        lock (_gate)
        {
            long excess = _fifo.Bytes + _fifo.Reserved + bytes - _options.MaxBytes;
            if (_isOver || excess > _fifo.Bytes)
            {
                freed = 0;
                return false;
            }

            evicted = _fifo.Evict(excess, out freed);
            _fifo.Reserve(bytes);
        }

        Finish(evicted, Leaving.MaxBytes);
        return true;
    }

    private bool TryGrow(long bytes)
    {
        for (MemoryGroup? at = Member.Group; at is not null; at = at.Parent)
        {
            // Above High others would be slowed down, for entries that nobody has asked for yet.
            if (at.High < long.MaxValue && at.Usage + bytes > at.High)
            {
                return false;
            }
        }

        try
        {
            return _lease.TryGrow(bytes);
        }
        catch (ObjectDisposedException)
        {
            // Its member exits at this moment.
            return false;
        }
    }

    private void GiveUp(long reserved, long charged)
    {
        lock (_gate)
        {
            _fifo.Unreserve(reserved);
        }

        Return(charged);
    }

    private void Return(long charged)
    {
        if (charged > 0)
        {
            _lease.Shrink(charged);
        }
    }
}
