// Threads that do everything at once: whatever the order was, each byte is charged once and returned once, each value
// is disposed once if the cache had it, and no limit is exceeded by what is kept.

using System.Collections.Concurrent;

namespace MemoryGroups.Caching.Tests;

public sealed class StressTests
{
    private const int Threads = 4;
    private const int Steps = 20_000;
    private const int Keys = 400;

    [Theory]
    [InlineData(1, MemoryMember.MaxChargeBytes)]
    [InlineData(2, MemoryMember.MaxChargeBytes)]
    [InlineData(3, 100_000)]
    [InlineData(4, 100_000)]
    public void Books_are_exact_whatever_threads_do(int seed, long maxBytes)
    {
        using var root = new MemoryRoot();
        MemoryGroup group = root.CreateGroup("tenant", new MemoryGroupOptions { Max = 150_000 });
        var cache = new ChargedCache<int, Counted>(
            group.CreateMember("cache"),
            new ChargedCacheOptions<int, Counted> { SizeOf = static (_, value) => value.Bytes, MaxBytes = maxBytes });
        var run = new Run(cache, maxBytes);
        Together(seed, random => run.Step(random), group);

        long held = 0;
        for (int key = 0; key < Keys; key++)
        {
            held += cache.TryGet(key, out Counted? value)
                ? value.Bytes + ChargedCache<int, Counted>.EntryOverheadBytes
                : 0;
        }

        Assert.Equal((held, held, held), (cache.HeldBytes, cache.Bytes, cache.Member.Usage));
        Assert.True(run.Kept.Count > 1000, $"seed {seed}: only {run.Kept.Count} values were kept");
        cache.Dispose();
        Assert.Equal((0, 0), (cache.Count, cache.Member.Usage));
        Assert.All(run.Kept, value => Assert.True(value.Disposals == 1, $"seed {seed}: kept, {value.Disposals}"));
        Assert.All(run.Refused, value => Assert.True(value.Disposals == 0, $"seed {seed}: refused, {value.Disposals}"));
        Assert.True(root.BooksErrorCount == 0, root.FirstBooksError);
        root.Dispose();
        Assert.Equal(0, root.Usage);
    }

    // The end comes in the middle of it.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Cache_that_ends_meanwhile_keeps_nothing(int seed)
    {
        for (int round = 0; round < 20; round++)
        {
            using var root = new MemoryRoot();
            MemoryGroup group = root.CreateGroup("tenant", new MemoryGroupOptions { Max = 150_000 });
            MemoryGroup other = root.CreateGroup("other");
            var cache = new ChargedCache<int, Counted>(
                group.CreateMember("cache"),
                new ChargedCacheOptions<int, Counted> { SizeOf = static (_, value) => value.Bytes });
            var run = new Run(cache, long.MaxValue);
            int ender = (seed + round) % 3;
            int steps = 0;

            Together((seed * 1000) + round, random =>
            {
                run.Step(random);
                if (Interlocked.Increment(ref steps) == 500)
                {
                    switch (ender)
                    {
                        case 0:
                            cache.Dispose();
                            break;
                        case 1:
                            cache.Member.Dispose();
                            break;
                        default:
                            cache.Member.MoveTo(other);
                            break;
                    }
                }
            }, group, 1000);

            cache.Dispose();
            Assert.Equal((0, 0, 0), (cache.Count, cache.Bytes, cache.Member.Usage));

            // The end of the member is told on the thread pool, which may be disposing values still.
            SpinWait.SpinUntil(() => run.Kept.All(static value => value.Disposals > 0), CacheScene.Deadline);
            Assert.All(run.Kept, value => Assert.True(value.Disposals == 1, $"seed {seed}, round {round}"));
            Assert.All(run.Refused, value => Assert.True(value.Disposals == 0, $"seed {seed}, round {round}"));
            Assert.True(root.BooksErrorCount == 0, root.FirstBooksError);
        }
    }

    // Some play with the cache, one charges in the same group, one asks for reclaim.
    private static void Together(int seed, Action<Random> step, MemoryGroup group, int steps = Steps)
    {
        MemoryMember query = group.CreateMember("query");
        Action<Random>[] parts =
        [
            .. Enumerable.Repeat(step, Threads),
            random =>
            {
                if (Try(() => query.Charge(random.Next(1, 20_000))))
                {
                    query.Uncharge(query.Usage);
                }
            },
            random => group.ReclaimAsync(random.Next(1, 10_000)).AsTask().Wait(CacheScene.Deadline),
        ];
        var errors = new ConcurrentQueue<Exception>();
        Thread[] threads = [.. parts.Select((part, index) => new Thread(() =>
        {
            var random = new Random((seed * 100) + index);
            try
            {
                for (int i = 0; i < (index < Threads ? steps : steps / 20); i++)
                {
                    part(random);
                }
            }
            catch (Exception error)
            {
                errors.Enqueue(error);
            }
        }))];
        Array.ForEach(threads, static thread => thread.Start());
        Array.ForEach(threads, static thread => Assert.True(thread.Join(CacheScene.Deadline), "a thread hangs"));
        Assert.True(errors.IsEmpty, $"seed {seed}: {string.Join('\n', errors)}");
        query.Dispose();
    }

    private static bool Try(Action charge)
    {
        try
        {
            charge();
            return true;
        }
        catch (MemoryLimitExceededException)
        {
            return false;
        }
    }

    private sealed class Run(ChargedCache<int, Counted> cache, long maxBytes)
    {
        public ConcurrentBag<Counted> Kept { get; } = [];

        public ConcurrentBag<Counted> Refused { get; } = [];

        public void Step(Random random)
        {
            int key = random.Next(Keys);
            switch (random.Next(20))
            {
                case < 8:
                    cache.TryGet(key, out _);
                    break;
                case < 12:
                    var written = new Counted(random.Next(3000));
                    (cache.Set(key, written) ? Kept : Refused).Add(written);
                    break;
                case < 18:
                    Counted? made = null;
                    cache.GetOrAdd(key, _ => made = new Counted(random.Next(3000)), out bool isKept);
                    if (made is not null)
                    {
                        (isKept ? Kept : Refused).Add(made);
                    }

                    break;
                case 18:
                    cache.Remove(key);
                    break;
                default:
                    if (random.Next(200) == 0)
                    {
                        cache.Clear();
                    }

                    Assert.InRange(cache.HeldBytes, 0, maxBytes);
                    break;
            }
        }
    }

    private sealed class Counted(long bytes) : IDisposable
    {
        private int _disposals;

        public long Bytes { get; } = bytes;

        public int Disposals => Volatile.Read(ref _disposals);

        public void Dispose() => Interlocked.Increment(ref _disposals);
    }
}
