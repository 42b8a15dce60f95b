// What the tenants ask: four kinds of everyday queries, and four kinds of analytic ones that want several times the
// budget. The big ones are ordinary SQL that people do write: a sort of a wide join, DISTINCT over a cross join,
// group_concat over a table, an export that sorts first and is then read slowly.
//
// What must stay true: the same seed gives the same queries in the same order, and a big query's appetite follows the
// budget alone. Rows are padded so that about RowsPerBudget of them fill any budget: filling it takes about a second
// whether it is 32 MiB or 1 GiB.

namespace MemoryGroups.Cli;

internal static class QueryMix
{
    // A big query wants this many budgets, counted in sorted rows; as the text of group_concat they are at least half
    // of that.
    internal const int Appetite = 6;

    // The export holds this share of the budget (in percent) while it is read: it fits while it is alone, and leaves
    // so little that the next big query beside it finds the budget full. Which of them is then killed is the killer's
    // choice.
    private const int ExportPercent = 85;

    private const int RowsPerBudget = 200_000;
    private const int Periods = 24;

    // A day range per period and a handful of regions: few enough distinct answers that a cache pays.
    private const int DaysPerPeriod = 30;

    internal static DemoQuery Small(SeededSequence chance) => chance.Below(100) switch
    {
        < 45 => Point(chance),
        < 72 => Aggregate(chance),
        < 87 => Sort(chance),
        _ => Join(chance),
    };

    // The kinds take turns, starting with the export: whatever the seed, each occurs, and an export is often in
    // flight when the next big query comes.
    internal static DemoQuery Big(int turn, long budgetBytes, SeededSequence chance) => (turn % 4) switch
    {
        0 => BigExport(budgetBytes, chance),
        1 => BigSort(budgetBytes, chance),
        2 => BigCrossJoin(budgetBytes, chance),
        _ => BigConcat(budgetBytes, chance),
    };

    private static DemoQuery Point(SeededSequence chance) => new(
        QueryKind.Point,
        """
        SELECT o.id, o.total_cents, c.name, count(*), sum(l.quantity)
        FROM orders o JOIN customers c ON c.id = o.customer_id JOIN lines l ON l.order_id = o.id
        WHERE o.id = $order GROUP BY o.id
        """,
        [("$order", (long)(1 + chance.Below(DemoDataSize.Default.Orders)))]);

    private static DemoQuery Aggregate(SeededSequence chance) => new(
        QueryKind.Aggregate,
        """
        SELECT c.region, count(*), sum(o.total_cents)
        FROM orders o JOIN customers c ON c.id = o.customer_id
        WHERE o.placed_day BETWEEN $from AND $to GROUP BY c.region
        """,
        Period(chance));

    private static DemoQuery Sort(SeededSequence chance) => new(
        QueryKind.Sort,
        """
        SELECT l.id, l.quantity * l.cents AS value, l.note
        FROM orders o JOIN lines l ON l.order_id = o.id
        WHERE o.placed_day BETWEEN $from AND $to ORDER BY value DESC, l.note
        """,
        Period(chance));

    private static DemoQuery Join(SeededSequence chance) => new(
        QueryKind.Join,
        """
        SELECT c.name, count(*), sum(l.quantity * l.cents) AS value
        FROM customers c JOIN orders o ON o.customer_id = c.id JOIN lines l ON l.order_id = o.id
        WHERE c.region = $region AND c.since_day < $since GROUP BY c.id ORDER BY value DESC
        """,
        [
            ("$region", DemoData.Regions[chance.Below(DemoData.Regions.Length)]),
            ("$since", (long)(30 * (1 + chance.Below(6)))),
        ]);

    // A wide join in an order that no index has. Rows are chosen by id and not by LIMIT: below an ORDER BY that makes
    // SQLite 3.35 build a B-tree of rows one by one instead of sorting them, a hundred times slower.
    private static DemoQuery BigSort(long budgetBytes, SeededSequence chance) =>
        Sorted(QueryKind.BigSort, Padded(budgetBytes, 100 * Appetite, chance));

    private static DemoQuery BigExport(long budgetBytes, SeededSequence chance) =>
        Sorted(QueryKind.BigExport, Padded(budgetBytes, ExportPercent, chance)) with
        {
            // 100 pauses of 20 ms: the client takes a little over two seconds.
            PauseEveryRows = RowsPerBudget * ExportPercent / 100 / 100,
        };

    private static DemoQuery Sorted(QueryKind kind, (string, object)[] parameters) => new(
        kind,
        """
        WITH RECURSIVE copies(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM copies WHERE n < $rows / $lines)
        SELECT l.id, c.name, (l.id * 7919 + copies.n * $salt) % 1000003 AS rank, l.note || $padding AS padded
        FROM copies, lines l JOIN orders o ON o.id = l.order_id JOIN customers c ON c.id = o.customer_id
        WHERE copies.n * $lines + l.id <= $rows ORDER BY rank
        """,
        parameters);

    private static DemoQuery BigCrossJoin(long budgetBytes, SeededSequence chance) => new(
        QueryKind.BigCrossJoin,
        """
        SELECT count(*) FROM (
            SELECT DISTINCT l.id * $salt + c.id AS pair, $padding || c.name AS padded
            FROM lines l, customers c WHERE l.id <= 1 + $rows / $customers)
        """,
        Padded(budgetBytes, 100 * Appetite, chance));

    private static DemoQuery BigConcat(long budgetBytes, SeededSequence chance) => new(
        QueryKind.BigConcat,
        """
        WITH RECURSIVE copies(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM copies WHERE n < $rows / $lines)
        SELECT length(group_concat(l.note || $salt || $padding, ';'))
        FROM copies, lines l WHERE copies.n * $lines + l.id <= $rows
        """,
        Padded(budgetBytes, 100 * Appetite, chance));

    private static (string, object)[] Period(SeededSequence chance)
    {
        long from = chance.Below(Periods) * (long)DaysPerPeriod;
        return [("$from", from), ("$to", from + DaysPerPeriod - 1)];
    }

    private static (string, object)[] Padded(long budgetBytes, int percent, SeededSequence chance)
    {
        int rowBytes = (int)Math.Max(160, budgetBytes / RowsPerBudget);
        // Beside the padding a sorted row holds a note, a name, numbers, and what sorter and allocator add: measured,
        // 110 bytes.
        int padding = rowBytes - 110;
        return
        [
            ("$padding", new string('.', padding)),
            ("$salt", (long)(1 + chance.Below(100_000))),
            ("$rows", budgetBytes / rowBytes * percent / 100),
            ("$lines", (long)DemoDataSize.Default.Orders * DemoDataSize.LinesPerOrder),
            ("$customers", (long)DemoDataSize.Default.Customers),
        ];
    }
}
