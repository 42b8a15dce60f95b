// The load's queries in DuckDB's words, with the same parameters: its division of integers is written //, and a column
// that is not grouped by has to be an aggregate. Rows are read as in SQLite: one page is kept, the rest is counted.

using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using DuckDbGroups;

namespace MemoryGroups.Cli;

internal static class DuckDbQuery
{
    // Of the rows that fill a budget in SQLite: a sort takes more here, and an export is to fit while it is alone.
    private const int ExportPercent = 65;

    private const string Copies =
        """
        WITH RECURSIVE copies(n) AS (
            SELECT 0::BIGINT UNION ALL SELECT n + 1 FROM copies WHERE n < $rows::BIGINT // $lines::BIGINT)
        """;

    private const string SortedSql = Copies +
        """

        SELECT l.id, c.name, (l.id * 7919 + copies.n * $salt) % 1000003 AS rank, l.note || $padding AS padded
        FROM copies, lines l JOIN orders o ON o.id = l.order_id JOIN customers c ON c.id = o.customer_id
        WHERE copies.n * $lines + l.id <= $rows ORDER BY rank
        """;

    internal static byte[] Read(DuckDbConnection connection, DemoQuery query, CancellationToken stop)
    {
        using DuckDbReader reader = connection.Query(Sql(query.Kind), [.. query.Parameters.Select(Named)]);
        var page = new ArrayBufferWriter<byte>(256);
        int rows = 0;
        while (reader.Read())
        {
            if (rows < DemoQuery.PageRows) WriteRow(page, reader);
            rows++;
            if (query.PauseEveryRows > 0 && rows % query.PauseEveryRows == 0)
                stop.WaitHandle.WaitOne(DemoQuery.Pause);
        }

        BinaryPrimitives.WriteInt32LittleEndian(page.GetSpan(sizeof(int)), rows);
        page.Advance(sizeof(int));
        return page.WrittenSpan.ToArray();

        (string, object) Named((string Name, object Value) parameter) =>
            (parameter.Name.TrimStart('$'), parameter is ("$rows", long all) && query.Kind == QueryKind.BigExport
                ? all * ExportPercent / 100
                : parameter.Value);
    }

    private static string Sql(QueryKind kind) => kind switch
    {
        QueryKind.Point =>
            """
            SELECT o.id, o.total_cents, any_value(c.name), count(*), sum(l.quantity)::BIGINT
            FROM orders o JOIN customers c ON c.id = o.customer_id JOIN lines l ON l.order_id = o.id
            WHERE o.id = $order GROUP BY o.id, o.total_cents
            """,
        QueryKind.Aggregate =>
            """
            SELECT c.region, count(*), sum(o.total_cents)::BIGINT
            FROM orders o JOIN customers c ON c.id = o.customer_id
            WHERE o.placed_day BETWEEN $from AND $to GROUP BY c.region
            """,
        QueryKind.Sort =>
            """
            SELECT l.id, l.quantity * l.cents AS value, l.note
            FROM orders o JOIN lines l ON l.order_id = o.id
            WHERE o.placed_day BETWEEN $from AND $to ORDER BY value DESC, l.note
            """,
        QueryKind.Join =>
            """
            SELECT c.name, count(*), sum(l.quantity * l.cents)::BIGINT AS value
            FROM customers c JOIN orders o ON o.customer_id = c.id JOIN lines l ON l.order_id = o.id
            WHERE c.region = $region AND c.since_day < $since GROUP BY c.id, c.name ORDER BY value DESC
            """,
        QueryKind.BigSort or QueryKind.BigExport => SortedSql,
        QueryKind.BigCrossJoin =>
            """
            SELECT count(*) FROM (
                SELECT DISTINCT l.id * $salt + c.id AS pair, $padding || c.name AS padded
                FROM lines l, customers c WHERE l.id <= 1 + $rows::BIGINT // $customers::BIGINT)
            """,
        QueryKind.BigConcat => Copies +
            """

            SELECT length(string_agg(l.note || $salt::VARCHAR || $padding, ';'))
            FROM copies, lines l WHERE copies.n * $lines + l.id <= $rows
            """,
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };

    private static void WriteRow(ArrayBufferWriter<byte> page, DuckDbReader reader)
    {
        for (int column = 0; column < reader.FieldCount; column++)
        {
            if (reader.IsNull(column)) continue;
            if (reader.IsText(column))
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
