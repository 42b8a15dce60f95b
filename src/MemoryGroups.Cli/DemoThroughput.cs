// `memgroups demo --throughput`: what governing costs when there is enough memory, as a ratio of throughputs.
//
// Rounds alternate, and which kind comes first changes with each pair, so that neither a machine that slows down nor
// one that warms up favours a kind. Each pair gives one ratio; the median of them is the result. It is judged by
// processor time: time on the clock is shown too, but on a machine that does other things it measures those.

using System.Diagnostics;

namespace MemoryGroups.Cli;

internal static class DemoThroughput
{
    // The least part of plain throughput that governing must leave.
    internal const double Goal = 0.97;

    internal const int Pairs = 5;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    internal static async Task<int> RunAsync(
        DemoOptions options, DemoData data, Action<string> say, TimeProvider clock, CancellationToken ct)
    {
        say($"{Pairs} pairs of rounds of {options.Engine.Title}'s everyday queries, "
            + $"{2 * options.PhaseLength.TotalSeconds * ThroughputRound.QueriesPerSecond:0} in each, "
            + "plain and governed with enough memory; seconds of processor time, in brackets by the clock");
        say($"{"",8}{"plain",15}{"governed",17}{"plain / governed",19}");
        var cpu = new List<double>();
        var wall = new List<double>();
        for (int pair = 0; pair < Pairs; pair++)
        {
            bool governedFirst = pair % 2 == 1;
            RoundTimes first = await RoundAsync(options, data, governedFirst, clock, ct);
            RoundTimes second = await RoundAsync(options, data, !governedFirst, clock, ct);
            (RoundTimes governed, RoundTimes plain) = governedFirst ? (first, second) : (second, first);
            cpu.Add(plain.CpuSeconds / governed.CpuSeconds);
            wall.Add(plain.Seconds / governed.Seconds);
            say($"  pair {pair + 1}{Times(plain),15}{Times(governed),17}{$"{cpu[^1]:0.000} ({wall[^1]:0.000})",19}");
        }

        say($"governed / plain throughput: {Median(cpu):0.000} by processor time ({cpu.Min():0.000} to "
            + $"{cpu.Max():0.000}), {Median(wall):0.000} by the clock");
        bool met = Median(cpu) >= Goal;
        say(met ? $"PASS (goal {Goal:0.00})" : $"FAIL (goal {Goal:0.00})");
        return met ? DemoCommand.Passed : DemoCommand.NotPassed;
    }

    internal static double Median(IReadOnlyList<double> values)
    {
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    private static string Times(RoundTimes round) => $"{round.CpuSeconds:0.00} ({round.Seconds:0.00})";

    private static async Task<RoundTimes> RoundAsync(
        DemoOptions options, DemoData data, bool governed, TimeProvider clock, CancellationToken ct)
    {
        var info = new ProcessStartInfo(
            Path.Combine(AppContext.BaseDirectory, "memgroups"),
            [
                PhaseCommand.Name, governed ? ThroughputRound.Governed : ThroughputRound.Ungoverned,
                "--data", data.Folder, .. options.ToArguments(),
            ])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(info)!;
        using var overdue = new CancellationTokenSource(Patience, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, overdue.Token);
        Task<string> errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        try
        {
            string output = await process.StandardOutput.ReadToEndAsync(either.Token);
            await process.WaitForExitAsync(either.Token);
            // Ctrl-C reaches the round as well, and may have ended it before we heard of it.
            ct.ThrowIfCancellationRequested();
            return RoundTimes.TryRead(output.Trim()) ?? throw new DemoUsageException(
                $"a round did not end well (exit code {process.ExitCode}): {Shown.FirstLine(await errors)}");
        }
        finally
        {
            if (!process.HasExited) process.Kill();
            await process.WaitForExitAsync(CancellationToken.None);
        }
    }
}
