// One phase, in the child process: opens the tenants' connections, runs the load, tells the parent on standard output
// how it goes (PhaseLine), closes everything and looks at the books. The process is under a hard memory cap that it
// knows nothing of; without governing it is expected to die here, at any line.
//
// What must stay true: nothing but PhaseLines goes to standard output. The process ends when its parent does: standard
// input is a pipe that only the parent holds open, so its end means there is nobody left to work for.

using System.Runtime.InteropServices;

namespace MemoryGroups.Cli;

internal sealed class DemoPhase
{
    internal const string Governed = "governed";
    internal const string Ungoverned = "ungoverned";

    // How long after the last due query the phase waits for answers before it interrupts what still runs. Used up only
    // on a machine that is busy with other things: the verdict is about memory, so slowness must not decide it.
    internal static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(12);

    private const int SmallConnections = 2;
    private const int BigConnections = 2;
    private static readonly TimeSpan TellEvery = TimeSpan.FromSeconds(0.25);
    private static readonly TimeSpan SampleEvery = TimeSpan.FromMilliseconds(10);

    private readonly DemoOptions _options;
    private readonly string _dataFolder;
    private readonly TimeProvider _clock;
    private readonly PhaseJournal _journal;
    private readonly Action<PhaseLine> _send;
    private readonly List<SessionPool> _pools = [];
    private readonly List<TenantLoad> _loads = [];
    private long _sampledPeakBytes;
    private MemoryShares? _shares;
    private MemoryShares? _peakShares;

    internal DemoPhase(DemoOptions options, string dataFolder, TimeProvider clock, Action<PhaseLine> send)
    {
        _options = options;
        _dataFolder = dataFolder;
        _clock = clock;
        _send = send;
        _journal = new PhaseJournal(clock);
    }

    internal static async Task RunAsChildAsync(
        DemoOptions options, string dataFolder, bool governed, TimeProvider clock)
    {
        // Ctrl-C in a terminal reaches every process of the group; the parent decides what it means for this one.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        new Thread(EndWithTheParent) { IsBackground = true, Name = "parent watch" }.Start();

        using var output = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = false };
        var phase = new DemoPhase(options, dataFolder, clock, line =>
        {
            output.WriteLine(line.ToJson());
            output.Flush();
        });
        await (governed ? phase.RunGovernedAsync() : phase.RunUngovernedAsync());
    }

    internal async Task RunUngovernedAsync()
    {
        using var cache = new QueryCache(member: null, _options.BudgetBytes / 4);
        try
        {
            foreach (TenantProfile tenant in TenantProfile.All)
            {
                string file = DemoData.PathOf(_dataFolder, tenant.Name, _options.Engine);
                AddLoad(
                    tenant,
                    _options.Engine.OpenPlain(file, SmallConnections),
                    tenant.IsPolite ? null : _options.Engine.OpenPlain(file, BigConnections),
                    cache,
                    requests: null);
            }

            await RunLoadsAsync(tree: null);
        }
        finally
        {
            foreach (SessionPool pool in _pools) pool.Dispose();
        }

        Send([], 0, new PhaseEnd(0, 0, 0, 0, BooksZero: null, [], FirstReport: null));
    }

    internal async Task RunGovernedAsync()
    {
        using var tree = new ServiceTree(_options, _clock);
        using var watching = new CancellationTokenSource();
        Task watch = WatchKillsAsync(tree, watching.Token);
        try
        {
            foreach (TenantProfile tenant in TenantProfile.All)
            {
                string file = DemoData.PathOf(_dataFolder, tenant.Name, _options.Engine);
                MemoryGroup group = tree[tenant.Name];
                SessionPool small =
                    await _options.Engine.OpenGovernedAsync(file, group, tenant.Name, SmallConnections);
                SessionPool? big = tenant.IsPolite
                    ? null
                    : await _options.Engine.OpenGovernedAsync(file, group, tenant.Name + "-big", BigConnections);
                AddLoad(tenant, small, big, tree.Cache, tree.RequestsOf(tenant.Name));
            }

            await RunLoadsAsync(tree);
        }
        finally
        {
            foreach (SessionPool pool in _pools) pool.Dispose();
            _options.Engine.Shutdown();
            tree.CloseHolders();
            await watching.CancelAsync();
            await watch;
        }

        long peak = PeakCharged(tree);
        IReadOnlyList<TreeRow> rows = tree.Rows();
        IReadOnlyList<string> left = await BooksLeftAsync(tree);
        Send(rows, peak, new PhaseEnd(
            peak, tree.BoundBytes, tree.Cache.GivenBackBytes, tree.Parachute.Openings, left.Count == 0, left,
            FirstReport(tree)?.ToString())
        {
            Memory = _peakShares is null ? null : _peakShares with { MeteredBytes = tree.Shares().MeteredBytes },
        });
    }

    private static void EndWithTheParent()
    {
        while (Console.In.Read() >= 0)
        {
        }

        Environment.Exit(1);
    }

    private void AddLoad(
        TenantProfile tenant, SessionPool small, SessionPool? big, QueryCache cache, MemoryMember? requests)
    {
        _pools.Add(small);
        if (big is not null) _pools.Add(big);
        _loads.Add(new TenantLoad(tenant, small, big, cache, _journal, _options.Engine, requests, _clock));
    }

    private async Task RunLoadsAsync(ServiceTree? tree)
    {
        using var stop = new CancellationTokenSource(_options.PhaseLength + DrainTime, _clock);
        long start = _clock.GetTimestamp();
        Task load = Task.WhenAll(_loads.Select(l => l.RunAsync(_options, start, stop.Token)));

        long told = start;
        while (!load.IsCompleted)
        {
            await Task.WhenAny(load, Task.Delay(SampleEvery, _clock));
            if (tree is not null) Sample(tree);
            if (_clock.GetElapsedTime(told) < TellEvery) continue;
            told = _clock.GetTimestamp();
            if (tree is not null) Measure(tree);
            Send(tree?.Rows() ?? [], tree is null ? 0 : PeakCharged(tree), end: null);
        }

        await load;
    }

    // As it is known now: what was told at the kill did not know yet how the victim ended. Among many, the first may be
    // gone from the root's ring; then what was told has to do.
    private OomReport? FirstReport(ServiceTree tree) => _journal.FirstReport is not { } told
        ? null
        : tree.Root.Reports.Latest(OomReports.Capacity).FirstOrDefault(r => r.Number == told.Number) ?? told;

    private void Sample(ServiceTree tree)
    {
        _sampledPeakBytes = Math.Max(_sampledPeakBytes, tree.Root.Usage);
        // Packed only into plenty of room, or it would be what fills the budget next.
        if (tree.Root.Usage < _options.BudgetBytes / 2) tree.Parachute.Pack();
    }

    private void Measure(ServiceTree tree)
    {
        _shares = tree.Shares();
        if (_shares.MeasuredBytes >= (_peakShares?.MeasuredBytes ?? 0)) _peakShares = _shares;
    }

    private long PeakCharged(ServiceTree tree) => Math.Max(_sampledPeakBytes, tree.Root.PeakUsage);

    private void Send(IReadOnlyList<TreeRow> rows, long peakChargedBytes, PhaseEnd? end)
    {
        (IReadOnlyList<string> events, IReadOnlyList<KillRow> kills) = _journal.Take();
        _send(new PhaseLine(
            _journal.AtSeconds, [.. _loads.Select(l => l.Snapshot())], rows, peakChargedBytes, events, kills, end)
        {
            Memory = _shares,
        });
    }

    private async Task WatchKillsAsync(ServiceTree tree, CancellationToken ct)
    {
        try
        {
            await foreach (OomReport report in tree.Root.Reports.WatchAsync(ct)) _journal.Killed(report);
        }
        catch (OperationCanceledException)
        {
        }
    }

    // Every session is closed, so nothing may be in use. A victim's last bytes may still be on their way through
    // another thread, which gets a second; what is charged after that is a leak and is named. Then the groups are
    // closed, which returns the stock they had drawn ahead, and the root must stand at exactly zero.
    private async Task<IReadOnlyList<string>> BooksLeftAsync(ServiceTree tree)
    {
        IReadOnlyList<string> left = tree.InUse();
        for (int n = 0; n < 20 && left.Count > 0; n++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(50), _clock);
            left = tree.InUse();
        }

        tree.CloseGroups();
        long after = tree.Root.Usage;
        return after == 0 ? left : [.. left, $"{tree.Root.Path}: {after} bytes after its groups were closed"];
    }
}
