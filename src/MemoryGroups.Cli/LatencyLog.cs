// The latencies of one kind of query, every one of them: a phase has at most a few thousand, so exact percentiles are
// cheaper than arguing about a histogram's error. Nearest rank: the reported value is one that really happened.

namespace MemoryGroups.Cli;

internal sealed class LatencyLog
{
    private readonly List<double> _milliseconds = [];

    internal int Count => _milliseconds.Count;

    internal void Add(TimeSpan latency) => _milliseconds.Add(latency.TotalMilliseconds);

    // The smallest value that at least `percent` of all values do not exceed; null when there is none at all.
    internal double? Percentile(double percent)
    {
        if (_milliseconds.Count == 0) return null;

        double[] sorted = [.. _milliseconds];
        Array.Sort(sorted);
        int rank = (int)Math.Ceiling(percent / 100.0 * sorted.Length);
        return sorted[Math.Clamp(rank, 1, sorted.Length) - 1];
    }
}
