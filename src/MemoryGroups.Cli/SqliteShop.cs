// The data of one tenant as a SQLite file: rows from a seeded sequence, so that they are the same on every machine.

using Microsoft.Data.Sqlite;

namespace MemoryGroups.Cli;

internal static class SqliteShop
{
    private static readonly string[] Words =
    [
        "walnut", "copper", "linen", "amber", "cedar", "marble", "velvet", "cobalt", "willow", "granite", "saffron",
        "pewter", "birch", "indigo", "quartz", "maple",
    ];

    internal static void MakeTenant(string path, SeededSequence chance, DemoDataSize size, CancellationToken ct)
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
            string region = DemoData.Regions[chance.Below(DemoData.Regions.Length)];
            insert.Row(id, $"{Word(chance)} {Word(chance)} {id}", region, chance.Below(DemoData.Days));
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

            order.Row(id, 1 + chance.Below(size.Customers), chance.Below(DemoData.Days), total);
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
