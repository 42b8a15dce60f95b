// An entry of a charged MemoryCache while it is being made: its value reaches the entry inside only once its bytes are
// charged. An entry without a value is not added by MemoryCache, which is how a refused one stays out.
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Primitives;

namespace MemoryGroups.Caching;

internal sealed class ChargedCacheEntry(ChargedMemoryCache cache, ICacheEntry inner) : ICacheEntry
{
    private static readonly PostEvictionDelegate SettleLater =
        static (_, _, _, cache) => ((ChargedMemoryCache)cache!).Settle();

    private object? _value;
    private bool _hasValue;
    private bool _isDone;

    public object Key => inner.Key;

    public object? Value
    {
        get => _value;
        set
        {
            _value = value;
            _hasValue = true;
        }
    }

    public DateTimeOffset? AbsoluteExpiration
    {
        get => inner.AbsoluteExpiration;
        set => inner.AbsoluteExpiration = value;
    }

    public TimeSpan? AbsoluteExpirationRelativeToNow
    {
        get => inner.AbsoluteExpirationRelativeToNow;
        set => inner.AbsoluteExpirationRelativeToNow = value;
    }

    public TimeSpan? SlidingExpiration
    {
        get => inner.SlidingExpiration;
        set => inner.SlidingExpiration = value;
    }

    public IList<IChangeToken> ExpirationTokens => inner.ExpirationTokens;

    public IList<PostEvictionCallbackRegistration> PostEvictionCallbacks => inner.PostEvictionCallbacks;

    public CacheItemPriority Priority
    {
        get => inner.Priority;
        set => inner.Priority = value;
    }

    public long? Size
    {
        get => inner.Size;
        set => inner.Size = value;
    }

    public void Dispose()
    {
        if (_isDone)
        {
            return;
        }

        _isDone = true;
        if (!_hasValue)
        {
            inner.Dispose();
            return;
        }

        // Without a size the entry inside refuses, in its own words.
        long bytes = inner.Size ?? 0;
        if (!cache.TryArrive(bytes, out MemoryGroup home))
        {
            inner.Dispose();
            cache.Drop(Key);
            return;
        }

        try
        {
            // Before the user's: when those run the bytes are back.
            inner.PostEvictionCallbacks.Insert(
                0, new PostEvictionCallbackRegistration { EvictionCallback = SettleLater, State = cache });
            inner.Value = _value;
            inner.Dispose();
        }
        finally
        {
            cache.HasArrived(bytes, home);
        }
    }
}
