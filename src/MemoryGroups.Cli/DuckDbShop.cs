// The data of one tenant as a DuckDB file: the same shop as in SQLite, computed by the engine itself from row numbers,
// because it takes columns at a time and rows one by one are what it is slowest at. Arithmetic only, no hash of the
// engine's: the same on every machine and in every version of it.

using DuckDbGroups;

namespace MemoryGroups.Cli;

internal static class DuckDbShop
{
    internal static void MakeTenant(string path, SeededSequence chance, DemoDataSize size, CancellationToken ct)
    {
        int salt = chance.Below(1_000);
        using DuckDbDatabase database = DuckDbDatabase.Open(new DuckDbOptions { File = path });
        using DuckDbConnection connection = database.Connect();
        using CancellationTokenRegistration stop = ct.Register(connection.Interrupt);
        string regions = string.Join(", ", DemoData.Regions.Select(region => $"'{region}'"));
        const string Words = "['walnut', 'copper', 'linen', 'amber', 'cedar', 'marble', 'velvet', 'cobalt']";
        string[] statements =
        [
            $"""
            CREATE TABLE customers AS SELECT i AS id,
                {Words}[1 + i * 7 % 8] || ' ' || {Words}[1 + i // 8 % 8] || ' ' || i AS name,
                [{regions}][1 + (i * 31 + {salt}) % {DemoData.Regions.Length}] AS region,
                (i * 7919 + {salt}) % {DemoData.Days} AS since_day
            FROM range(1, {size.Customers + 1}) t(i)
            """,
            $"""
            CREATE TABLE orders AS SELECT i AS id, 1 + (i * 7919 + {salt}) % {size.Customers} AS customer_id,
                (i * 104729 + {salt}) % {DemoData.Days} AS placed_day, 100 + (i * 7907 + {salt}) % 50000 AS total_cents
            FROM range(1, {size.Orders + 1}) t(i)
            """,
            $"""
            CREATE TABLE lines AS SELECT i AS id, 1 + (i - 1) // {DemoDataSize.LinesPerOrder} AS order_id,
                i * 13 % 2000 AS product, 1 + (i + {salt}) % 9 AS quantity, 100 + i * 7907 % 20000 AS cents,
                {Words}[1 + i * 5 % 8] || ' ' || {Words}[1 + i // 8 % 8] || ' ' || i * 7919 % 10000 AS note
            FROM range(1, {size.Orders * DemoDataSize.LinesPerOrder + 1}) t(i)
            """,
        ];
        try
        {
            foreach (string statement in statements) connection.Execute(statement);
        }
        catch (DuckDbException e) when (e.IsInterrupt)
        {
            throw new OperationCanceledException(ct);
        }
    }
}
