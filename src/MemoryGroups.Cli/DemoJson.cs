// The verdict for machines. Names are the interface of `--json`: they may be added to, never changed.
//
// What must stay true: the file is written whole or not at all (a temporary name, then a rename), and what was asked
// for and cannot be written is found before the phases run.

using System.Text.Json;
using System.Text.Json.Serialization;

namespace MemoryGroups.Cli;

internal static class DemoJson
{
    internal static void CheckWritable(string file)
    {
        string probe = Temporary(file);
        Guard(file, () =>
        {
            if (Directory.Exists(file)) throw new IOException("it is a folder.");
            string folder = Path.GetDirectoryName(file)!;
            if (!Directory.Exists(folder)) throw new IOException($"the folder '{folder}' does not exist.");
            File.WriteAllText(probe, string.Empty);
            File.Delete(probe);
        });
    }

    internal static void Write(string file, DemoVerdict verdict)
    {
        string temporary = Temporary(file);
        Guard(file, () =>
        {
            File.WriteAllText(temporary, ToJson(verdict) + "\n");
            File.Move(temporary, file, overwrite: true);
        });
    }

    internal static string ToJson(DemoVerdict verdict) => JsonSerializer.Serialize(
        new VerdictJson(
            verdict.Pass,
            verdict.Options.Seed,
            verdict.Options.Engine.Name,
            verdict.Options.BudgetBytes,
            verdict.Options.PhaseLength.TotalSeconds,
            [.. verdict.Rules.Select(r => new RuleJson(r.Name, r.Held, r.Found))],
            new PhasesJson(PhaseOf(verdict.Ungoverned, verdict.Options), PhaseOf(verdict.Governed, verdict.Options)!)),
        DemoJsonContext.Default.VerdictJson);

    private static string Temporary(string file) => $"{file}.{Environment.ProcessId}.tmp";

    private static void Guard(string file, Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DemoUsageException($"--json '{file}' cannot be written: {Shown.FirstLine(e.Message)}", e);
        }
    }

    private static PhaseJson? PhaseOf(PhaseOutcome? outcome, DemoOptions options) => outcome is null ? null : new(
        outcome.Exit,
        outcome.EndedByItself,
        outcome.Seconds,
        outcome.CapKind,
        outcome.CapBytes,
        outcome.PeakChargedBytes,
        outcome.PeakRssBytes,
        outcome.End?.BooksZero,
        outcome.Kills,
        [.. outcome.Tenants.Select(t => TenantOf(t, options))],
        outcome.End?.CacheGaveBackBytes ?? 0,
        outcome.End?.ParachuteOpenings ?? 0,
        outcome.End?.FirstReport,
        outcome.End?.Memory);

    // The percentiles of a tenant are those of its everyday queries: a percentile over milliseconds and seconds mixed
    // would be one of the mix, not of the service.
    private static TenantJson TenantOf(TenantCounts tenant, DemoOptions options) => new(
        tenant.Name, LoadSchedule.Due(tenant.Name, options).All,
        tenant.Tried, tenant.Succeeded, tenant.Refused, tenant.Killed, tenant.Unfinished, tenant.Failed,
        tenant.Small.P50Ms, tenant.Small.P99Ms, tenant.Small, tenant.Big, tenant.Export);
}

internal sealed record VerdictJson(
    bool Pass, int Seed, string Engine, long BudgetBytes, double PhaseSeconds, IReadOnlyList<RuleJson> Rules,
    PhasesJson Phases);

internal sealed record RuleJson(string Name, bool Held, string Found);

// Ungoverned is null with --governed-only.
internal sealed record PhasesJson(PhaseJson? Ungoverned, PhaseJson Governed);

// BooksZero is null where there were no books: nothing is charged in the ungoverned phase, and a phase that died told
// none.
internal sealed record PhaseJson(
    string Exit, bool EndedByItself, double Seconds, MemoryCapKind CapKind, long CapBytes, long PeakChargedBytes,
    long PeakRssBytes, bool? BooksZero, IReadOnlyList<KillRow> Kills, IReadOnlyList<TenantJson> Tenants,
    long CacheGaveBackBytes, int ParachuteOpenings, string? FirstReport, MemoryShares? Memory);

internal sealed record TenantJson(
    string Name, int Due, int Tried, int Succeeded, int Refused, int Killed, int Unfinished, int Failed,
    double? P50Ms, double? P99Ms, QueryCounts Small, QueryCounts Big, QueryCounts Export);

[JsonSourceGenerationOptions(
    WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true)]
[JsonSerializable(typeof(VerdictJson))]
[JsonSerializable(typeof(Dictionary<string, long>))]
internal sealed partial class DemoJsonContext : JsonSerializerContext;
