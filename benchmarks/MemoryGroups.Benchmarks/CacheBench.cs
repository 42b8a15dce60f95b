// The two caches behind one shape, and the loop over them.
using MemoryGroups.Caching;
using Microsoft.Extensions.Caching.Memory;

namespace MemoryGroups.Benchmarks;

internal interface ICacheUnderTest
{
    bool TryGet(string key);

    void Set(string key);
}

internal readonly struct OurCache(ChargedCache<string, object> cache) : ICacheUnderTest
{
    public bool TryGet(string key) => cache.TryGet(key, out _);

    public void Set(string key) => cache.Set(
        key, key, CacheBench.EntryBytes - ChargedCache<string, object>.EntryOverheadBytes);
}

internal readonly struct TheirCache(MemoryCache cache, MemoryCacheEntryOptions options) : ICacheUnderTest
{
    public bool TryGet(string key) => cache.TryGetValue((object)key, out _);

    public void Set(string key) => cache.Set(key, key, options);
}

// Known to be dear, and by work of another thread only: for each tenth miss the pool looks at some keys.
internal readonly struct WorkOnThePool(OurCache cache, string[] keys) : ICacheUnderTest
{
    private const int KeysAtOnce = 200;

    public bool TryGet(string key) => cache.TryGet(key);

    public void Set(string key)
    {
        cache.Set(key);
        if (key[^1] == '7')
        {
            ThreadPool.UnsafeQueueUserWorkItem(Look, keys, preferLocal: false);
        }
    }

    private static void Look(string[] keys)
    {
        int odd = 0;
        for (int i = 0; i < KeysAtOnce; i++)
        {
            odd += keys[i].GetHashCode() & 1;
        }

        GC.KeepAlive(odd);
    }
}

// One of each, with room for so many entries, and a trace of requests that every thread enters at another place.
internal sealed class CacheBench : IDisposable
{
    internal const int Objects = 100_000;
    internal const int EntryBytes = 1000;

    private readonly Tree _tree = new(3);
    private readonly ChargedCache<string, object> _ours;
    private readonly MemoryCache _theirs;
    private readonly MemoryCacheEntryOptions _size = new() { Size = EntryBytes };
    private readonly string[] _trace;

    internal CacheBench(Effort effort, int entries)
    {
        var random = new Random(effort.Seed);
        Keys = [.. Enumerable.Range(0, Objects).Select(static i => $"object {i}")];
        random.Shuffle(Keys);
        _trace = Trace(random, effort.Smoke ? Objects : 1 << 20);
        _ours = new ChargedCache<string, object>(
            _tree.Leaf.CreateMember("cache"),
            new ChargedCacheOptions<string, object> { MaxBytes = (long)entries * EntryBytes });
        _theirs = new MemoryCache(new MemoryCacheOptions { SizeLimit = (long)entries * EntryBytes });
    }

    internal string[] Keys { get; }

    internal OurCache Ours() => new(_ours);

    internal TheirCache Theirs() => new(_theirs, _size);

    /// <summary>Requests, each followed by a Set when it misses; misses are what it answers.</summary>
    internal LoopCase Case<TCache>(string name, int threads, TCache cache)
        where TCache : struct, ICacheUnderTest =>
        new(name, threads, Requests(cache));

    /// <summary>The same by the CPU time of all threads, those that evict included.</summary>
    internal ProcessCase WholeCase<TCache>(string name, int threads, TCache cache)
        where TCache : struct, ICacheUnderTest =>
        new(name, threads, Requests(cache));

    internal long Run<TCache>(TCache cache, int requests)
        where TCache : struct, ICacheUnderTest
    {
        int at = 0;
        return Run(cache, requests, ref at);
    }

    internal string? Check() => _ours.Bytes == _ours.Member.Usage && _ours.Bytes == _ours.Count * (long)EntryBytes
        ? null
        : $"{_ours.Count} entries, {_ours.Bytes} bytes leased, {_ours.Member.Usage} charged";

    public void Dispose()
    {
        _ours.Dispose();
        _theirs.Dispose();
        _tree.Dispose();
    }

    private Func<int, Chunk> Requests<TCache>(TCache cache)
        where TCache : struct, ICacheUnderTest => thread =>
        {
            int at = thread * _trace.Length / 2;
            return operations => Run(cache, operations, ref at);
        };

    private long Run<TCache>(TCache cache, int requests, ref int at)
        where TCache : struct, ICacheUnderTest
    {
        long misses = 0;
        string[] trace = _trace;
        for (int i = 0; i < requests; i++)
        {
            string key = trace[at];
            at = at + 1 == trace.Length ? 0 : at + 1;
            if (!cache.TryGet(key))
            {
                misses++;
                cache.Set(key);
            }
        }

        return misses;
    }

    // Object k is asked for in proportion to 1 / k.
    private string[] Trace(Random random, int requests)
    {
        double[] upTo = new double[Objects];
        double sum = 0;
        for (int k = 0; k < Objects; k++)
        {
            sum += 1.0 / (k + 1);
            upTo[k] = sum;
        }

        string[] trace = new string[requests];
        for (int i = 0; i < requests; i++)
        {
            int at = Array.BinarySearch(upTo, random.NextDouble() * sum);
            trace[i] = Keys[Math.Min(at < 0 ? ~at : at, Objects - 1)];
        }

        return trace;
    }
}
