// What one window of one case gave, and what one round of all cases gave.
//
// A round holds one measurement for each case of a scene, taken within a second or so, so that a ratio between two of
// them is not a ratio between two moods of the machine. A dropped window is a hole: every figure that needs it becomes
// NaN, and the round does not count for that figure.
namespace MemoryGroups.Benchmarks;

/// <param name="Nanos">Nanoseconds of one core per operation: the wall time of one thread, shared by the operations
/// that one core did in it.</param>
/// <param name="Rate">Operations per second of all threads together.</param>
/// <param name="Bytes">Managed bytes allocated per operation.</param>
/// <param name="Refused">Operations that were refused.</param>
/// <param name="Operations">All operations of the window.</param>
internal sealed record Measurement(double Nanos, double Rate, double Bytes, long Refused, long Operations)
{
    /// <summary>For a case that measures itself, such as a latency.</summary>
    internal static Measurement OfNanos(double nanos) => new(nanos, 1e9 / nanos, 0, 0, 0);
}

internal sealed class Round(IReadOnlyDictionary<string, Measurement?> results)
{
    /// <summary>Nanoseconds per operation and core; NaN when the window was dropped.</summary>
    internal double Nanos(string name) => results[name]?.Nanos ?? double.NaN;

    internal double Rate(string name) => results[name]?.Rate ?? double.NaN;

    internal double Bytes(string name) => results[name]?.Bytes ?? double.NaN;

    internal long Refused(string name) => results[name]?.Refused ?? 0;

    internal long Operations(string name) => results[name]?.Operations ?? 0;

    /// <summary>The first in units of the second.</summary>
    internal double Ratio(string name, string baseline) => Nanos(name) / Nanos(baseline);
}
