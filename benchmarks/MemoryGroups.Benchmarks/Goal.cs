// A row of the table that comes from paired rounds: what is compared, the bound, and how to read it from one round.
//
// The figure is the median over the rounds, the range goes beside it. A control is something known to be bad, measured
// in the same rounds: when it does not show up as bad, the measurement cannot tell good from bad, and the row says so
// instead of `met`.
namespace MemoryGroups.Benchmarks;

/// <summary>What a figure is held against; None is a row that is only shown.</summary>
internal readonly record struct Bound(double Value, bool IsMost, bool IsLeast)
{
    internal static Bound None { get; }

    internal static Bound AtMost(double value) => new(value, IsMost: true, IsLeast: false);

    internal static Bound AtLeast(double value) => new(value, IsMost: false, IsLeast: true);

    internal bool Holds(double figure) => IsMost ? figure <= Value : !IsLeast || figure >= Value;

    internal string Text(string unit) => this == None ? "" : (IsMost ? "<= " : ">= ") + Figures.Text(Value, unit);
}

/// <param name="What">The control, as the table says it.</param>
/// <param name="Figure">Read from a round, like the goal's own.</param>
/// <param name="MustBe">The bound that shows it as bad.</param>
/// <param name="Unit">As for a goal.</param>
internal sealed record Control(string What, Func<Round, double> Figure, Bound MustBe, string Unit = "x");

/// <param name="What">What is compared with what, at most 62 characters.</param>
/// <param name="Bound">The goal.</param>
/// <param name="Figure">Read from a round; NaN leaves the round out.</param>
/// <param name="Unit">"L" (uncontended interlocked pairs), "x" (a ratio), "B", "ns", "%".</param>
internal sealed record Goal(string What, Bound Bound, Func<Round, double> Figure, string Unit = "x")
{
    internal Control? Control { get; init; }

    internal static Goal AtMost(string what, double bound, Func<Round, double> figure, string unit = "x") =>
        new(what, Bound.AtMost(bound), figure, unit);

    internal static Goal AtLeast(string what, double bound, Func<Round, double> figure, string unit = "x") =>
        new(what, Bound.AtLeast(bound), figure, unit);

    internal static Goal Shown(string what, Func<Round, double> figure, string unit = "x") =>
        new(what, Bound.None, figure, unit);

    internal IEnumerable<Row> Judge(string area, IReadOnlyList<Round> rounds)
    {
        Row row = Row.Of(area, What, Bound, Unit, rounds.Select(Figure));
        if (Control is not { } control)
        {
            yield return row;
            yield break;
        }

        Row seen = Row.Of(
            area, "  control: " + control.What, control.MustBe, control.Unit, rounds.Select(control.Figure));
        foreach (Row judged in Judge(row, seen))
        {
            yield return judged;
        }
    }

    /// <summary>A row and its control, whose own verdict says whether it is as bad as it has to be: a row that looks
    /// good means nothing when the control looks good as well.</summary>
    internal static Row[] Judge(Row row, Row control)
    {
        bool bites = control.Verdict == Verdict.Met;
        bool isFalse = row.Verdict == Verdict.Met && control.Verdict == Verdict.Missed;
        return
        [
            isFalse ? row with { Verdict = Verdict.ControlFailed } : row,
            control with { Verdict = bites ? Verdict.Bad : isFalse ? Verdict.ControlFailed : control.Verdict },
        ];
    }
}
