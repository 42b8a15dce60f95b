// One window: some threads run one operation for some 25 ms, all at the same time.
//
// A thread takes its time from the moment when all have arrived, and looks at the clock between chunks only. With a
// core for each thread they are pinned to different ones, and the window counts only when every thread had its core for
// 97 % of it: what another process took would else be booked as the price of an operation. With more threads than
// cores the same is asked of the sum.
//
// What leaves work to other threads is measured by the CPU time of the whole process, from the start until it rests:
// such threads take the cores from those that count, and nobody could say who did. CPU time does not pass while another
// process runs; so nobody is pinned, and every window counts.
namespace MemoryGroups.Benchmarks;

internal sealed class Window(Machine machine) : IDisposable
{
    private const double LeastShare = 0.97;

    // So many times as long: a cache's compactions are events, and a window needs many of them.
    private const int LongerForProcess = 10;

    private const int MostPauses = 100;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(4);

    private readonly List<Worker> _workers = [];

    internal TimeSpan Length { get; set; } = TimeSpan.FromMilliseconds(25);

    internal Machine Machine => machine;

    /// <param name="chunks">What each thread runs.</param>
    /// <param name="operations">How many operations at once.</param>
    /// <param name="counted">The first so many threads are measured; the others are only there.</param>
    internal Measurement? TryMeasure(IReadOnlyList<Chunk> chunks, int operations, int counted)
    {
        Share[] shares = Run(chunks, operations, Length, isPinned: chunks.Count <= machine.Cores);
        return HadTheirCores(shares) ? Sum(shares[..counted]) : null;
    }

    /// <summary>Nanoseconds are those of all the process's threads, whatever they ran on; the rate is by the clock.
    /// </summary>
    internal Measurement MeasureProcess(IReadOnlyList<Chunk> chunks, int operations)
    {
        TimeSpan before = Environment.CpuUsage.TotalTime;
        Measurement sum = Sum(Run(chunks, operations, Length * LongerForProcess, isPinned: false));
        WaitForRest();
        return sum with { Nanos = (Environment.CpuUsage.TotalTime - before).TotalNanoseconds / sum.Operations };
    }

    public void Dispose() => _workers.ForEach(static worker => worker.Dispose());

    private Share[] Run(IReadOnlyList<Chunk> chunks, int operations, TimeSpan length, bool isPinned)
    {
        while (_workers.Count < chunks.Count)
        {
            _workers.Add(new Worker(_workers.Count, machine));
        }

        var start = new Start(chunks.Count, isPinned);
        Worker[] working = [.. _workers.Take(chunks.Count)];
        for (int i = 0; i < working.Length; i++)
        {
            working[i].Begin(chunks[i], operations, length, start);
        }

        return [.. working.Select(static worker => worker.End())];
    }

    // What a case has left to others belongs to its own figure, and not to the next one's.
    private static void WaitForRest()
    {
        using var pause = new ManualResetEventSlim();
        for (int i = 0; i < MostPauses; i++)
        {
            TimeSpan before = Environment.CpuUsage.TotalTime;
            pause.Wait(Pause);
            if (ThreadPool.PendingWorkItemCount == 0 && Environment.CpuUsage.TotalTime - before < Pause / 4)
            {
                return;
            }
        }
    }

    private bool HadTheirCores(Share[] shares)
    {
        if (!machine.SeesCpuTime)
        {
            return true;
        }

        if (shares.Length <= machine.Cores)
        {
            return shares.All(static share => share.CpuNanos >= LeastShare * share.WallNanos);
        }

        double wall = shares.Max(static share => share.EndNanos) - shares.Min(static share => share.StartNanos);
        return shares.Sum(static share => share.CpuNanos) >= LeastShare * wall * machine.Cores;
    }

    private Measurement Sum(Share[] shares)
    {
        long operations = shares.Sum(static share => share.Operations);
        double rate = shares.Length <= machine.Cores
            ? shares.Sum(static share => share.Operations / share.WallNanos)
            : operations / (shares.Max(static share => share.EndNanos) - shares.Min(static share => share.StartNanos));
        return new Measurement(
            Math.Min(shares.Length, machine.Cores) / rate,
            rate * 1e9,
            (double)shares.Sum(static share => share.Bytes) / operations,
            shares.Sum(static share => share.Refused),
            operations);
    }

    private sealed record Share(
        double StartNanos, double EndNanos, double CpuNanos, long Operations, long Refused, long Bytes)
    {
        internal double WallNanos => EndNanos - StartNanos;
    }

    // Where the threads of one window meet. Spinning makes them start together; with fewer cores than threads it would
    // only keep the others from arriving.
    private sealed class Start(int threads, bool isPinned)
    {
        private readonly Barrier? _barrier = isPinned ? null : new Barrier(threads);
        private int _missing = threads;

        internal bool IsPinned => isPinned;

        internal void Meet()
        {
            if (_barrier is not null)
            {
                _barrier.SignalAndWait();
                return;
            }

            Interlocked.Decrement(ref _missing);
            while (Volatile.Read(ref _missing) > 0)
            {
                Thread.SpinWait(1);
            }
        }
    }

    private sealed class Worker : IDisposable
    {
        private readonly AutoResetEvent _begin = new(initialState: false);
        private readonly AutoResetEvent _end = new(initialState: false);
        private readonly int _number;
        private readonly Machine _machine;
        private (Chunk Chunk, int Operations, TimeSpan Length, Start Start)? _task;
        private Share? _share;
        private Exception? _failure;

        internal Worker(int number, Machine machine)
        {
            _number = number;
            _machine = machine;
            new Thread(Work) { IsBackground = true, Name = $"bench {number}" }.Start();
        }

        internal void Begin(Chunk chunk, int operations, TimeSpan length, Start start)
        {
            _task = (chunk, operations, length, start);
            _begin.Set();
        }

        internal Share End()
        {
            _end.WaitOne();
            return _failure is null ? _share! : throw new InvalidOperationException("a case failed", _failure);
        }

        public void Dispose()
        {
            _task = null;
            _begin.Set();
        }

        private void Work()
        {
            while (_begin.WaitOne() && _task is { } task)
            {
                try
                {
                    _machine.Pin(task.Start.IsPinned ? _number : null);
                    task.Start.Meet();
                    _share = Run(task.Chunk, task.Operations, task.Length);
                }
                catch (Exception e)
                {
                    _failure = e;
                }

                _end.Set();
            }
        }

        private Share Run(Chunk chunk, int operations, TimeSpan length)
        {
            long done = 0;
            long refused = 0;
            long bytes = GC.GetAllocatedBytesForCurrentThread();
            double cpu = _machine.ThreadCpuNanos();
            double start = _machine.Nanos();
            double now;
            double until = start + (length.TotalMilliseconds * 1e6);
            do
            {
                refused += chunk(operations);
                done += operations;
                now = _machine.Nanos();
            }
            while (now < until);

            cpu = _machine.ThreadCpuNanos() - cpu;
            bytes = GC.GetAllocatedBytesForCurrentThread() - bytes;
            return new Share(start, now, cpu, done, refused, bytes);
        }
    }
}
