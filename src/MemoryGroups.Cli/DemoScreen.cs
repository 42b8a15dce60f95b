// What the person sees. On a terminal: one picture that is drawn over itself while a phase runs. Anywhere else (a pipe,
// a log, a tiny terminal, NO_COLOR, TERM=dumb): plain lines, one every few seconds, without a single escape code.
//
// What must stay true: both show the same facts, and both end with the same verdict text; a log is no second-class
// view. No line is left for the terminal to break; a log's lines stay whole.

using Spectre.Console;

namespace MemoryGroups.Cli;

internal abstract class DemoScreen
{
    protected DemoScreen(IAnsiConsole console) => Console = console;

    protected IAnsiConsole Console { get; }

    internal static DemoScreen ForThisTerminal(TimeProvider clock)
    {
        (int Width, int Height)? terminal =
            System.Console.IsOutputRedirected ? null : (TerminalWidth.Current, System.Console.WindowHeight);
        bool isPlain = IsPlain(
            terminal, Environment.GetEnvironmentVariable("NO_COLOR"), Environment.GetEnvironmentVariable("TERM"));
        return isPlain
            ? new PlainScreen(System.Console.Out, clock, terminal?.Width)
            : new LiveScreen(AnsiConsole.Console);
    }

    // `terminal` is null where there is none.
    internal static bool IsPlain((int Width, int Height)? terminal, string? noColor, string? term) =>
        terminal is not { Width: >= LivePicture.LeastWidth, Height: >= LivePicture.LeastHeight }
        || !string.IsNullOrEmpty(noColor)
        || term is null or "" or "dumb";

    internal void Say(string text) => Say(text, string.Empty, string.Empty);

    // The same where colours can be seen, with `mark`, which stands in the text's first line, in colour.
    internal abstract void Say(string text, string mark, string style);

    // Shows the phase that `run` runs, for as long as it runs.
    internal abstract Task<PhaseOutcome> FollowAsync(
        string phase, DemoOptions options, MemoryCap cap, Func<Action<PhaseView>, Task<PhaseOutcome>> run);

    internal void Show(DemoVerdict verdict) => VerdictText.Write(Console, this, verdict);

    // Side by side: what is charged, what is not, and what was allocated on the managed heap, most of it long gone.
    internal static string Shares(MemoryShares memory) =>
        $"{DeclaredShares(memory)}, metered {Shown.Bytes(memory.MeteredBytes)}";

    internal static string DeclaredShares(MemoryShares memory) =>
        $"declared {Shown.Bytes(memory.DeclaredBytes)} + unattributed {Shown.Bytes(memory.UnattributedBytes)}";

    protected static string Title(string phase, DemoOptions options) =>
        phase == DemoPhase.Governed
            ? $"governed: {options.Engine.Governed}, the tenants share {Shown.Bytes(options.BudgetBytes)}"
            : $"ungoverned: plain {options.Engine.Title}, the same load under the same cap";
}

internal sealed class PlainScreen : DemoScreen
{
    // Wide enough that no line of a table is broken: a log has no edge, and whoever searches it wants whole lines.
    private const int LogWidth = 200;
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(3);

    private readonly TextWriter _output;
    private readonly TimeProvider _clock;
    private readonly int? _width;

    // `width` is a terminal's; null is a log.
    internal PlainScreen(TextWriter output, TimeProvider clock, int? width = null)
        : base(PlainConsole(output, width ?? LogWidth))
    {
        _output = output;
        _clock = clock;
        _width = width;
    }

    internal override void Say(string text, string mark, string style)
    {
        foreach (string line in FoldedText.Lines(text, _width ?? int.MaxValue)) _output.WriteLine(line);
    }

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

    private static IAnsiConsole PlainConsole(TextWriter output, int width)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(output),
        });
        console.Profile.Width = width;
        return console;
    }
}
