// The picture of a phase: its title, the real memory, the tree with a bar per group, a row per tenant, and the last few
// events.
//
// What must stay true: it fits a terminal of LeastWidth and LeastHeight, and while the terminal stays as large, every
// picture of a phase has the same size and the same columns: a live display that is taller than the screen scrolls and
// tears, and one whose columns move cannot be read. What there is no room for is left out whole; only lines of text are
// cut.

using Spectre.Console;
using Spectre.Console.Rendering;

namespace MemoryGroups.Cli;

internal sealed class LivePicture
{
    internal const int LeastWidth = 60;
    internal const int LeastHeight = OtherLines + 1;

    private const int MostEvents = 5;

    // Lines of everything but the events, and one for the cursor below.
    private const int OtherLines = 18;

    // From here on numbers stand with their peaks, and rows of tenants with rates and both latencies.
    private const int FullWidth = 78;

    // The longest text beside a bar, with a peak and without.
    private const int FullNumbers = 43;
    private const int ShortNumbers = 26;

    // The names of the tree and the spaces between the columns.
    private const int BesideBars = 15;

    private static readonly Style Bold = new(decoration: Decoration.Bold);

    private readonly string _title;
    private readonly DemoOptions _options;
    private readonly MemoryCap _cap;
    private readonly List<string> _events = [];

    internal LivePicture(string title, DemoOptions options, MemoryCap cap)
    {
        _title = title;
        _options = options;
        _cap = cap;
    }

    internal IRenderable Of(PhaseView view, int width, int height)
    {
        _events.AddRange(view.Line.Events);
        if (_events.Count > MostEvents) _events.RemoveRange(0, _events.Count - MostEvents);

        var parts = new List<IRenderable>
        {
            Line($"── {_title} {new string('─', Math.Max(0, width - _title.Length - 4))}", width, Bold),
            Line(
                $"{view.Line.AtSeconds,5:0.0} of {_options.PhaseLength.TotalSeconds:0} s, {Shares(view, width)}",
                width),
            Memory(view, width),
            Tenants(view, width),
        };
        int eventLines = Math.Clamp(height - OtherLines, 0, MostEvents);
        List<string> events = [.. _events.TakeLast(eventLines)];
        for (int n = 0; n < eventLines; n++)
        {
            string text = n < events.Count ? events[n] : string.Empty;
            parts.Add(Line(text, width, StyleOf(text)));
        }

        return new Rows(parts);
    }

    // Cut and not folded: a second line would change the height.
    private static Text Line(string text, int width, Style? style = null) =>
        new(text.Length > width ? text[..(width - 1)] + "…" : text, style);

    private string Shares(PhaseView view, int width) =>
        view.Line.Memory is not { } memory ? $"cap {_cap.Description}"
        : width < FullWidth ? DemoScreen.DeclaredShares(memory)
        : DemoScreen.Shares(memory);

    private static Style StyleOf(string text) =>
        text.Contains(" killed ", StringComparison.Ordinal) ? new Style(Color.Red)
        : text.Contains(" refused ", StringComparison.Ordinal) ? new Style(Color.Yellow)
        : Style.Plain;

    private Grid Memory(PhaseView view, int width)
    {
        int numbers = width < FullWidth ? ShortNumbers : FullNumbers;
        int bar = Math.Clamp(width - BesideBars - numbers - 1, 8, 40);
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn(new GridColumn().NoWrap())
            .AddColumn(new GridColumn().NoWrap().Width(numbers).RightAligned());
        grid.AddRow(
            new Text("real memory"),
            Bar(view.RssBytes, _cap.Bytes, bar, "blue"),
            new Text(
                $"{Shown.Bytes(view.RssBytes)} of {Shown.Bytes(_cap.Bytes)}{(width < FullWidth ? "" : " cap")}"));
        foreach (TreeRow row in view.Line.Tree) grid.AddRow(TreeCells(row, bar, withPeak: width >= FullWidth));
        return grid;
    }

    private IRenderable[] TreeCells(TreeRow row, int bar, bool withPeak)
    {
        string indent = row.Depth == 0 ? string.Empty : new string(' ', 2 * row.Depth - 2) + "└ ";
        // Every bar is a share of the whole budget, so that their lengths can be compared.
        long limit = row.LimitBytes ?? _options.BudgetBytes;
        string colour = row.UsageBytes > limit / 10 * 9 ? "red" : row.UsageBytes > limit / 2 ? "yellow" : "green";
        string shown = Shown.Bytes(row.UsageBytes) + row switch
        {
            { LimitBytes: { } max } => $" of {Shown.Bytes(max)}",
            { LowBytes: > 0 } => $" (low {Shown.Bytes(row.LowBytes)})",
            _ => string.Empty,
        };
        if (withPeak) shown += $", peak {Shown.Bytes(row.PeakBytes)}";
        return [new Text(indent + row.Name), Bar(row.UsageBytes, _options.BudgetBytes, bar, colour), new Text(shown)];
    }

    private static Markup Bar(long value, long whole, int width, string colour)
    {
        int full = (int)Math.Clamp(value * width / Math.Max(1, whole), 0, width);
        return new Markup($"[{colour}]{new string('█', full)}[/][grey]{new string('░', width - full)}[/]");
    }

    private static Table Tenants(PhaseView view, int width)
    {
        bool isFull = width >= FullWidth;
        (string Name, int Width, bool IsShown, Func<TenantCounts, string> Of)[] all =
        [
            ("rate/s", 6, isFull, t => $"{t.Succeeded / Math.Max(0.001, view.Line.AtSeconds):0.0}"),
            ("tried", 5, true, t => $"{t.Tried}"),
            ("ok", 5, true, t => $"{t.Succeeded}"),
            ("refused", 7, true, t => $"{t.Refused}"),
            ("killed", 6, true, t => $"{t.Killed}"),
            ("p50 ms", 6, isFull, t => Shown.Milliseconds(t.Small.P50Ms)),
            ("p99 ms", 6, true, t => Shown.Milliseconds(t.Small.P99Ms)),
            ("metered", 10, true, t => t.MeteredBytes == 0 ? "-" : Shown.Bytes(t.MeteredBytes)),
        ];
        var shown = all.Where(c => c.IsShown).ToList();
        Table table = new Table().Border(TableBorder.Simple)
            .AddColumn(new TableColumn("tenant").NoWrap().Padding(0, 0, 0, 0));
        foreach ((string name, int least, _, _) in shown)
            table.AddColumn(new TableColumn(name).RightAligned().NoWrap().Width(least).Padding(1, 0, 0, 0));

        foreach (TenantCounts tenant in view.Line.Tenants)
            table.AddRow([tenant.Name, .. shown.Select(c => c.Of(tenant))]);
        return table;
    }
}
