// What an OOM looked like and how it was decided: data first, text second.
//
// Built by whoever made the decision, outside every lock, from bounded excerpts (the largest few of everything), so
// that a report of a tree with a million members costs what one with twenty does. It can be written as JSON and read
// back.
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace MemoryGroups;

/// <summary>How a kill ended.</summary>
/// <remarks>Thread safety: a value, immutable.</remarks>
public enum OomOutcome
{
    /// <summary>The victim is still on its way out.</summary>
    InFlight,

    /// <summary>The victim exited by itself.</summary>
    Exited,

    /// <summary>The reaper took its memory.</summary>
    Reaped,

    /// <summary>The reaper could not take its memory (in use, or shared with a member that is never killed).</summary>
    NotReapable,

    /// <summary>The code that frees its memory did not come back in time.</summary>
    ReapStuck,
}

/// <summary>A group in a report's excerpt of the tree.</summary>
/// <remarks>Thread safety: immutable.</remarks>
/// <param name="Path">The group.</param>
/// <param name="UsageBytes">Its usage, stock included, in bytes.</param>
/// <param name="StockBytes">Of that, pre-charged stock, in bytes.</param>
/// <param name="LimitBytes">Its Max (the root: its capacity), in bytes; long.MaxValue is no limit.</param>
/// <param name="LowBytes">Its Low protection, in bytes.</param>
public sealed record OomReportGroup(string Path, long UsageBytes, long StockBytes, long LimitBytes, long LowBytes);

/// <summary>A member in a report's score table.</summary>
/// <remarks>Thread safety: immutable.</remarks>
/// <param name="Path">The member.</param>
/// <param name="UsageBytes">What its space used, in bytes.</param>
/// <param name="Adjustment">Its score adjustment, -1000...1000.</param>
/// <param name="Score">Its score, in bytes.</param>
public sealed record OomReportScore(string Path, long UsageBytes, int Adjustment, long Score);

/// <summary>
/// Everything about one kill: who asked, who refused, what was tried, who died, why, and how it ended.
/// </summary>
/// <remarks>Thread safety: immutable.</remarks>
public sealed record OomReport
{
    /// <summary>Counts the reports of a root, from 1.</summary>
    public required long Number { get; init; }

    /// <summary>When it was decided.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>Who asked for memory; empty when a limit was lowered or an administrator asked.</summary>
    public required string AskerPath { get; init; }

    /// <summary>How much it asked for, in bytes.</summary>
    public required long RequestedBytes { get; init; }

    /// <summary>How the request was flagged.</summary>
    public required ChargeFlags Flags { get; init; }

    /// <summary>How long it had been trying, in milliseconds.</summary>
    public required double WaitedMilliseconds { get; init; }

    /// <summary>The group whose limit refused; the root's path when the capacity was exhausted.</summary>
    public required string RefusingGroup { get; init; }

    /// <summary>That limit, in bytes.</summary>
    public required long LimitBytes { get; init; }

    /// <summary>The usage of that group at the decision, in bytes.</summary>
    public required long UsageBytes { get; init; }

    /// <summary>
    /// Of the root's capacity, what was measured in use beside the usage and not declared by anybody, in bytes; 0 for
    /// any other group, and when it does not count.
    /// </summary>
    public long UnattributedBytes { get; init; }

    /// <summary>Who was killed.</summary>
    public required string VictimPath { get; init; }

    /// <summary>Its group.</summary>
    public required string VictimGroup { get; init; }

    /// <summary>What its space used, in bytes.</summary>
    public required long VictimUsageBytes { get; init; }

    /// <summary>Its score, in bytes.</summary>
    public required long VictimScore { get; init; }

    /// <summary>Why it was this one.</summary>
    public required string Reason { get; init; }

    /// <summary>Everybody who was killed by this decision: more than one when a whole group was.</summary>
    public required IReadOnlyList<string> Killed { get; init; }

    /// <summary>What was tried before.</summary>
    public required IReadOnlyList<ReclaimStep> Tried { get; init; }

    /// <summary>The refusing group and the largest groups below it.</summary>
    public required IReadOnlyList<OomReportGroup> Groups { get; init; }

    /// <summary>The highest scores.</summary>
    public required IReadOnlyList<OomReportScore> Scores { get; init; }

    /// <summary>How many candidates there were in all.</summary>
    public required int Candidates { get; init; }

    /// <summary>How it ended, as far as is known.</summary>
    public OomOutcome Outcome { get; init; }

    /// <summary>What the reaper took, in bytes.</summary>
    public long ReapedBytes { get; init; }

    /// <summary>From the decision to the outcome, in milliseconds; 0 while in flight.</summary>
    public double TookMilliseconds { get; init; }

    /// <summary>Reads a report that <see cref="ToJson"/> wrote.</summary>
    /// <param name="json">The text.</param>
    /// <returns>The report.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="json"/> is null.</exception>
    /// <exception cref="FormatException">The text is not a report.</exception>
    public static OomReport FromJson(string json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, OomReportJson.Default.OomReport)
                ?? throw new FormatException("An OOM report was expected, but the JSON text is 'null'.");
        }
        catch (JsonException error)
        {
            throw new FormatException($"The JSON text is not an OOM report: {error.Message}", error);
        }
    }

    /// <summary>Writes the report as JSON.</summary>
    /// <returns>One JSON object, indented.</returns>
    public string ToJson() => JsonSerializer.Serialize(this, OomReportJson.Default.OomReport);

    /// <summary>Writes the report for people.</summary>
    /// <returns>Some lines of text, at most about sixty.</returns>
    public override string ToString()
    {
        var lines = new List<FormattableString>
        {
            $"OOM report #{Number}, {Time:yyyy-MM-dd HH:mm:ss.fff zzz}",
            Asked,
            Refused,
            $"  killed    {VictimPath}: {Size(VictimUsageBytes)}, score {Size(VictimScore)}",
            $"  because   {Reason}",
            $"  outcome   {Describe()}",
            $"  tried     {(Tried.Count == 0 ? "nothing there to reclaim" : string.Empty)}",
        };
        lines.AddRange(Tried.Select(static step => (FormattableString)
            $"    {step.What,-30} asked {Size(step.AskedBytes),8}  gave {Size(step.GaveBytes),8}  {Times(step)}"));
        if (Killed.Count > 1)
        {
            lines.Insert(4, $"  and       {string.Join(", ", Killed.Skip(1).Take(10))}{More(Killed.Count - 11)}");
        }

        lines.Add($"  groups    {"",-24} {"usage",10} {"stock",10} {"limit",10} {"low",10}");
        lines.AddRange(Groups.Select(static group => (FormattableString)
            $"    {group.Path,-32} {Size(group.UsageBytes),10} {Size(group.StockBytes),10} {Limits(group)}"));
        lines.Add($"  scores    the highest {Scores.Count} of {Candidates}");
        lines.AddRange(Scores.Select(one => (FormattableString)
            $"    {one.Path,-32} {Size(one.UsageBytes),10} {one.Adjustment,6} {Size(one.Score),10}{Mark(one)}"));
        return string.Concat(lines.Select(static line => line.ToString(CultureInfo.InvariantCulture) + "\n"));
    }

    // A lowered limit, a trigger and a budget kill without a request; the last two without a limit, too.
    private FormattableString Asked => AskerPath.Length == 0 && RequestedBytes == 0
        ? (FormattableString)$"  asked     {Asker}"
        : $"  asked     {Asker} wanted {Size(RequestedBytes)} (flags: {Flags}), tried for {WaitedMilliseconds:F1} ms";

    private FormattableString Refused => LimitBytes == long.MaxValue
        ? (FormattableString)$"  refused   nobody: {RefusingGroup} has no limit, {Size(UsageBytes)} in use{Undeclared}"
        : $"  refused   {RefusingGroup}: {Size(UsageBytes)} of {Size(LimitBytes)} in use{Undeclared}";

    private string Asker => AskerPath.Length == 0 ? "nobody in particular" : AskerPath;

    private string Undeclared => UnattributedBytes == 0 ? string.Empty : $", {Size(UnattributedBytes)} undeclared";

    private static string Size(long bytes) => ByteSize.FormatRounded(bytes);

    private static string Limits(OomReportGroup group) => $"{Size(group.LimitBytes),10} {Size(group.LowBytes),10}";

    private static string Times(ReclaimStep step) =>
        step.Times == 1 ? step.Outcome : $"{step.Outcome} ({step.Times} times)";

    private static string More(int count) => count > 0 ? $" and {count} more" : string.Empty;

    private string Mark(OomReportScore score) => score.Path == VictimPath ? "  <- killed" : string.Empty;

    private string Describe() => Outcome switch
    {
        OomOutcome.InFlight => "the victim is on its way out",
        OomOutcome.Exited => Took("it exited"),
        OomOutcome.Reaped => Took($"the reaper took {Size(ReapedBytes)}"),
        OomOutcome.NotReapable => Took("it did not exit and could not be reaped; the killer goes on without it"),
        _ => Took("freeing its memory hangs; the killer goes on without it"),
    };

    private string Took(string what) => string.Create(
        CultureInfo.InvariantCulture, $"{what} after {TookMilliseconds:F1} ms");
}

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(OomReport))]
internal sealed partial class OomReportJson : JsonSerializerContext;
