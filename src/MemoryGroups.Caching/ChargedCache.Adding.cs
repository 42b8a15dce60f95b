// How an entry comes into the cache: its bytes first, then all the rest in one step under the gate.
//
// A cache that cannot grow (at its own limit, or refused by its group) evicts as much as the entry takes and hands it
// those bytes: no charge, no refusal. One that can grow charges first and evicts then, so that a refused entry evicts
// nothing; refused, it exchanges after all, if it has that much. A refusal costs the whole group (its members' stock is
// taken back before), so after one the cache stays as large as it is for its next entries.
//
//   look       for the key, outside the gate
//   place      under it, if what was seen is still true: evict, in with the new one, out with the old one
//   pay        outside, when place says that bytes are missing; then from the beginning
//
// Two callers who make one key's value at the same time both make it; GetOrAdd gives both the first one.
namespace MemoryGroups.Caching;

public sealed partial class ChargedCache<TKey, TValue>
{
    // So many entries are exchanged after a refusal before the group is asked for more again.
    private const int SparedCharges = 64;

    // Under the gate.
    private long _ceiling;
    private int _untilProbe;

    private enum Placing
    {
        Done,
        NeedsBytes,

        // Others wrote meanwhile: look again.
        Stale,
        Hopeless,
    }

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
        ThrowIfNull(key);
        Offer(key, _table.HashOf(key), value, Measure(key, value), replaces: true, out bool isKept);
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
        ThrowIfNull(key);
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, MostBytes);
        Offer(key, _table.HashOf(key), value, bytes + EntryOverheadBytes, replaces: true, out bool isKept);
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
        ThrowIfNull(key);
        ArgumentNullException.ThrowIfNull(factory);
        int hash = _table.HashOf(key);
        if (TryFind(key, hash, out TValue? found))
        {
            isKept = true;
            return found;
        }

        return OfferMade(key, hash, factory(key), out isKept);
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
        ThrowIfNull(key);
        ArgumentNullException.ThrowIfNull(factory);
        int hash = _table.HashOf(key);
        return TryFind(key, hash, out TValue? found)
            ? new ValueTask<TValue>(found)
            : MakeAsync(key, hash, factory, cancellationToken);
    }

    private static long MostBytes => MemoryMember.MaxChargeBytes - EntryOverheadBytes;

    private async ValueTask<TValue> MakeAsync(
        TKey key,
        int hash,
        Func<TKey, CancellationToken, ValueTask<TValue>> factory,
        CancellationToken cancellationToken)
    {
        TValue made = await factory(key, cancellationToken).ConfigureAwait(false);
        return OfferMade(key, hash, made, out _);
    }

    // When it cannot be measured the caller gets nothing in hand, and could not dispose of it.
    private TValue OfferMade(TKey key, int hash, TValue made, out bool isKept)
    {
        try
        {
            return Offer(key, hash, made, Measure(key, made), replaces: false, out isKept);
        }
        catch
        {
            Discard(made);
            throw;
        }
    }

    private long Measure(TKey key, TValue value)
    {
        Func<TKey, TValue, long> sizeOf = _options.SizeOf ?? throw new InvalidOperationException(
            $"The {_owner.Name} does not know how large an entry is: give it SizeOf in its options, or the bytes "
            + "with each Set.");
        long bytes = sizeOf(key, value);
        return bytes >= 0 && bytes <= MostBytes
            ? bytes + EntryOverheadBytes
            : throw new InvalidOperationException(
                $"SizeOf of the {_owner.Name} answered {bytes} bytes for an entry; 0 to {MostBytes} are possible.");
    }

    // Answers what the key stands for now: the value offered, unless another came first and is not to be replaced.
    private TValue Offer(TKey key, int hash, TValue value, long bytes, bool replaces, out bool isKept)
    {
        MemoryGroup home = _owner.FollowMember();
        var node = new CacheNode<TKey, TValue>(key, value, bytes, hash);
        long paid = 0;
        bool isRefused = false;
        try
        {
            while (!_owner.IsOver && bytes <= _options.MaxBytes)
            {
                EntryTable<TKey, TValue>.Sighting seen = _table.Look(key, hash);
                if (seen.Node is { } first && !replaces)
                {
                    DiscardUnlessSame(value, first.Value);
                    isKept = true;
                    return first.Value;
                }

                switch (Place(node, seen, home, ref paid, isRefused, out long missing))
                {
                    case Placing.Done:
                        isKept = true;
                        return value;
                    case Placing.NeedsBytes when _owner.TryGrow(missing):
                        paid += missing;
                        break;
                    case Placing.NeedsBytes:
                        isRefused = true;
                        break;
                    case Placing.Stale:
                        break;
                    default:
                        isKept = false;
                        return Refuse(key, value, replaces);
                }
            }
        }
        finally
        {
            Return(paid);
        }

        isKept = false;
        return Refuse(key, value, replaces);
    }

    // What a refused value was to replace is out of date.
    private TValue Refuse(TKey key, TValue value, bool replaces)
    {
        if (replaces)
        {
            Drop(key, Leaving.Replaced);
        }

        Interlocked.Increment(ref _notKept);
        return value;
    }

    // What has been paid beyond the entry's bytes is left in `paid`.
    private Placing Place(
        CacheNode<TKey, TValue> node,
        in EntryTable<TKey, TValue>.Sighting seen,
        MemoryGroup home,
        ref long paid,
        bool isRefused,
        out long missing)
    {
        CacheNode<TKey, TValue>? old = seen.Node;
        CacheNode? evicted;
        missing = 0;
        lock (_gate)
        {
            // Emptied for good, or because its member has moved: what was paid meanwhile may be charged to the group
            // that was left, and could not be given back to it from here.
            if (_owner.HasEnded || _owner.Home != home)
            {
                return Placing.Hopeless;
            }

            if (!_table.IsCurrent(seen, node.Hash))
            {
                return Placing.Stale;
            }

            // What the old one took is the new one's; what can be evicted is the rest.
            long rest = _fifo.Bytes - (old?.Bytes ?? 0);
            long unpaid = Math.Max(0, node.Bytes - (old?.Bytes ?? 0) - paid);
            long excess = Math.Max(0, rest + node.Bytes - _options.MaxBytes);
            bool isOverMax = excess > 0;
            bool isSpared = _untilProbe > 0 && rest + node.Bytes > _ceiling;
            bool exchanges = isRefused || paid > 0 || ((isOverMax || isSpared) && unpaid <= rest);
            if (unpaid > 0 && !exchanges)
            {
                missing = unpaid - Math.Min(unpaid, excess);
                return Placing.NeedsBytes;
            }

            long wanted = Math.Max(excess, unpaid);
            if (wanted > rest)
            {
                return Placing.Hopeless;
            }

            bool isProven = TakeOverLocked(old, node);
            evicted = EvictLocked(wanted, isOverMax ? Leaving.MaxBytes : Leaving.Refusal, out long freed);
            paid += freed + (old?.Bytes ?? 0) - node.Bytes;
            _fifo.Add(node, isProven);
            NoteLocked(isRefused, isSpared && !isOverMax);
        }

        Finish(evicted);
        if (old is not null)
        {
            DiscardUnlessSame(old.Value, node.Value);
        }

        return Placing.Done;
    }

    // The new one stands for what the old one was: proven or not, and hit once more. In the table readers always find
    // one of them.
    private bool TakeOverLocked(CacheNode<TKey, TValue>? old, CacheNode<TKey, TValue> node)
    {
        _table.Add(node);
        if (old is null)
        {
            return false;
        }

        bool isProven = old.Place == CachePlace.Main;
        node.Hits = old.Hits;
        node.Touch();
        _fifo.Remove(old);
        _table.Remove(old);
        _left[(int)Leaving.Replaced]++;
        return isProven;
    }

    private void NoteLocked(bool isRefused, bool isSpared)
    {
        if (isRefused)
        {
            _ceiling = _fifo.Bytes;
            _untilProbe = SparedCharges;
        }
        else if (isSpared)
        {
            _untilProbe--;
        }
    }

    // One object under one key twice is still in use.
    private void DiscardUnlessSame(TValue value, TValue used)
    {
        if (typeof(TValue).IsValueType || !ReferenceEquals(value, used))
        {
            Discard(value);
        }
    }

    private void Return(long charged)
    {
        if (charged > 0)
        {
            _owner.Lease.Shrink(charged);
        }
    }
}
