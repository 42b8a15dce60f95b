// Waiting for memory and being granted it, against a semaphore and a concurrency limiter of the same size.
//
// One group whose killer is off holds exactly what its holder has, so whoever asks for a byte sleeps until some come
// back. A wake is timed from the release to the first line after the await, on whatever thread that runs. Allocation is
// counted without anybody awaiting: a task that is only looked at costs no state machine of ours. Many waiters are many
// async methods that go on after their wait, as waiters do: a semaphore whose tasks nobody awaits hands over nothing.
using System.Collections.Concurrent;
using System.Threading.RateLimiting;

namespace MemoryGroups.Benchmarks;

internal static class WaitCases
{
    private const string Area = "wait and grant";
    private const int Bytes = 100;

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "lone", static effort => Lone(effort.Smoke ? 5 : 100)),
        new PairedScene(Area, "many", static effort => Many(effort.Smoke ? 100 : effort.Full ? 10_000 : 1000)),
    ];

    private static PairedSet Lone(int waits)
    {
        var ours = new Room();
        var besides = new Room();
        var semaphore = new SemaphoreSlim(0);
        var permits = new Permits(1);
        return new PairedSet
        {
            Cases =
            [
                new OwnCase("ours", () => MedianWake(waits, ours.WaitAsync, ours.Release, ours.TakeBack)),
                new OwnCase("ours, huge", () => besides.BehindHugeOne(() => MedianWake(
                    waits, besides.WaitAsync, besides.Release, besides.TakeBack))),
                new OwnCase("semaphore", () => MedianWake(
                    waits, () => new ValueTask(semaphore.WaitAsync()), () => semaphore.Release(), static () => { })),
                new OwnCase("limiter", () => MedianWake(waits, permits.WaitAsync, permits.Release, permits.TakeBack)),
                new OwnCase("ours, bytes", () => BytesPerWait(waits, ours.WaitAsync, ours.Release, ours.TakeBack)),
                new OwnCase("semaphore, bytes", () => BytesPerWait(
                    waits, () => new ValueTask(semaphore.WaitAsync()), () => semaphore.Release(), static () => { })),
            ],
            Goals =
            [
                Goal.AtMost("lone wake, p50 / SemaphoreSlim's", 1, static at => at.Ratio("ours", "semaphore")),
                Goal.Shown("lone wake, p50 / ConcurrencyLimiter's", static at => at.Ratio("ours", "limiter"), "x"),
                Goal.Shown("lone wake, p50", static at => at.Nanos("ours"), "ns"),
                Goal.AtMost("small wake behind a blocked huge one / alone", 1.1, static at =>
                    at.Ratio("ours, huge", "ours")),
                Goal.AtMost("allocated per queued wait", 0, static at => at.Nanos("ours, bytes"), "B") with
                {
                    Control = new Control("allocated per wait for SemaphoreSlim", static at =>
                        at.Nanos("semaphore, bytes"), Bound.AtLeast(64), "B"),
                },
            ],
            Owned = [ours, besides, permits],
        };
    }

    private static PairedSet Many(int waiters)
    {
        var ours = new Room(waiters);
        var semaphore = new SemaphoreSlim(0);
        var permits = new Permits(waiters);
        int few = Math.Max(1, waiters / 10);
        return new PairedSet
        {
            Cases =
            [
                new OwnCase("ours", () => NanosPerWaiter(waiters, ours.WaitAsync, ours.Release, ours.TakeBack)),
                new OwnCase("ours, few", () => NanosPerWaiter(few, ours.WaitAsync, ours.Release, ours.TakeBack)),
                new OwnCase("semaphore", () => NanosPerWaiter(
                    waiters, () => new ValueTask(semaphore.WaitAsync()), () => semaphore.Release(), static () => { })),
                new OwnCase("limiter", () => NanosPerWaiter(
                    waiters, permits.WaitAsync, permits.Release, permits.TakeBack)),
            ],
            Goals =
            [
                Goal.AtMost($"{waiters:N0} waiters, each / SemaphoreSlim's", 1, static at =>
                    at.Ratio("ours", "semaphore")),
                Goal.Shown($"{waiters:N0} waiters, each / ConcurrencyLimiter's", static at =>
                    at.Ratio("ours", "limiter"), "x"),
                Goal.AtMost($"each of {waiters:N0} / each of {few:N0}", 3, static at => at.Ratio("ours", "ours, few")),
                Goal.Shown($"{waiters:N0} waiters, each", static at => at.Nanos("ours"), "ns"),
            ],
            Owned = [ours, permits],
        };
    }

    private static double MedianWake(int waits, Func<ValueTask> wait, Action release, Action takeBack)
    {
        var nanos = new double[waits];
        for (int i = 0; i < waits; i++)
        {
            Task<long> resumed = ResumedAtAsync(wait());
            long start = TimeProvider.System.GetTimestamp();
            release();
            nanos[i] = TimeProvider.System.GetElapsedTime(start, resumed.GetAwaiter().GetResult()).TotalNanoseconds;
            takeBack();
        }

        Array.Sort(nanos);
        return nanos[waits / 2];
    }

    private static async Task<long> ResumedAtAsync(ValueTask waiting)
    {
        await waiting.ConfigureAwait(false);
        return TimeProvider.System.GetTimestamp();
    }

    private static double BytesPerWait(int waits, Func<ValueTask> wait, Action release, Action takeBack)
    {
        long before = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 0; i < waits; i++)
        {
            ValueTask waiting = wait();
            release();
            SpinWait.SpinUntil(() => waiting.IsCompleted);
            if (waiting.IsCompleted)
            {
                waiting.GetAwaiter().GetResult();
            }

            takeBack();
        }

        long all = GC.GetTotalAllocatedBytes(precise: true) - before;
        return Math.Round(Math.Max(0, all - Harness(waits)) / (double)waits);
    }

    // What the loop above allocates by itself: the closure and the delegate for the look.
    private static long Harness(int waits)
    {
        long before = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 0; i < waits; i++)
        {
            ValueTask waiting = ValueTask.CompletedTask;
            SpinWait.SpinUntil(() => waiting.IsCompleted);
        }

        return GC.GetTotalAllocatedBytes(precise: true) - before;
    }

    private static double NanosPerWaiter(int waiters, Func<ValueTask> wait, Action release, Action takeBack)
    {
        Task[] all = [.. Enumerable.Range(0, waiters).Select(_ => GoOnAsync(wait()))];
        long start = TimeProvider.System.GetTimestamp();
        for (int i = 0; i < waiters; i++)
        {
            release();
        }

        Task.WaitAll(all);
        double nanos = TimeProvider.System.GetElapsedTime(start).TotalNanoseconds / waiters;
        for (int i = 0; i < waiters; i++)
        {
            takeBack();
        }

        return nanos;
    }

    private static async Task GoOnAsync(ValueTask waiting) => await waiting.ConfigureAwait(false);

    // A limiter all of whose permits are held. A lease is an object: who waits keeps it for the time after.
    private sealed class Permits : IDisposable
    {
        private readonly ConcurrencyLimiter _limiter;
        private readonly ConcurrentQueue<RateLimitLease> _held = new();
        private readonly ConcurrentQueue<RateLimitLease> _granted = new();

        internal Permits(int all)
        {
            _limiter = new ConcurrencyLimiter(new ConcurrencyLimiterOptions
            {
                PermitLimit = all,
                QueueLimit = int.MaxValue,
                QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
            });
            for (int i = 0; i < all; i++)
            {
                _held.Enqueue(_limiter.AttemptAcquire());
            }
        }

        public void Dispose() => _limiter.Dispose();

        internal async ValueTask WaitAsync() => _granted.Enqueue(await _limiter.AcquireAsync().ConfigureAwait(false));

        internal void Release() => Return(_held);

        internal void TakeBack()
        {
            Return(_granted);
            _held.Enqueue(_limiter.AttemptAcquire());
        }

        private static void Return(ConcurrentQueue<RateLimitLease> leases)
        {
            if (leases.TryDequeue(out RateLimitLease? lease))
            {
                lease.Dispose();
            }
        }
    }

    // A full group, who holds all of it, and who asks.
    private sealed class Room : IDisposable
    {
        private readonly MemoryRoot _root = new();
        private readonly MemoryGroup _group;
        private readonly MemoryMember _holder;
        private readonly MemoryMember _asker;

        internal Room(int waiters = 1)
        {
            long all = Bytes * Math.Max(100L, waiters);
            _group = _root.CreateGroup("full", new MemoryGroupOptions
            {
                Max = all,
                KillDisabled = true,
                BatchBytes = 1,
                WaitTimeout = Timeout.InfiniteTimeSpan,
            });
            _holder = _group.CreateMember("holder");
            _asker = _group.CreateMember("asker");
            _holder.Charge(all);
        }

        public void Dispose()
        {
            _root.Dispose();
        }

        internal ValueTask WaitAsync() => _asker.ChargeAsync(Bytes);

        internal void Release() => _holder.Uncharge(Bytes);

        internal void TakeBack()
        {
            _asker.Uncharge(Bytes);
            _holder.Charge(Bytes);
        }

        // A new one each time: one that was passed for seconds is aged, and holds younger ones back, as it should.
        internal double BehindHugeOne(Func<double> measure)
        {
            using var end = new CancellationTokenSource();
            using MemoryMember huge = _group.CreateMember("huge");
            Task waiting = huge.ChargeAsync(Bytes * 50, cancellationToken: end.Token).AsTask();
            double nanos = measure();
            end.Cancel();
            Task.WaitAny(waiting);
            return nanos;
        }
    }
}
