// One thing that is measured. A case is built once for its scene and visited once in every round.
//
// LoopCase runs the same operation on some threads for one window. The operation comes as chunks: a delegate that runs
// it so many times in a loop of its own and answers how often it was refused, so that neither the delegate call nor the
// clock is in the figure. ProcessCase counts what other threads do for it. OwnCase is for what is not a loop (a
// latency, a walk over a large tree): it measures itself.
namespace MemoryGroups.Benchmarks;

internal abstract class Case(string name, int threads = 1)
{
    internal string Name { get; } = name;

    internal int Threads { get; } = threads;

    /// <returns>Null when the window does not count: a thread lost its core.</returns>
    internal abstract Measurement? TryMeasure(Window window);
}

/// <summary>Runs a given number of operations and answers how many of them were refused.</summary>
internal delegate long Chunk(int operations);

/// <param name="name">Unique within the scene; goals refer to it.</param>
/// <param name="threads">How many run it at the same time; pinned when there is a core for each.</param>
/// <param name="worker">Makes what thread i runs.</param>
/// <param name="chunk">Operations between two looks at the clock: about 10 to 500 microseconds' worth.</param>
/// <param name="counted">Only the first so many threads are measured; 0: all.</param>
internal sealed class LoopCase(string name, int threads, Func<int, Chunk> worker, int chunk = 4096, int counted = 0)
    : Case(name, threads)
{
    private readonly Chunk[] _chunks = [.. Enumerable.Range(0, threads).Select(worker)];

    internal override Measurement? TryMeasure(Window window) =>
        window.TryMeasure(_chunks, chunk, counted == 0 ? _chunks.Length : counted);
}

/// <summary>The same for what leaves work to threads of its own: the figure is the whole process's CPU time.</summary>
/// <param name="name">Unique within the scene; goals refer to it.</param>
/// <param name="threads">How many run it at the same time.</param>
/// <param name="worker">Makes what thread i runs.</param>
internal sealed class ProcessCase(string name, int threads, Func<int, Chunk> worker) : Case(name, threads)
{
    private readonly Chunk[] _chunks = [.. Enumerable.Range(0, threads).Select(worker)];

    internal override Measurement? TryMeasure(Window window) => window.MeasureProcess(_chunks, operations: 4096);
}

/// <param name="name">Unique within the scene; goals refer to it.</param>
/// <param name="measure">Nanoseconds per operation, or whatever its goals compare; NaN drops the window.</param>
internal sealed class OwnCase(string name, Func<double> measure) : Case(name)
{
    internal override Measurement? TryMeasure(Window window)
    {
        double nanos = measure();
        return double.IsNaN(nanos) ? null : Measurement.OfNanos(nanos);
    }
}
