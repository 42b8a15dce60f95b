// What became of one tenant's queries of one class. Every query that was due ends in exactly one of the columns, so the
// columns add up to Tried once the phase is over; while it runs the difference is what is in flight.

namespace MemoryGroups.Cli;

internal enum QueryEnd
{
    Succeeded,

    // Told that there is no memory for it: a limit's refusal, or SQLITE_NOMEM where nothing is governed.
    Refused,

    // Chosen as victim while it ran.
    Killed,

    // Still running when the phase gave up waiting for it.
    Unfinished,

    // Any other error; none is expected, and the verdict says so when there is one.
    Failed,
}

// P50Ms and P99Ms are of those that succeeded, from the moment they were due; null if none did.
internal sealed record QueryCounts(
    int Tried, int Succeeded, int Refused, int Killed, int Unfinished, int Failed, double? P50Ms, double? P99Ms)
{
    internal static readonly QueryCounts None = new(0, 0, 0, 0, 0, 0, null, null);
}

internal sealed class QueryTally
{
    private readonly Lock _gate = new();

    // Guarded by _gate.
    private readonly int[] _ends = new int[Enum.GetValues<QueryEnd>().Length];
    private readonly LatencyLog _latencies = new();
    private int _tried;

    internal void Started()
    {
        lock (_gate) _tried++;
    }

    internal void Ended(QueryEnd end, TimeSpan latency)
    {
        lock (_gate)
        {
            _ends[(int)end]++;
            if (end == QueryEnd.Succeeded) _latencies.Add(latency);
        }
    }

    internal QueryCounts Snapshot()
    {
        lock (_gate)
        {
            return new QueryCounts(
                _tried,
                _ends[(int)QueryEnd.Succeeded],
                _ends[(int)QueryEnd.Refused],
                _ends[(int)QueryEnd.Killed],
                _ends[(int)QueryEnd.Unfinished],
                _ends[(int)QueryEnd.Failed],
                _latencies.Percentile(50),
                _latencies.Percentile(99));
        }
    }
}
