// Runs a list of operations on the real tree and on the model, and compares the two after each of them.
//
// The tables of places are here: each place holds the real thing and its twin of the model. What an operation does to
// both stands side by side, in ModelRun.Verbs. ModelRun.Compare says what has to agree.
namespace MemoryGroups.Tests;

internal sealed partial class ModelRun : IDisposable
{
    private const int GroupPlaces = 6;
    private const int MemberPlaces = 8;
    private const int RequestPlaces = 8;
    private const int LeasePlaces = 4;
    private const int SignalPlaces = 3;

    private readonly World _world;
    private readonly MemoryRoot _root;
    private readonly ReferenceModel _model;
    private readonly GroupTwin?[] _groups = new GroupTwin?[GroupPlaces];
    private readonly MemberTwin?[] _members = new MemberTwin?[MemberPlaces];
    private readonly RequestTwin?[] _requests = new RequestTwin?[RequestPlaces];
    private readonly LeaseTwin?[] _leases = new LeaseTwin?[LeasePlaces];
    private readonly MemorySignal[] _signals = [.. Enumerable.Range(0, SignalPlaces).Select(_ => new MemorySignal())];
    private readonly List<string> _victims = [];
    private readonly SynchronizationContext? _outer = SynchronizationContext.Current;
    private int _names;

    public ModelRun(ModelSetup setup, ModelStatistics statistics)
    {
        // Continuations of plain tasks run inline only where no context wants them elsewhere.
        SynchronizationContext.SetSynchronizationContext(null);
        Statistics = statistics;
        _model = new ReferenceModel(setup);
        _world = new World(setup.Capacity, options => options with
        {
            MinWatermarkBytes = setup.HasStocks ? 0 : null,
            CostlyChargeBytes = null,
            OomReserveBytes = setup.Reserve,
            RecursiveProtection = setup.Recursive,
            KillAllocatingMember = setup.KillAsker,
            WaitTimeout = TimeSpan.FromMilliseconds(setup.WaitTimeout),
        });
        _root = _world.Root;
        _root.ProbeHook = (point, subject) =>
        {
            if (point == ProbePoint.VictimChosen)
            {
                _victims.Add(((MemoryMember)subject!).Name);
            }
        };
        _groups[0] = new GroupTwin(_root, _model.Root);
    }

    public ModelStatistics Statistics { get; }

    private sealed record GroupTwin(MemoryGroup Real, ModelGroup Model);

    private sealed record MemberTwin(MemoryMember Real, ModelMember Model)
    {
        // What was charged raw and may be uncharged.
        public long Raw { get; set; }

        public bool IsCache { get; init; }

        public (MemoryAccount Real, ModelAccount Model)? Account { get; set; }

        public bool AccountBusy { get; set; }

        public Stack<IDisposable> Dumps { get; } = new();
    }

    private sealed record LeaseTwin(MemoryCharge Real, ModelLease Model, MemberTwin Owner);

    private sealed record RequestTwin(Task<string> Real, ModelRequest Model, CancellationTokenSource Cancel)
    {
        public Action? Granted { get; init; }

        public Action? Over { get; init; }
    }

    public static void Check(ModelCase one, ModelStatistics statistics)
    {
        using var run = new ModelRun(one.Setup, statistics);
        for (int i = 0; i < one.Operations.Length; i++)
        {
            try
            {
                run.Do(one.Operations[i]);
            }
            catch (Exception error)
            {
                string after = $"after operation {i} ({one.Operations[i]})";
                throw new InvalidOperationException($"{after}: {error.Message}", error);
            }
        }

        run.CountEvents();
    }

    private void CountEvents()
    {
        foreach (MemoryEvent kind in Enum.GetValues<MemoryEvent>())
        {
            Statistics.Add($"event {kind}", _model.Root.All[(int)kind]);
        }

        Statistics.Add("aged requests", _model.AgedRequests);
    }

    public void Dispose() => SynchronizationContext.SetSynchronizationContext(_outer);

    private void Do(ModelOperation one)
    {
        if (_model.Setup.HasStocks)
        {
            // What reclaimers are asked for, and what an account keeps, depends on what is idle; who is served from
            // stock is not slowed down.
            if (one.Verb is ModelVerb.CreateCache or ModelVerb.Reclaim or ModelVerb.SetHigh
                or (>= ModelVerb.AccountTryGrow and <= ModelVerb.AccountClose))
            {
                return;
            }

            one = one.Verb is ModelVerb.Tick or ModelVerb.Disable
                ? one : one with { Bytes = (one.Bytes * _model.Setup.Scale) + (one.C % 3) };
        }

        if (!Prepare(one) && !Charge(one) && !Lease(one) && !Account(one) && !Tune(one) && !Switch(one))
        {
            return;
        }

        _world.Run();
        _model.Run();
        Statistics.Count(one.Verb);
        do
        {
            CompareRequests();
        }
        while (Harvest());
        Compare();
    }

    // What came of requests that are over now. What they leave behind may end others: true to look again.
    private bool Harvest()
    {
        bool any = false;
        for (int i = 0; i < _requests.Length; i++)
        {
            if (_requests[i] is { Real.IsCompleted: true } over)
            {
                any = true;
                Statistics.CountEnding(over.Model.Outcome!);
                _requests[i] = null;
                over.Over?.Invoke();
                if (over.Model.Granted)
                {
                    over.Granted?.Invoke();
                }

            }
        }

        for (int i = 1; i < _groups.Length; i++)
        {
            _groups[i] = _groups[i] is { Model.Closed: false } open ? open : null;
        }

        return any;
    }

    private static async Task<string> EndingOf(Func<ValueTask<string>> call)
    {
        try
        {
            return await call().ConfigureAwait(false);
        }
        catch (MemoryLimitExceededException refused)
        {
            return $"{refused.Reason} at {refused.GroupPath}";
        }
        catch (OomKilledException)
        {
            return "killed";
        }
        catch (OperationCanceledException)
        {
            return "cancelled";
        }
        catch (ObjectDisposedException)
        {
            return "closed";
        }
    }

    private static string EndingOf(Action call) => EndingOf(() =>
    {
        call();
        return ValueTask.FromResult("granted");
    }).GetAwaiter().GetResult();

    private static async ValueTask<string> Granted(ValueTask call)
    {
        await call.ConfigureAwait(false);
        return "granted";
    }

    private static async ValueTask<string> Said<T>(ValueTask<T> call) =>
        Convert.ToString(await call.ConfigureAwait(false), System.Globalization.CultureInfo.InvariantCulture)!;
}

internal sealed class ModelStatistics
{
    private readonly Dictionary<string, long> _counts = [];
    private readonly long[] _verbs = new long[Enum.GetValues<ModelVerb>().Length];

    public long Operations { get; private set; }

    public long this[string what] => _counts.GetValueOrDefault(what);

    public void Count(ModelVerb verb)
    {
        Operations++;
        _verbs[(int)verb]++;
    }

    public void Add(string what, long count) => _counts[what] = this[what] + count;

    // Refusals name the group after "at"; a request to reclaim ends with a number.
    public void CountEnding(string ending) => Add(
        ending == "0" ? "reclaimed nothing" : char.IsDigit(ending[0]) ? "reclaimed" : ending.Split(" at ")[0], 1);

    public long Of(ModelVerb verb) => _verbs[(int)verb];

    public override string ToString() =>
        $"{Operations} operations: "
        + string.Join(", ", Enum.GetValues<ModelVerb>().Select(verb => $"{verb} {Of(verb)}"))
        + "\n" + string.Join(", ", _counts.OrderBy(static one => one.Key, StringComparer.Ordinal)
            .Select(static one => $"{one.Key} {one.Value}"));
}
