// What can be asked of the demo, checked once. The command line hands over plain text; every error says which option,
// what was given, what is allowed and an example, in one line.
//
// What must stay true: an instance is valid. The parent builds one from the command line and passes it on to the phases
// in the same words (ToArguments), so a phase can never run with values that the parent would have refused.

using System.Globalization;

namespace MemoryGroups.Cli;

internal sealed record DemoOptions
{
    internal const long MostBudgetBytes = 1L << 30;
    internal const int LeastSeconds = 5;
    internal const int MostSeconds = 600;

    internal static readonly DemoOptions Default = new();

    internal long BudgetBytes { get; init; } = 64L << 20;

    internal int Seed { get; init; } = 1;

    internal DemoEngine Engine { get; init; } = DemoEngine.Sqlite;

    // Of each phase.
    internal TimeSpan PhaseLength { get; init; } = TimeSpan.FromSeconds(15);

    internal bool GovernedOnly { get; init; }

    internal bool Throughput { get; init; }

    internal string CacheFolder { get; init; } = DefaultCacheFolder();

    internal string? JsonFile { get; init; }

    // Measured: the runtime, the managed heap and stacks of a phase take 75 to 110 MiB, and what the C allocator keeps
    // between and after SQLite's blocks up to two thirds of the budget. So a governed phase fits below the cap with
    // room to spare, and two big queries without governing do not.
    internal long CapBytes => 2 * BudgetBytes + (96L << 20);

    // Each value may be null: not given.
    internal static DemoOptions Parse(string? budget, string? seconds, string? seed, string? engine = null)
    {
        DemoEngine chosen = engine is null ? Default.Engine : DemoEngine.Parse(engine);
        return new DemoOptions
        {
            Engine = chosen,
            BudgetBytes = budget is null ? chosen.UsualBudgetBytes : ParseBudget(budget, chosen),
            PhaseLength = seconds is null
                ? Default.PhaseLength
                : TimeSpan.FromSeconds(ParseInt("--seconds", seconds, LeastSeconds, MostSeconds, "15")),
            Seed = seed is null ? Default.Seed : ParseInt("--seed", seed, 0, int.MaxValue, "1"),
        };
    }

    // The same with what only the parent is asked.
    internal DemoOptions With(string? cacheFolder, string? jsonFile, bool governedOnly) => this with
    {
        CacheFolder = cacheFolder is null ? CacheFolder : ParsePath("--cache", cacheFolder),
        JsonFile = jsonFile is null ? null : ParsePath("--json", jsonFile),
        GovernedOnly = governedOnly,
    };

    internal DemoOptions AsThroughput(bool throughput) => this with { Throughput = throughput };

    // What a phase needs of it, in the words of its own command line.
    internal string[] ToArguments() =>
    [
        "--budget", ByteSize.Format(BudgetBytes),
        "--seconds", PhaseLength.TotalSeconds.ToString(CultureInfo.InvariantCulture),
        "--seed", Seed.ToString(CultureInfo.InvariantCulture),
        "--engine", Engine.Name,
    ];

    private static long ParseBudget(string text, DemoEngine engine)
    {
        string allowed = $"Allowed: {ByteSize.Format(engine.LeastBudgetBytes)} to {ByteSize.Format(MostBudgetBytes)}, "
            + $"for example --budget {ByteSize.Format(engine.UsualBudgetBytes / 2 * 3)}.";
        if (!ByteSize.TryParse(text, out long bytes))
        {
            throw new DemoUsageException(
                $"--budget '{text}' is not a byte count (a whole number, then k, m or g). {allowed}");
        }

        return bytes >= engine.LeastBudgetBytes && bytes <= MostBudgetBytes
            ? bytes
            : throw new DemoUsageException($"--budget '{text}' is out of range. {allowed}");
    }

    private static int ParseInt(string option, string text, int least, int most, string example) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value)
        && value >= least
        && value <= most
            ? value
            : throw new DemoUsageException(
                $"{option} '{text}' is not a whole number from {least} to {most}, for example {option} {example}.");

    private static string ParsePath(string option, string text) => text.Trim().Length > 0
        ? Path.GetFullPath(text)
        : throw new DemoUsageException($"{option} needs a path, for example {option} ./demo.");

    // The XDG rule: the variable counts only if it is an absolute path.
    private static string DefaultCacheFolder()
    {
        string? xdg = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        string cache = xdg is not null && Path.IsPathRooted(xdg)
            ? xdg
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        return Path.Combine(cache, "memgroups-demo");
    }
}
