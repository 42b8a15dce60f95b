// The data of the demo: one shop per tenant (customers, orders, lines), in one SQLite file each, made by this program
// the first time it runs and kept in a cache folder. It is the same on every machine: the seed of the data is fixed
// (--seed moves the load, not the data), so a second run with another seed starts at once.
//
// What must stay true: a folder with the final name is complete. Everything is made under a temporary name beside it
// and renamed in one step; the manifest holds the length of each file, so that a file cut short afterwards (a full
// disk, a copy that was interrupted) is noticed and made again instead of failing in the middle of a phase.

using System.Text.Json;
using Microsoft.Data.Sqlite;

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
    private static readonly string[] Words =
    [
        "walnut", "copper", "linen", "amber", "cedar", "marble", "velvet", "cobalt", "willow", "granite", "saffron",
        "pewter", "birch", "indigo", "quartz", "maple",
    ];

    private DemoData(string folder) => Folder = folder;

    internal string Folder { get; }

    internal static string PathOf(string folder, string tenant) => Path.Combine(folder, tenant + ".db");

    // The cached data, or new data if there is none that is whole. Throws DemoUsageException if the folder cannot be
    // used.
    internal static DemoData Open(string cacheFolder, DemoDataSize size, Action<string> tell, CancellationToken ct)
    {
        string folder = Path.Combine(cacheFolder, $"v{Version}-{size.Orders}");
        try
        {
            Directory.CreateDirectory(cacheFolder);
            if (IsWhole(folder)) return new DemoData(folder);

            tell($"making the data of three tenants (about {size.RowsPerTenant:N0} rows each), once, in {folder}");
            string unfinished = Path.Combine(cacheFolder, $"unfinished-{Path.GetRandomFileName()}");
            try
            {
                Directory.CreateDirectory(unfinished);
                Make(unfinished, DataSeed, size, ct);
                Publish(unfinished, folder);
            }
            finally
            {
                if (Directory.Exists(unfinished)) Directory.Delete(unfinished, recursive: true);
            }

            return new DemoData(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or SqliteException)
        {
            throw new DemoUsageException(
                $"cannot write the cache folder '{cacheFolder}': {Shown.FirstLine(e.Message)}"
                + " Give another one with --cache DIR.",
                e);
        }
    }

    // Throws DemoUsageException if SQLite's native library does not load: everything else depends on it.
    internal static void CheckNativeLibrary()
    {
        try
        {
            using var connection = new SqliteConnection("Data Source=:memory:;Pooling=False");
            connection.Open();
        }
        catch (Exception e) when (e is TypeInitializationException or TypeLoadException)
        {
            throw new DemoUsageException(
                "SQLite's native library (e_sqlite3) is missing beside the program or not made for this machine."
                + " Build again (./memgroups does), or deploy the program's runtimes folder with it.",
                e);
        }
    }

    // All three files of one folder, two at a time at most: the work is a mix of CPU and writing.
    internal static void Make(string folder, int seed, DemoDataSize size, CancellationToken ct)
    {
        try
        {
            Parallel.ForEach(
                Tenants,
                new ParallelOptions { MaxDegreeOfParallelism = 2, CancellationToken = ct },
                tenant => MakeTenant(PathOf(folder, tenant), SeededSequence.For(seed, tenant), size, ct));
        }
        catch (AggregateException e) when (e.InnerExceptions.Count > 0)
        {
            // One cause is what the person can act on; a full disk stops all three for the same reason.
            throw new IOException(Shown.FirstLine(e.InnerExceptions[0].Message), e);
        }

        Dictionary<string, long> lengths = Tenants.ToDictionary(t => t, t => new FileInfo(PathOf(folder, t)).Length);
        File.WriteAllText(
            Path.Combine(folder, ManifestName),
            JsonSerializer.Serialize(lengths, DemoJsonContext.Default.DictionaryStringInt64));
    }

    private static bool IsWhole(string folder)
    {
        string manifest = Path.Combine(folder, ManifestName);
        if (!File.Exists(manifest)) return false;
        try
        {
            Dictionary<string, long>? lengths =
                JsonSerializer.Deserialize(File.ReadAllText(manifest), DemoJsonContext.Default.DictionaryStringInt64);
            return lengths is not null && Tenants.All(t =>
                lengths.TryGetValue(t, out long length)
                && new FileInfo(PathOf(folder, t)) is { Exists: true } file
                && file.Length == length);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static void Publish(string unfinished, string folder)
    {
        // What stands there was found not to be whole. Another process may be making the same data right now: whoever
        // renames second finds a whole folder and uses it, since both made the same bytes.
        if (Directory.Exists(folder) && !IsWhole(folder)) Directory.Delete(folder, recursive: true);
        try
        {
            Directory.Move(unfinished, folder);
        }
        catch (IOException) when (IsWhole(folder))
        {
        }
    }

    private static void MakeTenant(string path, SeededSequence chance, DemoDataSize size, CancellationToken ct)
    {
        using var connection = new SqliteConnection($"Data Source={path};Pooling=False");
        connection.Open();
        // No journal and no sync: nobody reads the file before it is whole and renamed, so a crash costs only the work.
        Run(connection, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16000;");
        Run(connection, """
            CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, region TEXT, since_day INTEGER);
            CREATE TABLE orders(id INTEGER PRIMARY KEY, customer_id INTEGER, placed_day INTEGER, total_cents INTEGER);
            CREATE TABLE lines(id INTEGER PRIMARY KEY, order_id INTEGER, product INTEGER, quantity INTEGER,
                               cents INTEGER, note TEXT);
            """);
        // Plain words and not a SqliteTransaction: disposing that after a failure tries to roll back, which is
        // impossible without a journal, and the complaint about it would hide the real error (the disk is full).
        Run(connection, "BEGIN");
        FillCustomers(connection, chance, size);
        FillOrders(connection, chance, size, ct);
        Run(connection, "COMMIT");
        Run(connection, """
            CREATE INDEX orders_by_customer ON orders(customer_id);
            CREATE INDEX orders_by_day ON orders(placed_day);
            CREATE INDEX lines_by_order ON lines(order_id);
            """);
    }

    private static void FillCustomers(SqliteConnection connection, SeededSequence chance, DemoDataSize size)
    {
        using var insert = new Insert(connection, "customers", 4);
        for (int id = 1; id <= size.Customers; id++)
        {
            string region = Regions[chance.Below(Regions.Length)];
            insert.Row(id, $"{Word(chance)} {Word(chance)} {id}", region, chance.Below(Days));
        }
    }

    private static void FillOrders(
        SqliteConnection connection, SeededSequence chance, DemoDataSize size, CancellationToken ct)
    {
        using var order = new Insert(connection, "orders", 4);
        using var line = new Insert(connection, "lines", 6);
        int lineId = 0;
        for (int id = 1; id <= size.Orders; id++)
        {
            if (id % 1024 == 0) ct.ThrowIfCancellationRequested();
            int total = 0;
            int lines = 1 + chance.Below(2 * DemoDataSize.LinesPerOrder - 1);
            for (int n = 0; n < lines; n++)
            {
                int quantity = 1 + chance.Below(9);
                int cents = 100 + chance.Below(20_000);
                total += quantity * cents;
                string note = $"{Word(chance)} {Word(chance)} {chance.Below(10_000)}";
                line.Row(++lineId, id, chance.Below(2_000), quantity, cents, note);
            }

            order.Row(id, 1 + chance.Below(size.Customers), chance.Below(Days), total);
        }
    }

    private static string Word(SeededSequence chance) => Words[chance.Below(Words.Length)];

    private static void Run(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    // One prepared INSERT whose parameters are set and stepped per row.
    private sealed class Insert : IDisposable
    {
        private readonly SqliteCommand _command;

        internal Insert(SqliteConnection connection, string table, int columns)
        {
            _command = connection.CreateCommand();
            string values = string.Join(',', Enumerable.Range(0, columns).Select(n => $"${n}"));
            _command.CommandText = $"INSERT INTO {table} VALUES ({values})";
            for (int n = 0; n < columns; n++) _command.Parameters.Add(new SqliteParameter($"${n}", null));
            _command.Prepare();
        }

        internal void Row(params ReadOnlySpan<object> values)
        {
            for (int n = 0; n < values.Length; n++) _command.Parameters[n].Value = values[n];
            _command.ExecuteNonQuery();
        }

        public void Dispose() => _command.Dispose();
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
