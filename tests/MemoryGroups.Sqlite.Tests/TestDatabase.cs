// A folder with one SQLite file, a root, and the sessions a test opens; at the end everything is closed and the books
// of the root must be empty.

using Microsoft.Data.Sqlite;

namespace MemoryGroups.Sqlite.Tests;

internal sealed class TestDatabase : IDisposable
{
    // Long enough never to matter, unless what must end does not.
    internal static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly string _folder = Directory.CreateTempSubdirectory("memorygroups-sqlite-").FullName;
    private readonly List<SqliteSession> _sessions = [];

    internal TestDatabase(long capacity = long.MaxValue)
    {
        // A busy machine makes reclaimers late; given up is another matter than what is tested here.
        Root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = capacity, ReclaimDeadline = Deadline });
    }

    internal static CancellationToken Abort => TestContext.Current.CancellationToken;

    internal MemoryRoot Root { get; }

    internal string ConnectionString => $"Data Source={Path.Combine(_folder, "test.db")}";

    internal MemoryGroup Group(string name = "tenant", long max = long.MaxValue) =>
        Root.CreateGroup(name, new MemoryGroupOptions { Max = max });

    internal SqliteSession Open(MemoryGroup group, string name = "session", string options = "")
    {
        SqliteSession session = SqliteSession.Open(ConnectionString + options, group, name);
        _sessions.Add(session);
        return session;
    }

    // A table "t" of (id, text) whose texts have a hundred characters, in no order.
    internal async Task FillAsync(int rows)
    {
        MemoryGroup group = Group("filler");
        using (SqliteSession session = SqliteSession.Open(ConnectionString, group, "filler"))
        {
            await session.RunAsync("fill", connection => Execute(
                connection,
                "CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT);"
                + $"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
                + " INSERT INTO t SELECT i, printf('%0100d', (i * 7919) % 1000003) FROM n;"));
        }

        group.Dispose();
    }

    public void Dispose()
    {
        _sessions.ForEach(session => session.Dispose());

        // One that was killed is closed by whoever killed it, perhaps just now.
        Assert.True(
            SpinWait.SpinUntil(() => _sessions.TrueForAll(static one => one.Account.Member.IsExited), Deadline),
            "a session was not closed");
        foreach (MemoryGroup group in Root.Children)
        {
            group.Dispose();
        }

        // A connection that could not be opened is closed by the finalizer thread, and other tests count the bytes of
        // the whole process.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Directory.Delete(_folder, recursive: true);
        Assert.Equal(0, Root.Usage);
        Assert.True(Root.BooksErrorCount == 0, Root.FirstBooksError);
    }

    internal static int Execute(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteNonQuery();
    }

    internal static T Scalar<T>(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        return (T)command.ExecuteScalar()!;
    }

    // Needs about 300 bytes for each row, all at the same time.
    internal static long Sort(SqliteConnection connection, int rows) => Scalar<long>(
        connection,
        $"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
        + " SELECT count(*) FROM (SELECT printf('%0200d', (i * 7919) % 1000003) AS text FROM n ORDER BY text "
        + "LIMIT -1 OFFSET 1)");

    // Never ends by itself; calls the function `started` on its way.
    internal static long RunForEver(SqliteConnection connection, Action started)
    {
        connection.CreateFunction("started", () =>
        {
            started();
            return 1L;
        });
        return Scalar<long>(
            connection,
            "WITH RECURSIVE n(i) AS (SELECT started() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
    }

    internal static MemoryMember Member(MemoryGroup group, string name) =>
        group.Members.Single(member => member.Name == name);
}
