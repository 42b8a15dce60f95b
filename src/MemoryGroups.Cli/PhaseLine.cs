// What a phase tells its parent: one JSON object per line on its standard output, a few times a second and once at the
// end. Every line carries the totals so far and only the news (events, kills) since the last one, so that a phase that
// is killed in the middle has told everything up to a quarter of a second before.
//
// What must stay true: a line is written whole, with one flush; the parent ignores a last line without its end.

using System.Text.Json;
using System.Text.Json.Serialization;

namespace MemoryGroups.Cli;

// Small: everyday queries. Big: those that want several times the budget. Export: the one that fits while it is alone.
internal sealed record TenantCounts(string Name, QueryCounts Small, QueryCounts Big, QueryCounts Export)
{
    internal static TenantCounts None(string name) => new(name, QueryCounts.None, QueryCounts.None, QueryCounts.None);

    // Managed bytes that its requests have allocated; 0 where nothing is metered.
    public long MeteredBytes { get; init; }

    internal int Tried => Small.Tried + Big.Tried + Export.Tried;

    internal int Succeeded => Small.Succeeded + Big.Succeeded + Export.Succeeded;

    internal int Refused => Small.Refused + Big.Refused + Export.Refused;

    internal int Killed => Small.Killed + Big.Killed + Export.Killed;

    internal int Unfinished => Small.Unfinished + Big.Unfinished + Export.Unfinished;

    internal int Failed => Small.Failed + Big.Failed + Export.Failed;
}

// A group of the tree as it is now. LimitBytes is null without a limit.
internal sealed record TreeRow(
    string Name, int Depth, long UsageBytes, long PeakBytes, long? LimitBytes, long LowBytes);

// What the process uses, three ways at one moment: measured, of that declared (charged) and not, and, beside those,
// what the tenants' requests have allocated on the managed heap since the start, most of which is long gone.
internal sealed record MemoryShares(
    long MeasuredBytes, long DeclaredBytes, long UnattributedBytes, long MeteredBytes);

internal sealed record KillRow(
    double AtSeconds, string Victim, string Group, string Reason, long Score, string Asker, long RequestedBytes,
    string RefusingGroup);

// Only the last line has it. BooksLeft names what was still charged after everything was closed.
internal sealed record PhaseEnd(
    long PeakChargedBytes, long BoundBytes, long CacheGaveBackBytes, int ParachuteOpenings, bool? BooksZero,
    IReadOnlyList<string> BooksLeft, string? FirstReport)
{
    // When the most was measured; null where nothing is declared.
    public MemoryShares? Memory { get; init; }
}

internal sealed record PhaseLine(
    double AtSeconds, IReadOnlyList<TenantCounts> Tenants, IReadOnlyList<TreeRow> Tree, long PeakChargedBytes,
    IReadOnlyList<string> Events, IReadOnlyList<KillRow> Kills, PhaseEnd? End)
{
    // Null where nothing is declared.
    public MemoryShares? Memory { get; init; }

    internal string ToJson() => JsonSerializer.Serialize(this, PhaseLineContext.Default.PhaseLine);

    // Null for what is not one of our lines, such as the half line of a process that was killed while it wrote.
    internal static PhaseLine? TryRead(string text)
    {
        try
        {
            return JsonSerializer.Deserialize(text, PhaseLineContext.Default.PhaseLine);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(PhaseLine))]
internal sealed partial class PhaseLineContext : JsonSerializerContext;
