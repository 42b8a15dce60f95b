// The parent's side of a phase: starts the child under its cap, follows what it says, measures its real memory from
// outside, and says truthfully how it ended. A phase that is killed has an outcome as well: what it had told until
// then.
//
// What must stay true: when RunAsync returns or throws, the child is gone and its cap is removed. The child is always
// ended by SIGKILL: it is expected to be in no state to end by itself.

using System.Diagnostics;
using System.Globalization;

namespace MemoryGroups.Cli;

// How a phase went, whether it reached its end or not. Tenants are the last totals it told.
internal sealed record PhaseOutcome(
    string Name, string Exit, bool EndedByItself, double Seconds, MemoryCapKind CapKind, long CapBytes,
    IReadOnlyList<TenantCounts> Tenants, IReadOnlyList<KillRow> Kills, long PeakChargedBytes, long PeakRssBytes,
    PhaseEnd? End);

// What is known while the phase runs.
internal sealed record PhaseView(PhaseLine Line, long RssBytes);

internal sealed class PhaseProcess
{
    private static readonly TimeSpan MeasureEvery = TimeSpan.FromMilliseconds(20);

    // On top of the phase's own length and drain: starting up, and closing what is open.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    private readonly DemoOptions _options;
    private readonly string _dataFolder;
    private readonly string _name;
    private readonly TimeProvider _clock;
    private readonly List<KillRow> _kills = [];
    private PhaseLine? _last;
    private PhaseEnd? _end;
    private long _peakRssBytes;
    private long _rssBytes;

    internal PhaseProcess(DemoOptions options, string dataFolder, string name, TimeProvider clock)
    {
        _options = options;
        _dataFolder = dataFolder;
        _name = name;
        _clock = clock;
    }

    internal async Task<PhaseOutcome> RunAsync(MemoryCap cap, Action<PhaseView> show, CancellationToken ct)
    {
        using Process process = Start(cap);
        long start = _clock.GetTimestamp();
        using var overdue = new CancellationTokenSource(_options.PhaseLength + DemoPhase.DrainTime + Patience, _clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, overdue.Token);
        using var exited = new CancellationTokenSource();
        Task measuring = MeasureAsync(process.Id, exited.Token);
        Task<string> errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        try
        {
            await FollowAsync(process, show, either.Token);
            await process.WaitForExitAsync(either.Token);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
        }
        finally
        {
            if (!process.HasExited) process.Kill();
            await process.WaitForExitAsync(CancellationToken.None);
            await exited.CancelAsync();
            await measuring;
        }

        double seconds = _clock.GetElapsedTime(start).TotalSeconds;
        string exit = overdue.IsCancellationRequested
            ? $"did not end within {seconds:0} s and was ended by the demo"
            : DescribeExit(process.ExitCode, cap, FirstLine(await errors));
        return new PhaseOutcome(
            _name, exit, _end is not null && process.ExitCode == 0, Math.Round(seconds, 2), cap.Kind, cap.Bytes,
            _last?.Tenants ?? [.. DemoData.Tenants.Select(TenantCounts.None)], _kills,
            _end?.PeakChargedBytes ?? _last?.PeakChargedBytes ?? 0, _peakRssBytes, _end);
    }

    // "exit code 0", or which signal it was and who sent it, in words. Exit codes above 128 are signals by convention.
    internal static string DescribeExit(int code, MemoryCap cap, string error)
    {
        string said = error.Length == 0 ? string.Empty : $": {error}";
        return code switch
        {
            137 when cap.HasKilled() => "SIGKILL by the kernel: out of memory in its cgroup",
            137 => "SIGKILL",
            134 => $"SIGABRT: aborted{said}",
            139 => $"SIGSEGV: crashed{said}",
            > 128 and < 160 => $"signal {code - 128}{said}",
            _ => $"exit code {code}{(code == 0 ? string.Empty : said)}",
        };
    }

    private Process Start(MemoryCap cap)
    {
        string[] command = cap.Wrap(
        [
            Path.Combine(AppContext.BaseDirectory, "memgroups"), PhaseCommand.Name, _name, "--data", _dataFolder,
            .. _options.ToArguments(),
        ]);
        var info = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // A small managed heap and one allocator arena: what the cap is about is SQLite's memory, and neither the
        // collector's idle budget nor freed blocks kept per thread should decide which phase dies. The same for both.
        info.Environment["DOTNET_GCgen0size"] = "400000";
        info.Environment["DOTNET_GCHeapHardLimit"] = "4000000";
        info.Environment["DOTNET_Thread_DefaultStackSize"] = "100000";
        info.Environment["MALLOC_ARENA_MAX"] = "1";
        return Process.Start(info)
            ?? throw new DemoUsageException("cannot start the phase's process: /bin/sh did not run.");
    }

    private async Task FollowAsync(Process process, Action<PhaseView> show, CancellationToken ct)
    {
        while (await process.StandardOutput.ReadLineAsync(ct) is { } text)
        {
            if (PhaseLine.TryRead(text) is not { } line) continue;
            _last = line;
            _kills.AddRange(line.Kills);
            _end = line.End ?? _end;
            show(new PhaseView(line, Interlocked.Read(ref _rssBytes)));
        }
    }

    // VmHWM is the kernel's own peak, so nothing between two looks is missed but the last moments of a process that is
    // killed. It exists until the process is reaped.
    private async Task MeasureAsync(int processId, CancellationToken exited)
    {
        while (!exited.IsCancellationRequested)
        {
            (long now, long peak) = ReadResident(processId);
            Interlocked.Exchange(ref _rssBytes, now);
            _peakRssBytes = Math.Max(_peakRssBytes, peak);
            await Task.WhenAny(Task.Delay(MeasureEvery, _clock, exited));
        }
    }

    private static (long NowBytes, long PeakBytes) ReadResident(int processId)
    {
        long now = 0;
        long peak = 0;
        try
        {
            foreach (string line in File.ReadLines($"/proc/{processId}/status"))
            {
                if (line.StartsWith("VmRSS:", StringComparison.Ordinal)) now = KibibytesOf(line);
                if (line.StartsWith("VmHWM:", StringComparison.Ordinal)) peak = KibibytesOf(line);
            }
        }
        catch (IOException)
        {
            // It has just exited.
        }

        return (now * 1024, peak * 1024);
    }

    private static long KibibytesOf(string line) =>
        long.Parse(line.AsSpan(6).Trim().TrimEnd(" kB"), NumberStyles.None, CultureInfo.InvariantCulture);

    private static string FirstLine(string text)
    {
        string[] lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        // The runtime says first what is wrong and then where; only the first is for people.
        return lines.Length == 0 ? string.Empty : lines[0];
    }
}
