// A database for each tenant: every byte that SQLite takes for a query is charged to that query. docs/programs.md shows
// the lines between the markers.
using MemoryGroups.Sqlite;
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Samples;

internal static class TenantDatabases
{
    private const string Greedy =
        """
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000000)
        select max(x) from (select i || 'padding padding' as x from n order by i % 1000, x)
        """;

    internal static async Task RunAsync(MemoryRoot root)
    {
        // <Install>
        // Once, before anything opens a SqliteConnection. Pays for what no session allocates; never killed for it.
        MemoryMember rest = root.CreateMember("sqlite", new() { OomScoreAdjustment = MemoryMember.NeverKill });
        SqliteMemory.Install(rest);
        // </Install>

        // <Database>
        using MemoryGroup tenant = root.CreateGroup("database", new() { Max = ByteSize.Parse("16M") });
        using SqliteSession session = SqliteSession.Open("Data Source=:memory:", tenant, "session");
        long rows = await session.RunAsync("count", static connection =>
        {
            using SqliteCommand command = connection.CreateCommand();
            command.CommandText = "select count(*) from sqlite_schema";
            return (long)command.ExecuteScalar()!;
        });

        try
        {
            await session.RunAsync("sort everything", static connection =>
            {
                using SqliteCommand command = connection.CreateCommand();
                command.CommandText = Greedy;                  // wants ten times what the tenant has
                return command.ExecuteScalar();
            });
        }
        catch (OomKilledException killed)
        {
            Console.WriteLine(killed.Report);                  // the session is as it was, and runs the next query
        }

        // </Database>
        Console.WriteLine($"{rows} tables; {tenant.Path} uses {ByteSize.FormatRounded(tenant.Usage)}");
    }
}
