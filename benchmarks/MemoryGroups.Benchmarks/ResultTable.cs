// The table: plain text of at most 120 columns for a terminal, or of two lines for each row and 60 columns for a
// narrower one; Markdown for RESULTS.md, JSON for a program.
using System.Text;
using System.Text.Json;

namespace MemoryGroups.Benchmarks;

internal sealed record ResultTable(
    string Machine, double LineRoundTripNanos, string Command, int Seed, IReadOnlyList<Row> Rows)
{
    private const int WhatWidth = 62;
    private const int GoalWidth = 12;
    private const int FigureWidth = 29;
    private const int FullWidth = 120;

    private static readonly JsonSerializerOptions JsonLayout = new()
    {
        WriteIndented = true,
        Converters = { new System.Text.Json.Serialization.JsonStringEnumConverter() },
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    internal bool IsWrong => Rows.Any(static row => row.Verdict == Verdict.Wrong);

    /// <param name="width">The terminal's; a file has no edge.</param>
    internal string ToText(int width = FullWidth)
    {
        Func<string, string, string, string, string> line = width < FullWidth ? TwoLines : Line;
        var text = new StringBuilder();
        text.AppendLine(line("what", "goal", "figure (range)", "verdict"));
        foreach (IGrouping<string, Row> area in Rows.GroupBy(static row => row.Area))
        {
            text.AppendLine(new string('-', 3) + " " + area.Key);
            foreach (Row row in area)
            {
                text.AppendLine(line(row.What, row.Goal, row.FigureText, row.VerdictText));
            }
        }

        text.AppendLine();
        text.AppendLine(Summary());
        return text.ToString();
    }

    internal string ToMarkdown()
    {
        var text = new StringBuilder();
        text.AppendLine("# Results");
        text.AppendLine();
        text.AppendLine("Written by the program, by the command below; what the rows mean is in README.md.");
        text.AppendLine();
        text.AppendLine($"Machine: {Machine}. Line round trip between two cores: {LineRoundTripNanos:0} ns.");
        text.AppendLine($"Command: `{Command}`, seed {Seed}.");
        text.AppendLine();
        text.AppendLine("| what | goal | figure (range) | verdict |");
        text.AppendLine("|---|---|---|---|");
        foreach (Row row in Rows)
        {
            text.AppendLine($"| {row.Area}: {row.What.Trim()} | {row.Goal} | {row.FigureText} | {row.VerdictText} |");
        }

        text.AppendLine();
        text.AppendLine(Summary());
        return text.ToString();
    }

    internal string ToJson() => JsonSerializer.Serialize(this, JsonLayout);

    internal string Summary()
    {
        int Count(Verdict verdict) => Rows.Count(row => row.Verdict == verdict);
        return $"{Count(Verdict.Met)} met, {Count(Verdict.Missed)} missed, "
            + $"{Count(Verdict.ControlFailed)} control failed, "
            + $"{Count(Verdict.Wrong)} wrong, {Count(Verdict.NoFigure)} without a figure";
    }

    private static string Line(string what, string goal, string figure, string verdict) =>
        $"{what,-WhatWidth} {goal,-GoalWidth} {figure,-FigureWidth} {verdict}".TrimEnd();

    private static string TwoLines(string what, string goal, string figure, string verdict) =>
        $"{what.TrimEnd()}{Environment.NewLine}  {goal,-GoalWidth} {figure,-FigureWidth} {verdict}".TrimEnd();
}
