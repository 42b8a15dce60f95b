// A kill or a cancellation stops the statement that runs, wherever it is, and nothing that runs after it.

using Microsoft.Data.Sqlite;
using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class KillTests
{
    [Fact]
    public async Task Kill_interrupts_the_running_statement_and_says_so()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        Task<long> query = session.RunAsync(
            "endless", connection => RunForEver(connection, () => started.TrySetResult()));
        await started.Task.WaitAsync(Deadline, Abort);
        Member(group, "endless").Kill("a test");

        OomKilledException killed = await Assert.ThrowsAsync<OomKilledException>(
            () => query.WaitAsync(Deadline, Abort));
        Assert.Equal("root/tenant/endless", killed.MemberPath);
        Assert.Contains("a test", killed.Message, StringComparison.Ordinal);
        Assert.Equal(9, Assert.IsType<SqliteException>(killed.InnerException).SqliteErrorCode);
        Assert.Equal(1, await session.RunAsync("next", connection => Scalar<long>(connection, "SELECT 1")));
    }

    [Fact]
    public async Task Cancelled_token_interrupts_the_running_statement()
    {
        using var database = new TestDatabase();
        SqliteSession session = database.Open(database.Group());
        using var cancel = new CancellationTokenSource();

        Task<long> query = session.RunAsync(
            "endless", connection => RunForEver(connection, cancel.Cancel), cancel.Token);

        OperationCanceledException cancelled =
            await Assert.ThrowsAsync<OperationCanceledException>(() => query.WaitAsync(Deadline, Abort));
        Assert.Equal(
            ("The query 'root/tenant/endless' was cancelled.", cancel.Token),
            (cancelled.Message, cancelled.CancellationToken));
        Assert.IsType<SqliteException>(cancelled.InnerException);
        Assert.Equal(1, await session.RunAsync("next", connection => Scalar<long>(connection, "SELECT 1")));
    }

    [Fact]
    public async Task Stop_between_two_statements_stops_the_next_one()
    {
        using var database = new TestDatabase();
        SqliteSession session = database.Open(database.Group());
        using var cancel = new CancellationTokenSource();

        // SQLite itself forgets an interrupt that comes while no statement runs. Cancel returns when it has been given.
        var stopped = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.RunAsync(
            "q",
            connection =>
            {
                Scalar<long>(connection, "SELECT 1");
                cancel.Cancel();
                return RunForEver(connection, () => { });
            },
            cancel.Token).WaitAsync(Deadline, Abort));

        Assert.IsType<SqliteException>(stopped.InnerException);
    }

    [Fact]
    public async Task Stop_ends_a_query_that_consists_of_tiny_statements()
    {
        using var database = new TestDatabase();
        await database.FillAsync(1);
        SqliteSession session = database.Open(database.Group());
        using var cancel = new CancellationTokenSource();
        int statements = 0;

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.RunAsync(
            "tiny",
            connection =>
            {
                while (statements < 100)
                {
                    if (++statements == 10)
                    {
                        cancel.Cancel();
                    }

                    Execute(connection, "INSERT INTO t(text) VALUES ('x')");
                }

                return statements;
            },
            cancel.Token));

        Assert.Equal(10, statements);
        long rows = await session.RunAsync("count", connection => Scalar<long>(connection, "SELECT count(*) FROM t"));
        Assert.Equal(10, rows);
    }

    [Fact]
    public async Task Stop_while_a_reader_is_open_stops_the_reader_at_its_next_row()
    {
        using var database = new TestDatabase();
        await database.FillAsync(10);
        SqliteSession session = database.Open(database.Group());
        using var cancel = new CancellationTokenSource();
        int rows = 0;

        // Ten rows are a few dozen steps: too few for anything but the interrupt itself.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.RunAsync(
            "reader",
            connection =>
            {
                using SqliteCommand command = connection.CreateCommand();
                command.CommandText = "SELECT id FROM t";
                using SqliteDataReader reader = command.ExecuteReader();
                while (reader.Read())
                {
                    if (++rows == 5)
                    {
                        cancel.Cancel();
                    }
                }

                return rows;
            },
            cancel.Token));

        Assert.Equal(5, rows);
    }

    [Fact]
    public async Task Token_cancelled_before_the_query_begins_keeps_it_from_beginning()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);
        bool ran = false;
        using var cancel = new CancellationTokenSource();
        await cancel.CancelAsync();

        OperationCanceledException cancelled = await Assert.ThrowsAsync<OperationCanceledException>(
            () => session.RunAsync("q", _ => ran = true, cancel.Token));

        Assert.Equal(("The query 'q' was cancelled.", cancel.Token), (cancelled.Message, cancelled.CancellationToken));
        Assert.IsType<OperationCanceledException>(cancelled.InnerException, exactMatch: false);
        Assert.False(ran);
    }

    // The session's thread is busy until the query has been stopped.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Query_that_is_stopped_before_its_thread_begins_it_never_runs(bool kill)
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);
        using var cancel = new CancellationTokenSource();
        using var go = new ManualResetEventSlim();
        using var begun = new ManualResetEventSlim();
        Task<bool> busy = session.Worker.RunAsync(() =>
        {
            begun.Set();
            return go.Wait(Deadline);
        });
        Assert.True(begun.Wait(Deadline, Abort));
        bool ran = false;

        Task<bool> query = session.RunAsync("q", _ => ran = true, cancel.Token);
        if (kill)
        {
            Member(group, "q").Kill("a test");
        }
        else
        {
            await cancel.CancelAsync();
        }

        go.Set();
        Exception? stopped = await Record.ExceptionAsync(() => query.WaitAsync(Deadline, Abort));

        Assert.True(await busy);
        Assert.False(ran);
        Assert.Equal(kill ? null : "The query was stopped before it began.", stopped!.InnerException?.Message);
        Assert.IsType(kill ? typeof(OomKilledException) : typeof(OperationCanceledException), stopped);
    }

    [Fact]
    public async Task Kill_of_the_session_ends_its_query_with_SQLite_s_error_inside()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);
        MemoryMember member = Member(group, "session");
        member.OomScoreAdjustment = 0;

        OomKilledException killed = await Assert.ThrowsAsync<OomKilledException>(() => session.RunAsync(
            "endless", connection => RunForEver(connection, () => member.Kill("a test")), Abort)
            .WaitAsync(Deadline, Abort));

        Assert.Equal("root/tenant/session", killed.MemberPath);
        Assert.Equal(9, Assert.IsType<SqliteException>(killed.InnerException).SqliteErrorCode);

        // Whoever leaves the connection last closes it: the query, or the kill.
        Assert.True(SpinWait.SpinUntil(() => group.Members.Count == 0, Deadline), "the session was not closed");
    }

    [Fact]
    public async Task Stop_that_comes_after_the_end_does_not_touch_the_next_query()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);
        MemoryMember? first = null;
        object finished = new();
        await session.RunAsync("first", _ => first = Member(group, "first"));

        long sum = await session.RunAsync("second", connection =>
        {
            first!.Kill("too late");
            session.Interrupt.Stop(finished);
            return Scalar<long>(
                connection, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
                    + "SELECT sum(i) FROM n");
        });

        Assert.Equal(20000L * 20001 / 2, sum);
        Assert.False(first!.IsKilled);
    }

    [Fact]
    public async Task Interrupt_of_a_query_that_leaves_a_reader_open_does_not_reach_the_next_query()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);
        using SqliteCommand command = session.Connection.CreateCommand();
        command.CommandText = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

        // As long as a statement is active SQLite keeps the interrupt in force for every other statement.
        SqliteDataReader? left = null;
        await Assert.ThrowsAsync<OomKilledException>(() => session.RunAsync("careless", connection =>
        {
            left = command.ExecuteReader();
            left.Read();
            Member(group, "careless").Kill("a test");
            return RunForEver(connection, () => { });
        }).WaitAsync(Deadline, Abort));

        Assert.Equal(1, await session.RunAsync("next", connection => Scalar<long>(connection, "SELECT 1")));
        await left!.DisposeAsync();
    }

    [Fact]
    public async Task Query_that_returns_with_a_reader_open_fails_and_says_what_to_do()
    {
        using var database = new TestDatabase();
        SqliteSession session = database.Open(database.Group());
        using SqliteCommand command = session.Connection.CreateCommand();
        command.CommandText = "SELECT 1 UNION SELECT 2";

        SqliteDataReader? left = null;
        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(
            () => session.RunAsync("lazy", _ =>
            {
                left = command.ExecuteReader();
                left.Read();
                return left;
            }));

        Assert.Equal(
            "The query 'lazy' returned while one of its statements was still running. Read results to their end, or "
            + "dispose the reader, before the query returns: a reader cannot be used after it.",
            error.Message);
        Assert.Equal(1, await session.RunAsync("next", connection => Scalar<long>(connection, "SELECT 1")));
        await left!.DisposeAsync();
    }

    [Fact]
    public async Task Kill_ends_the_wait_for_another_connection_s_lock()
    {
        using var database = new TestDatabase();
        await database.FillAsync(1);
        MemoryGroup group = database.Group();
        SqliteSession holder = database.Open(group, "holder");
        SqliteSession waiter = database.Open(group, "waiter", ";Default Timeout=600");
        await holder.RunAsync("lock", connection => Execute(connection, "BEGIN IMMEDIATE"));
        var trying = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        Task<int> query = waiter.RunAsync("insert", connection =>
        {
            trying.SetResult();
            return Execute(connection, "INSERT INTO t(text) VALUES ('x')");
        });
        await trying.Task.WaitAsync(Deadline, Abort);
        Member(group, "insert").Kill("a test");

        // The command tries again every 150 ms, for ten minutes if nobody stops it.
        await Assert.ThrowsAsync<OomKilledException>(() => query.WaitAsync(Deadline, Abort));
        await holder.RunAsync("unlock", connection => Execute(connection, "ROLLBACK"));
        Assert.Equal(
            1, await waiter.RunAsync("insert", connection => Execute(connection, "INSERT INTO t(text) VALUES ('x')")));
    }

    [Fact]
    public async Task Killed_query_s_own_transaction_is_rolled_back()
    {
        using var database = new TestDatabase();
        await database.FillAsync(3);
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);

        await Assert.ThrowsAsync<OomKilledException>(() => session.RunAsync("q", connection =>
        {
            Execute(connection, "BEGIN; DELETE FROM t");
            Member(group, "q").Kill("a test");
            return RunForEver(connection, () => { });
        }).WaitAsync(Deadline, Abort));

        SqliteSession other = database.Open(group, "other");
        Assert.Equal(1, await other.RunAsync("write", connection => Execute(connection, "DELETE FROM t WHERE id = 1")));
        Assert.Equal(
            2, await session.RunAsync("read", connection => Scalar<long>(connection, "SELECT count(*) FROM t")));
    }

    [Fact]
    public async Task Query_s_own_error_stays_its_own_even_when_it_was_killed()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);

        await Assert.ThrowsAsync<FormatException>(() => session.RunAsync<int>("q", _ =>
        {
            Member(group, "q").Kill("a test");
            throw new FormatException();
        }));
        SqliteException error = await Assert.ThrowsAsync<SqliteException>(
            () => session.RunAsync("wrong", connection => Execute(connection, "SELECT nothing")));
        Assert.Equal(1, error.SqliteErrorCode);
    }
}
