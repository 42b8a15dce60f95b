// One query of the load: its SQL, its parameters, and how its rows are read. Both phases run the same objects.
//
// What must stay true: reading keeps no more than one page of the rows. What a query costs is meant to be SQLite's
// memory (sorters, temporary tables, strings), which is what this program governs; rows piled up in managed memory
// would be counted by nobody and would muddle the comparison.

using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Cli;

internal enum QueryKind
{
    Point,
    Aggregate,
    Sort,
    Join,
    BigSort,
    BigCrossJoin,
    BigConcat,
    BigExport,
}

internal sealed record DemoQuery(QueryKind Kind, string Sql, IReadOnlyList<(string Name, object Value)> Parameters)
{
    internal const int PageRows = 1_000;
    internal static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    // Asks for several times the budget: expected to be stopped, and counted apart from the tenant's other queries.
    internal bool IsBig => Kind >= QueryKind.BigSort;

    // Has few distinct parameters, so that a service would keep its answers.
    internal bool IsCacheable => Kind is QueryKind.Aggregate or QueryKind.Sort or QueryKind.Join;

    // A client that takes its rows slowly, pausing after every so many: the query holds its sorted rows all that time.
    // Zero: as fast as it goes.
    internal int PauseEveryRows { get; init; }

    // The cache's key: the SQL is fixed per kind, so kind and parameters say it all.
    internal string Key => $"{Kind}({string.Join(',', Parameters.Select(p => p.Value))})";

    // Runs on the caller's thread. The answer is the first page of rows and the number of all, in a compact form.
    internal byte[] Read(SqliteConnection connection, CancellationToken stop)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = Sql;
        foreach ((string name, object value) in Parameters) command.Parameters.AddWithValue(name, value);
        using SqliteDataReader reader = command.ExecuteReader();

        var page = new ArrayBufferWriter<byte>(256);
        int rows = 0;
        while (reader.Read())
        {
            if (rows < PageRows) WriteRow(page, reader);
            rows++;
            // The thread really is occupied, as it is in a service whose client reads slowly. What is waited for is
            // the end of the phase; the time limit makes it a pause. A kill comes as an error of the next
            // reader.Read().
            if (PauseEveryRows > 0 && rows % PauseEveryRows == 0) stop.WaitHandle.WaitOne(Pause);
        }

        BinaryPrimitives.WriteInt32LittleEndian(page.GetSpan(sizeof(int)), rows);
        page.Advance(sizeof(int));
        return page.WrittenSpan.ToArray();
    }

    private static void WriteRow(ArrayBufferWriter<byte> page, SqliteDataReader reader)
    {
        for (int column = 0; column < reader.FieldCount; column++)
        {
            if (reader.GetFieldType(column) == typeof(string))
            {
                string text = reader.GetString(column);
                page.Advance(Encoding.UTF8.GetBytes(text.AsSpan(0, Math.Min(text.Length, 64)), page.GetSpan(256)));
            }
            else
            {
                BinaryPrimitives.WriteInt64LittleEndian(page.GetSpan(sizeof(long)), reader.GetInt64(column));
                page.Advance(sizeof(long));
            }
        }
    }
}
