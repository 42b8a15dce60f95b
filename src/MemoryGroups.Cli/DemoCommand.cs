// `memgroups demo`: makes the data, runs the phases one after the other, and judges. Exit codes: 0 everything that the
// verdict asks for held, 1 something did not, 2 what was typed cannot be done, 130 Ctrl-C (143 SIGTERM).
//
// What must stay true: however it ends, no child and no cgroup of ours is left, and the terminal is as it was.

using System.CommandLine;
using System.Runtime.InteropServices;

namespace MemoryGroups.Cli;

internal static class DemoCommand
{
    internal const int Passed = 0;
    internal const int NotPassed = 1;

    private const int SignalBase = 128;

    internal static Command Create(TimeProvider clock)
    {
        Option<string?> budget = Text(
            "--budget", "BYTES", "What the tenants share, 32M to 1G (64M; duckdb: 192M to 1G, 256M).");
        Option<string?> seconds = Text("--seconds", "N", "Length of each phase, 5 to 600 (15).");
        Option<string?> seed = Text("--seed", "N", "Seed of the load, 0 or more (1).");
        Option<string?> engine = Text("--engine", "NAME", "Whose queries: sqlite or duckdb (sqlite).");
        Option<string?> json = Text("--json", "FILE", "Write the verdict as JSON too.");
        Option<string?> cache = Text(
            "--cache", "DIR", "Where the data is kept ($XDG_CACHE_HOME/memgroups-demo or ~/.cache/memgroups-demo).");
        var governedOnly = new Option<bool>("--governed-only") { Description = "Leave out the phase that dies." };
        var throughput = new Option<bool>("--throughput")
        {
            Description = "Instead: what governing costs with enough memory, in alternating rounds.",
        };
        const string Description = "Three tenants' SQL queries share one memory budget; the greedy one is stopped.";
        var command = new Command("demo", Description)
        {
            engine, budget, seconds, seed, cache, json, governedOnly, throughput,
        };
        command.SetAction((parsed, _) => RunAsync(
            DemoOptions.Parse(
                    parsed.GetValue(budget), parsed.GetValue(seconds), parsed.GetValue(seed), parsed.GetValue(engine))
                .With(parsed.GetValue(cache), parsed.GetValue(json), parsed.GetValue(governedOnly))
                .AsThroughput(parsed.GetValue(throughput)),
            DemoScreen.ForThisTerminal(clock),
            clock));
        return command;
    }

    // Plain text, checked by DemoOptions: its messages say what is allowed, the parser's own only name a type.
    private static Option<string?> Text(string name, string value, string description) =>
        new(name) { Description = description, HelpName = value };

    internal static async Task<int> RunAsync(DemoOptions options, DemoScreen screen, TimeProvider clock)
    {
        if (!OperatingSystem.IsLinux())
            throw new DemoUsageException("the demo needs Linux: its phases run under a cgroup or RLIMIT_DATA.");

        using var stop = new CancellationTokenSource();
        int signalled = 0;
        void Stop(PosixSignalContext context)
        {
            context.Cancel = true;
            Interlocked.CompareExchange(ref signalled, context.Signal == PosixSignal.SIGINT ? 2 : 15, 0);
            stop.Cancel();
        }

        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        try
        {
            return await RunPhasesAsync(options, screen, clock, stop.Token);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The terminal has written ^C where the line stood.
            screen.Say(string.Empty);
            screen.Say("stopped; no process and no memory cap of the demo is left.");
            return SignalBase + signalled;
        }
    }

    private static async Task<int> RunPhasesAsync(
        DemoOptions options, DemoScreen screen, TimeProvider clock, CancellationToken ct)
    {
        // Everything that can be wrong with what was typed is found before a minute is spent.
        options.Engine.CheckLibrary();
        if (options.JsonFile is not null) DemoJson.CheckWritable(options.JsonFile);
        DemoData data = DemoData.Open(
            options.CacheFolder, options.Engine, DemoDataSize.Default, screen.Say, ct);

        if (options.Throughput) return await DemoThroughput.RunAsync(options, data, screen.Say, clock, ct);

        PhaseOutcome? ungoverned = options.GovernedOnly
            ? null
            : await RunPhaseAsync(DemoPhase.Ungoverned, options, data, screen, clock, ct);
        // Ctrl-C reaches the phase as well: one that was just starting may have ended by it, like any other death.
        ct.ThrowIfCancellationRequested();
        PhaseOutcome governed = await RunPhaseAsync(DemoPhase.Governed, options, data, screen, clock, ct);
        ct.ThrowIfCancellationRequested();

        DemoVerdict verdict = DemoVerdict.Judge(options, ungoverned, governed);
        screen.Show(verdict);
        if (options.JsonFile is not null) DemoJson.Write(options.JsonFile, verdict);
        return verdict.Pass ? Passed : NotPassed;
    }

    private static async Task<PhaseOutcome> RunPhaseAsync(
        string name, DemoOptions options, DemoData data, DemoScreen screen, TimeProvider clock, CancellationToken ct)
    {
        using MemoryCap cap = MemoryCap.Create(new CgroupHost(), name, options.CapBytes, clock);
        var process = new PhaseProcess(options, data.Folder, name, clock);
        return await screen.FollowAsync(name, options, cap, show => process.RunAsync(cap, show, ct));
    }
}
