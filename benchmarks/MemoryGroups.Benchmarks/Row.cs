// One line of the table, as data: what, goal, figure with its range, verdict.
namespace MemoryGroups.Benchmarks;

internal enum Verdict
{
    /// <summary>Only shown: there is no goal.</summary>
    Shown,
    Met,
    Missed,

    /// <summary>A control that is as bad as it has to be.</summary>
    Bad,
    ControlFailed,

    /// <summary>An exactness row that does not hold: the only verdict that makes the run fail.</summary>
    Wrong,

    /// <summary>Too few rounds in which no window was dropped.</summary>
    NoFigure,
}

internal sealed record Row(
    string Area, string What, string Goal, string Unit, double Figure, double Least, double Most, Verdict Verdict)
{
    // Fewer are an anecdote.
    private const int FewestRounds = 3;

    internal string FigureText => double.IsNaN(Figure)
        ? ""
        : Least == Most
            ? Figures.Text(Figure, Unit)
            : $"{Figures.Text(Figure, Unit)} ({Figures.Text(Least, "")}..{Figures.Text(Most, "")})";

    internal string VerdictText => Verdict switch
    {
        Verdict.Shown => "",
        Verdict.Met => "met",
        Verdict.Missed => "missed",
        Verdict.Bad => "bad, as due",
        Verdict.ControlFailed => "control failed",
        Verdict.Wrong => "WRONG",
        _ => "no figure",
    };

    /// <summary>From paired rounds: the median, and the range.</summary>
    internal static Row Of(string area, string what, Bound bound, string unit, IEnumerable<double> figures)
    {
        double[] sorted = [.. figures.Where(double.IsFinite).Order()];
        if (sorted.Length < FewestRounds)
        {
            return new Row(area, what, bound.Text(unit), unit, double.NaN, double.NaN, double.NaN, Verdict.NoFigure);
        }

        double median = Figures.Median(sorted);
        Verdict verdict = bound == Bound.None ? Verdict.Shown : bound.Holds(median) ? Verdict.Met : Verdict.Missed;
        return new Row(area, what, bound.Text(unit), unit, median, sorted[0], sorted[^1], verdict);
    }

    /// <summary>From one measurement that is not repeated.</summary>
    internal static Row Single(string area, string what, Bound bound, string unit, double figure)
    {
        Verdict verdict = bound == Bound.None ? Verdict.Shown : bound.Holds(figure) ? Verdict.Met : Verdict.Missed;
        return new Row(area, what, bound.Text(unit), unit, figure, figure, figure, verdict);
    }

    /// <summary>Must hold on every machine and in every run.</summary>
    internal static Row Exact(string area, string what, double figure, double expected = 0, string unit = "") =>
        new(area, what, "= " + Figures.Text(expected, unit), unit, figure, figure, figure,
            figure == expected ? Verdict.Met : Verdict.Wrong);
}

internal static class Figures
{
    internal static double Median(IReadOnlyList<double> sorted) => Quantile(sorted, 0.5);

    internal static double Quantile(IReadOnlyList<double> sorted, double share) =>
        sorted[(int)Math.Min(sorted.Count - 1, sorted.Count * share)];

    internal static string Text(double value, string unit)
    {
        double size = Math.Abs(value);
        string digits = size switch
        {
            0 => "0",
            < 1e-3 or >= 1e9 => value.ToString("0.0e0"),
            < 1 => value.ToString("0.0##"),
            < 10 => value.ToString("0.0#"),
            < 100 => value.ToString("0.#"),
            _ => value.ToString("#,##0"),
        };
        return unit.Length == 0 ? digits : unit is "x" or "%" ? digits + unit : $"{digits} {unit}";
    }
}
