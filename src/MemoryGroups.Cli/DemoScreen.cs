// What the person sees. On a terminal: one picture that is drawn over itself while a phase runs. Anywhere else (a pipe,
// a log, NO_COLOR, TERM=dumb): plain lines, one every few seconds, without a single escape code.
//
// What must stay true: both show the same facts, and both end with the same verdict text; a log is no second-class
// view.

using Spectre.Console;

namespace MemoryGroups.Cli;

internal abstract class DemoScreen
{
    protected DemoScreen(IAnsiConsole console) => Console = console;

    protected IAnsiConsole Console { get; }

    internal static DemoScreen ForThisTerminal(TimeProvider clock)
    {
        bool plain = System.Console.IsOutputRedirected
            || !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"))
            || Environment.GetEnvironmentVariable("TERM") is null or "" or "dumb";
        return plain ? new PlainScreen(System.Console.Out, clock) : new LiveScreen(AnsiConsole.Console);
    }

    internal abstract void Say(string text);

    // Shows the phase that `run` runs, for as long as it runs.
    internal abstract Task<PhaseOutcome> FollowAsync(
        string phase, DemoOptions options, MemoryCap cap, Func<Action<PhaseView>, Task<PhaseOutcome>> run);

    internal void Show(DemoVerdict verdict) => VerdictText.Write(Console, Say, verdict);

    // Side by side: what is charged, what is not, and what was allocated on the managed heap, most of it long gone.
    protected static string Shares(MemoryShares memory) =>
        $"declared {Shown.Bytes(memory.DeclaredBytes)} + unattributed {Shown.Bytes(memory.UnattributedBytes)}, "
        + $"metered {Shown.Bytes(memory.MeteredBytes)}";

    protected static string Title(string phase, DemoOptions options) =>
        phase == DemoPhase.Governed
            ? $"governed: {options.Engine.Governed}, the tenants share {Shown.Bytes(options.BudgetBytes)}"
            : $"ungoverned: plain {options.Engine.Title}, the same load under the same cap";
}

internal sealed class PlainScreen : DemoScreen
{
    // Wide enough that no line of a table is broken: a log has no edge, and whoever searches it wants whole lines.
    private const int Width = 200;
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(3);

    private readonly TextWriter _output;
    private readonly TimeProvider _clock;

    internal PlainScreen(TextWriter output, TimeProvider clock)
        : base(PlainConsole(output))
    {
        _output = output;
        _clock = clock;
    }

    internal override void Say(string text) => _output.WriteLine(text);

    internal override async Task<PhaseOutcome> FollowAsync(
        string phase, DemoOptions options, MemoryCap cap, Func<Action<PhaseView>, Task<PhaseOutcome>> run)
    {
        Say($"{Title(phase, options)}; cap {cap.Description}");
        long shown = _clock.GetTimestamp();
        PhaseOutcome outcome = await run(view =>
        {
            foreach (string happened in view.Line.Events) Say($"  {happened}");
            if (_clock.GetElapsedTime(shown) < LineEvery) return;
            shown = _clock.GetTimestamp();
            Say(Summary(view));
        });
        Say($"{phase} ended after {outcome.Seconds:0.0} s: {outcome.Exit}");
        return outcome;
    }

    private static string Summary(PhaseView view)
    {
        IEnumerable<string> tenants = view.Line.Tenants.Select(t =>
            $"{t.Name} {t.Succeeded}/{t.Tried} ok, {t.Refused} refused, {t.Killed} killed");
        PhaseLine line = view.Line;
        string shares = line.Memory is null ? string.Empty : $" ({Shares(line.Memory)})";
        return $"  {line.AtSeconds,5:0.0} s  real {Shown.Bytes(view.RssBytes)}{shares}; {string.Join("; ", tenants)}";
    }

    private static IAnsiConsole PlainConsole(TextWriter output)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(output),
        });
        console.Profile.Width = Width;
        return console;
    }
}
