// One tenant at work: starts each query of the schedule when it is due, whatever became of those before, and records
// how it ended. Everyday queries and big ones have connections of their own, as in a service that keeps a lane free
// for short work; without that, "are the greedy tenant's small queries served" would only measure its own queue.
//
// What must stay true: every query that was started is recorded once, however it ends, and none outlives RunAsync.

namespace MemoryGroups.Cli;

internal sealed class TenantLoad
{
    private readonly TenantProfile _profile;
    private readonly SessionPool _smallPool;
    private readonly SessionPool? _bigPool;
    private readonly QueryCache _cache;
    private readonly PhaseJournal _journal;
    private readonly DemoEngine _engine;
    private readonly MemoryMember? _requests;
    private readonly TimeProvider _clock;
    private readonly QueryTally _small = new();
    private readonly QueryTally _big = new();
    private readonly QueryTally _export = new();

    internal TenantLoad(
        TenantProfile profile, SessionPool smallPool, SessionPool? bigPool, QueryCache cache, PhaseJournal journal,
        DemoEngine engine, MemoryMember? requests, TimeProvider clock)
    {
        _profile = profile;
        _smallPool = smallPool;
        _bigPool = bigPool;
        _cache = cache;
        _journal = journal;
        _engine = engine;
        _requests = requests;
        _clock = clock;
    }

    internal TenantCounts Snapshot() =>
        new(_profile.Name, _small.Snapshot(), _big.Snapshot(), _export.Snapshot())
        {
            MeteredBytes = _requests?.AllocatedBytes ?? 0,
        };

    // Ends when every query of the schedule has ended. `stop` interrupts what still runs; it then counts as unfinished.
    internal async Task RunAsync(DemoOptions options, long startTimestamp, CancellationToken stop)
    {
        Arrival[] arrivals =
        [
            .. LoadSchedule.Small(_profile, options.Seed, options.PhaseLength),
            .. LoadSchedule.Big(_profile, options.Seed, options.PhaseLength, options.BudgetBytes),
        ];
        Array.Sort(arrivals, (a, b) => a.Due.CompareTo(b.Due));

        var running = new List<Task>(arrivals.Length);
        for (int n = 0; n < arrivals.Length && !stop.IsCancellationRequested; n++)
        {
            TimeSpan early = arrivals[n].Due - _clock.GetElapsedTime(startTimestamp);
            // WhenAny and not a try: a stop while waiting is the ordinary end of the loop, not an error.
            if (early > TimeSpan.Zero) await Task.WhenAny(Task.Delay(early, _clock, stop));
            if (!stop.IsCancellationRequested) running.Add(RunOneAsync(arrivals[n], n, startTimestamp, stop));
        }

        await Task.WhenAll(running);
    }

    private async Task RunOneAsync(Arrival arrival, int number, long startTimestamp, CancellationToken stop)
    {
        QueryTally tally = arrival.Query.Kind == QueryKind.BigExport ? _export : arrival.Query.IsBig ? _big : _small;
        tally.Started();

        // Nothing of it is charged: what the request allocates on the managed heap is metered, wherever it goes.
        using MeteredScope? metered = _requests?.Enter();
        QueryEnd end = QueryEnd.Failed;
        try
        {
            await AnswerAsync(arrival.Query, number, stop);
            end = QueryEnd.Succeeded;
        }
        catch (Exception e)
        {
            end = Classify(e, stop);
            // A refused big query is what the demo is about; any other that does not succeed needs an explanation.
            if (end == QueryEnd.Refused && arrival.Query.IsBig)
                _journal.Refused(_profile.Name, arrival.Query, e);
            else if (!arrival.Query.IsBig || end == QueryEnd.Failed)
                _journal.Tell($"{_profile.Name}'s {arrival.Query.Kind} {end}: {Shown.FirstLine(e.Message)}");
        }

        tally.Ended(end, _clock.GetElapsedTime(startTimestamp) - arrival.Due);
    }

    private async Task AnswerAsync(DemoQuery query, int number, CancellationToken stop)
    {
        if (query.IsCacheable && _cache.Find(CacheKey(query)) is not null) return;

        SessionPool pool = query.IsBig ? _bigPool! : _smallPool;
        byte[] answer = await pool.RunAsync($"{query.Kind}-{number}", query, stop);
        if (query.IsCacheable) _cache.Keep(CacheKey(query), answer);
    }

    private string CacheKey(DemoQuery query) => $"{_profile.Name}/{query.Key}";

    // The stop comes first: an interrupt that the phase itself caused is neither a kill nor a failure.
    private QueryEnd Classify(Exception e, CancellationToken stop) => e switch
    {
        _ when stop.IsCancellationRequested => QueryEnd.Unfinished,
        OomKilledException => QueryEnd.Killed,
        MemoryLimitExceededException => QueryEnd.Refused,
        _ when _engine.IsOutOfMemory(e) => QueryEnd.Refused,
        OutOfMemoryException => QueryEnd.Refused,
        _ => QueryEnd.Failed,
    };
}
