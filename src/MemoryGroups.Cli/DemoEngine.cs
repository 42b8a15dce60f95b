// The engine whose queries the demo runs: everything that differs between them, so that schedule, phases, counting and
// verdict are one.
//
// What must stay true: the same tenants ask the same kinds of questions of the same kind of data, so that a verdict
// means the same for each engine.

using Microsoft.Data.Sqlite;

namespace MemoryGroups.Cli;

internal abstract class DemoEngine
{
    internal static readonly DemoEngine Sqlite = new SqliteEngine();
    internal static readonly DemoEngine DuckDb = new DuckDbEngine();
    private static readonly DemoEngine[] All = [Sqlite, DuckDb];

    // As it is typed.
    internal abstract string Name { get; }

    // As it is shown.
    internal abstract string Title { get; }

    // What is charged, for the title of the governed phase.
    internal abstract string Governed { get; }

    internal abstract string FileExtension { get; }

    // What the tenants' everyday queries need together, with room to spare.
    internal abstract long LeastBudgetBytes { get; }

    internal abstract long UsualBudgetBytes { get; }

    // Keeps the folders of different engines apart.
    internal abstract string DataPrefix { get; }

    internal static DemoEngine Parse(string text) =>
        All.FirstOrDefault(engine => engine.Name == text) ?? throw new DemoUsageException(
            $"--engine '{text}' is not an engine. Allowed: {string.Join(", ", All.Select(e => e.Name))}, "
            + $"for example --engine {DuckDb.Name}.");

    // Throws DemoUsageException if the native library does not load: everything else depends on it.
    internal abstract void CheckLibrary();

    internal abstract void MakeTenant(string path, SeededSequence chance, DemoDataSize size, CancellationToken ct);

    // Connections of a tenant whose memory nobody governs.
    internal abstract SessionPool OpenPlain(string file, int connections);

    // The same, charged to the group.
    internal abstract Task<SessionPool> OpenGovernedAsync(string file, MemoryGroup group, string name, int connections);

    // What the engine allocates for all of the process, if it can be told from the rest, is charged to the member.
    internal abstract void Install(MemoryMember shared);

    // Everything is closed: globals too.
    internal abstract void Shutdown();

    // An engine's own word for "no memory", where nothing is governed.
    internal abstract bool IsOutOfMemory(Exception error);

    private sealed class SqliteEngine : DemoEngine
    {
        internal override string Name => "sqlite";

        internal override string Title => "SQLite";

        internal override string Governed => "every byte of SQLite is charged";

        internal override string FileExtension => ".db";

        internal override long LeastBudgetBytes => 32L << 20;

        internal override long UsualBudgetBytes => 64L << 20;

        internal override string DataPrefix => string.Empty;

        internal override void CheckLibrary()
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

        internal override void MakeTenant(
            string path, SeededSequence chance, DemoDataSize size, CancellationToken ct) =>
            SqliteShop.MakeTenant(path, chance, size, ct);

        internal override SessionPool OpenPlain(string file, int connections) =>
            new PlainSessionPool(file, connections);

        internal override async Task<SessionPool> OpenGovernedAsync(
            string file, MemoryGroup group, string name, int connections) =>
            await GovernedSessionPool.OpenAsync(file, group, name, connections);

        internal override void Install(MemoryMember shared) => MemoryGroups.Sqlite.SqliteMemory.Install(shared);

        // Its globals are charged too, and only this gives them back.
        internal override void Shutdown() => SQLitePCL.raw.sqlite3_shutdown();

        internal override bool IsOutOfMemory(Exception error) => error is SqliteException { SqliteErrorCode: 7 };
    }

    private sealed class DuckDbEngine : DemoEngine
    {
        internal override string Name => "duckdb";

        internal override string Title => "DuckDB";

        internal override string Governed => "DuckDB may use what is charged";

        internal override string FileExtension => ".duckdb";

        // A join of the everyday kind takes 20 MiB here: operators work in blocks of 256 KiB, several at a time.
        internal override long LeastBudgetBytes => 192L << 20;

        internal override long UsualBudgetBytes => 256L << 20;

        internal override string DataPrefix => "duckdb-";

        internal override void CheckLibrary()
        {
            if (!DuckDbGroups.DuckDbLibrary.IsAvailable)
                throw new DemoUsageException(DuckDbGroups.DuckDbLibrary.Problem);
        }

        internal override void MakeTenant(
            string path, SeededSequence chance, DemoDataSize size, CancellationToken ct) =>
            DuckDbShop.MakeTenant(path, chance, size, ct);

        internal override SessionPool OpenPlain(string file, int connections) =>
            new PlainDuckDbPool(file, connections);

        internal override Task<SessionPool> OpenGovernedAsync(
            string file, MemoryGroup group, string name, int connections) =>
            Task.FromResult<SessionPool>(new GovernedDuckDbPool(file, group, name, connections));

        // Each instance is a session's; what the library itself holds cannot be told.
        internal override void Install(MemoryMember shared)
        {
        }

        internal override void Shutdown()
        {
        }

        internal override bool IsOutOfMemory(Exception error) =>
            error is DuckDbGroups.DuckDbException { IsOutOfMemory: true };
    }
}
