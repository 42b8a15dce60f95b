// The picture on a terminal: the cap with the real memory, the tree with a bar per group, a row per tenant, and the
// last few events. Spectre.Console's live display draws it over itself and shows the cursor again however it ends.
//
// What must stay true: it fits 80 columns and 24 lines; a live display that is taller than the screen scrolls and
// tears.

using Spectre.Console;
using Spectre.Console.Rendering;

namespace MemoryGroups.Cli;

internal sealed class LiveScreen : DemoScreen
{
    private const int EventLines = 5;

    private readonly List<string> _events = [];

    internal LiveScreen(IAnsiConsole console)
        : base(console)
    {
    }

    internal override void Say(string text) => Console.WriteLine(text);

    internal override async Task<PhaseOutcome> FollowAsync(
        string phase, DemoOptions options, MemoryCap cap, Func<Action<PhaseView>, Task<PhaseOutcome>> run)
    {
        _events.Clear();
        Console.Write(new Rule($"[bold]{Markup.Escape(Title(phase, options))}[/]") { Justification = Justify.Left });
        PhaseOutcome outcome = await Console.Live(new Markup("starting ..."))
            .AutoClear(false)
            .StartAsync(live => run(view => live.UpdateTarget(Picture(view, options, cap))));
        string colour = outcome.EndedByItself ? "green" : "red";
        Console.MarkupLine($"[{colour}]{phase} ended after {outcome.Seconds:0.0} s: {Markup.Escape(outcome.Exit)}[/]");
        Console.WriteLine();
        return outcome;
    }

    internal IRenderable Picture(PhaseView view, DemoOptions options, MemoryCap cap)
    {
        _events.AddRange(view.Line.Events);
        if (_events.Count > EventLines) _events.RemoveRange(0, _events.Count - EventLines);

        var parts = new List<IRenderable>
        {
            new Markup(
                $"[bold]{view.Line.AtSeconds,5:0.0}[/] of {options.PhaseLength.TotalSeconds:0} s, "
                + Markup.Escape(view.Line.Memory is { } memory ? Shares(memory) : $"cap {cap.Description}")),
            Memory(view, options, cap),
            Tenants(view),
        };
        // The number of lines stays the same while the phase runs, or the picture would jump.
        for (int n = 0; n < EventLines; n++)
        {
            string text = n < _events.Count ? _events[n] : string.Empty;
            // Cut and not broken: a second line would change the height.
            if (text.Length > Console.Profile.Width) text = text[..(Console.Profile.Width - 1)] + "…";
            parts.Add(new Text(text, StyleOf(text)));
        }

        return new Rows(parts);
    }

    private static Style StyleOf(string text) =>
        text.Contains(" killed ", StringComparison.Ordinal) ? new Style(Color.Red)
        : text.Contains(" refused ", StringComparison.Ordinal) ? new Style(Color.Yellow)
        : Style.Plain;

    // What is left of the line beside the names and the numbers.
    private int BarWidth => Math.Clamp(Console.Profile.Width - 54, 8, 40);

    private Grid Memory(PhaseView view, DemoOptions options, MemoryCap cap)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn(new GridColumn().NoWrap())
            .AddColumn(new GridColumn().NoWrap().RightAligned());
        grid.AddRow(
            new Markup("real memory"),
            new Markup(Bar(view.RssBytes, cap.Bytes, "blue")),
            new Markup($"{Shown.Bytes(view.RssBytes)} of {Shown.Bytes(cap.Bytes)} cap"));
        foreach (TreeRow row in view.Line.Tree) grid.AddRow(TreeCells(row, options.BudgetBytes));
        return grid;
    }

    private IRenderable[] TreeCells(TreeRow row, long budgetBytes)
    {
        string indent = row.Depth == 0 ? string.Empty : new string(' ', 2 * row.Depth - 2) + "└ ";
        // Every bar is a share of the whole budget, so that their lengths can be compared.
        long limit = row.LimitBytes ?? budgetBytes;
        string colour = row.UsageBytes > limit / 10 * 9 ? "red" : row.UsageBytes > limit / 2 ? "yellow" : "green";
        string shown = Shown.Bytes(row.UsageBytes) + row switch
        {
            { LimitBytes: { } max } => $" of {Shown.Bytes(max)}",
            { LowBytes: > 0 } => $" (low {Shown.Bytes(row.LowBytes)})",
            _ => string.Empty,
        };
        return
        [
            new Markup(Markup.Escape(indent + row.Name)),
            new Markup(Bar(row.UsageBytes, budgetBytes, colour)),
            new Markup($"{shown}, peak {Shown.Bytes(row.PeakBytes)}"),
        ];
    }

    private string Bar(long value, long whole, string colour)
    {
        int full = (int)Math.Clamp(value * BarWidth / Math.Max(1, whole), 0, BarWidth);
        return $"[{colour}]{new string('█', full)}[/][grey]{new string('░', BarWidth - full)}[/]";
    }

    private static Table Tenants(PhaseView view)
    {
        Table table = new Table().Border(TableBorder.Simple);
        table.AddColumn("tenant");
        foreach (string name in (string[])["rate/s", "tried", "ok", "refused", "killed", "p50 ms", "p99 ms", "metered"])
            table.AddColumn(new TableColumn(name).RightAligned());
        foreach (TenantCounts tenant in view.Line.Tenants)
        {
            double rate = tenant.Succeeded / Math.Max(0.001, view.Line.AtSeconds);
            table.AddRow(
                tenant.Name, $"{rate:0.0}", $"{tenant.Tried}", $"{tenant.Succeeded}", $"{tenant.Refused}",
                $"{tenant.Killed}", Shown.Milliseconds(tenant.Small.P50Ms),
                Shown.Milliseconds(tenant.Small.P99Ms),
                tenant.MeteredBytes == 0 ? "-" : Shown.Bytes(tenant.MeteredBytes));
        }

        return table;
    }
}
