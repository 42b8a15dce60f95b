// One round of `memgroups demo --throughput`, in a child process: two connections answer everyday queries as fast as
// they can, plain or governed with far more memory than they need. One process for each round, because SQLite's
// allocator is chosen once in a process.
//
// Must stay true: the same seed gives both kinds of round the same queries in the same order; nothing is measured
// before each connection has warmed up.

using System.Globalization;
using System.Runtime.InteropServices;

namespace MemoryGroups.Cli;

// What the queries of a round took: time on the clock and time of processors.
internal readonly record struct RoundTimes(double Seconds, double CpuSeconds)
{
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"round {Seconds:R} {CpuSeconds:R}");

    // Null for what is not such a line.
    internal static RoundTimes? TryRead(string line)
    {
        string[] parts = line.Split(' ');
        return parts is ["round", var seconds, var cpu]
            && double.TryParse(seconds, CultureInfo.InvariantCulture, out double wall)
            && double.TryParse(cpu, CultureInfo.InvariantCulture, out double used)
                ? new RoundTimes(wall, used)
                : null;
    }
}

internal static class ThroughputRound
{
    internal const string Governed = "throughput-governed";
    internal const string Ungoverned = "throughput-ungoverned";
    internal const int QueriesPerSecond = 40;

    private const int WarmUp = 60;
    private static readonly string[] Lanes = ["alpha", "beta"];

    internal static async Task RunAsChildAsync(
        DemoOptions options, string dataFolder, bool governed, TimeProvider clock)
    {
        // Ctrl-C in a terminal reaches every process of the group; the parent decides what it means for this one.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        using ServiceTree? tree = governed
            ? new ServiceTree(options with { BudgetBytes = DemoOptions.MostBudgetBytes }, clock)
            : null;
        SessionPool[] pools = [.. await Task.WhenAll(Lanes.Select(lane => OpenAsync(options, dataFolder, tree, lane)))];
        await RunAsync(pools, options.Seed, WarmUp);

        TimeSpan before = Environment.CpuUsage.TotalTime;
        long start = clock.GetTimestamp();
        await RunAsync(pools, options.Seed + 1, (int)(options.PhaseLength.TotalSeconds * QueriesPerSecond));
        var times = new RoundTimes(
            clock.GetElapsedTime(start).TotalSeconds, (Environment.CpuUsage.TotalTime - before).TotalSeconds);

        foreach (SessionPool pool in pools) pool.Dispose();
        options.Engine.Shutdown();
        tree?.CloseHolders();
        Console.WriteLine(times);
    }

    private static Task<SessionPool> OpenAsync(
        DemoOptions options, string dataFolder, ServiceTree? tree, string lane)
    {
        string file = DemoData.PathOf(dataFolder, lane, options.Engine);
        return tree is null
            ? Task.FromResult(options.Engine.OpenPlain(file, 1))
            : options.Engine.OpenGovernedAsync(file, tree[lane], lane, 1);
    }

    private static Task RunAsync(SessionPool[] pools, int seed, int queries) => Task.WhenAll(
        pools.Select((pool, lane) => Task.Run(async () =>
        {
            SeededSequence chance = SeededSequence.For(seed, Lanes[lane]);
            for (int n = 0; n < queries; n++)
                await pool.RunAsync($"q{n}", QueryMix.Small(chance), CancellationToken.None);
        })));
}
