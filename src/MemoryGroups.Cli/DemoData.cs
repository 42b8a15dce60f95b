// The data of the demo: one shop per tenant (customers, orders, lines), in one file of the engine each, made here
// the first time it runs and kept in a cache folder. It is the same on every machine: the seed of the data is fixed
// (--seed moves the load, not the data), so a second run with another seed starts at once.
//
// What must stay true: a folder with the final name is complete. Everything is made under a temporary name beside it
// and renamed in one step; the manifest holds the length of each file, so that a file cut short afterwards (a full
// disk, a copy that was interrupted) is noticed and made again instead of failing in the middle of a phase.

using System.Text.Json;

namespace MemoryGroups.Cli;

internal sealed class DemoData
{
    // Grows whenever the same seed would give other bytes: an old cache is then left alone and a new one made beside
    // it.
    internal const int Version = 1;
    internal const int Days = 730;
    internal static readonly string[] Tenants = ["alpha", "beta", "greedy"];
    internal static readonly string[] Regions =
        ["north", "east", "south", "west", "coast", "hills", "lakes", "plains"];

    private const string ManifestName = "manifest.json";
    private const int DataSeed = 20;
    private DemoData(string folder) => Folder = folder;

    internal string Folder { get; }

    internal static string PathOf(string folder, string tenant, DemoEngine engine) =>
        Path.Combine(folder, tenant + engine.FileExtension);

    // The cached data, or new data if there is none that is whole. Throws DemoUsageException if the folder cannot be
    // used.
    internal static DemoData Open(
        string cacheFolder, DemoEngine engine, DemoDataSize size, Action<string> tell, CancellationToken ct)
    {
        string folder = Path.Combine(cacheFolder, $"{engine.DataPrefix}v{Version}-{size.Orders}");
        try
        {
            Directory.CreateDirectory(cacheFolder);
            if (IsWhole(folder, engine)) return new DemoData(folder);

            tell($"making the data of three tenants (about {size.RowsPerTenant:N0} rows each), once, in {folder}");
            string unfinished = Path.Combine(cacheFolder, $"unfinished-{Path.GetRandomFileName()}");
            try
            {
                Directory.CreateDirectory(unfinished);
                Make(unfinished, engine, DataSeed, size, ct);
                Publish(unfinished, folder, engine);
            }
            finally
            {
                if (Directory.Exists(unfinished)) Directory.Delete(unfinished, recursive: true);
            }

            return new DemoData(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DemoUsageException(
                $"cannot write the cache folder '{cacheFolder}': {Shown.FirstLine(e.Message)}"
                + " Give another one with --cache DIR.",
                e);
        }
    }

    // All three files of one folder, two at a time at most: the work is a mix of CPU and writing.
    internal static void Make(
        string folder, DemoEngine engine, int seed, DemoDataSize size, CancellationToken ct)
    {
        try
        {
            Parallel.ForEach(
                Tenants,
                new ParallelOptions { MaxDegreeOfParallelism = 2, CancellationToken = ct },
                tenant => engine.MakeTenant(
                    PathOf(folder, tenant, engine), SeededSequence.For(seed, tenant), size, ct));
        }
        catch (AggregateException e) when (e.InnerExceptions.Count > 0)
        {
            // One cause is what the person can act on; a full disk stops all three for the same reason.
            throw new IOException(Shown.FirstLine(e.InnerExceptions[0].Message), e);
        }

        Dictionary<string, long> lengths =
            Tenants.ToDictionary(t => t, t => new FileInfo(PathOf(folder, t, engine)).Length);
        File.WriteAllText(
            Path.Combine(folder, ManifestName),
            JsonSerializer.Serialize(lengths, DemoJsonContext.Default.DictionaryStringInt64));
    }

    private static bool IsWhole(string folder, DemoEngine engine)
    {
        string manifest = Path.Combine(folder, ManifestName);
        if (!File.Exists(manifest)) return false;
        try
        {
            Dictionary<string, long>? lengths =
                JsonSerializer.Deserialize(File.ReadAllText(manifest), DemoJsonContext.Default.DictionaryStringInt64);
            return lengths is not null && Tenants.All(t =>
                lengths.TryGetValue(t, out long length)
                && new FileInfo(PathOf(folder, t, engine)) is { Exists: true } file
                && file.Length == length);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static void Publish(string unfinished, string folder, DemoEngine engine)
    {
        // What stands there was found not to be whole. Another process may be making the same data right now: whoever
        // renames second finds a whole folder and uses it, since both made the same bytes.
        if (Directory.Exists(folder) && !IsWhole(folder, engine)) Directory.Delete(folder, recursive: true);
        try
        {
            Directory.Move(unfinished, folder);
        }
        catch (IOException) when (IsWhole(folder, engine))
        {
        }
    }
}

// How much data a tenant has. The default is what the demo is about: enough that a sort of all lines is real work.
internal sealed record DemoDataSize(int Customers, int Orders)
{
    // On average; an order has 1 to 2 * LinesPerOrder - 1 of them.
    internal const int LinesPerOrder = 3;
    internal static readonly DemoDataSize Default = new(4_000, 60_000);

    internal int RowsPerTenant => Customers + Orders + Orders * LinesPerOrder;
}
