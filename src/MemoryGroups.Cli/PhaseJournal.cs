// What happened since the last line to the parent: events in words, and kills as data. Bounded: when a phase has more
// to say than a screen can show, the oldest news of the interval are dropped and counted, never the process's memory.
//
// What must stay true: kills are kept all the way (the verdict lists them); only words are dropped.

namespace MemoryGroups.Cli;

internal sealed class PhaseJournal
{
    private const int MostEvents = 20;

    private readonly TimeProvider _clock;
    private readonly long _startTimestamp;
    private readonly Lock _gate = new();

    // Guarded by _gate.
    private readonly Queue<string> _events = [];
    private readonly List<KillRow> _kills = [];
    private int _dropped;
    private OomReport? _firstReport;

    internal PhaseJournal(TimeProvider clock)
    {
        _clock = clock;
        _startTimestamp = clock.GetTimestamp();
    }

    internal double AtSeconds => Math.Round(_clock.GetElapsedTime(_startTimestamp).TotalSeconds, 2);

    internal void Tell(string text)
    {
        lock (_gate)
        {
            if (_events.Count == MostEvents)
            {
                _events.Dequeue();
                _dropped++;
            }

            _events.Enqueue($"{AtSeconds,5:0.0} s  {text}");
        }
    }

    internal void Refused(string tenant, DemoQuery query, Exception error)
    {
        string why = error switch
        {
            MemoryLimitExceededException { GroupPath: { Length: > 0 } path } => $"{path} is full",
            MemoryLimitExceededException => "out of memory at every try",
            _ => "the engine is out of memory",
        };
        Tell($"refused {tenant}'s {query.Kind}: {why}");
    }

    internal void Killed(OomReport report)
    {
        var kill = new KillRow(
            AtSeconds, report.VictimPath, report.VictimGroup, report.Reason, report.VictimScore, report.AskerPath,
            report.RequestedBytes, report.RefusingGroup);
        string asked = report.AskerPath == report.VictimPath
            ? "it asked for"
            : $"{Shown.PathTail(report.AskerPath)} needed";
        Tell($"killed {Shown.PathTail(report.VictimPath)} ({Shown.Bytes(report.VictimScore)}): "
            + $"{asked} {Shown.Bytes(report.RequestedBytes)}");
        lock (_gate)
        {
            _kills.Add(kill);
            _firstReport ??= report;
        }
    }

    internal OomReport? FirstReport
    {
        get
        {
            lock (_gate) return _firstReport;
        }
    }

    // The news since the last call.
    internal (IReadOnlyList<string> Events, IReadOnlyList<KillRow> Kills) Take()
    {
        lock (_gate)
        {
            List<string> events = [.. _events];
            if (_dropped > 0) events.Insert(0, $"({_dropped} earlier events are not shown)");
            List<KillRow> kills = [.. _kills];
            _events.Clear();
            _kills.Clear();
            _dropped = 0;
            return (events, kills);
        }
    }
}
