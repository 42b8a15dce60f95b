// A kill, a cancellation or a close stops the statement that runs, wherever it is, and nothing that runs after it.

using MemoryGroups;
using static DuckDbGroups.Tests.DuckDb;

namespace DuckDbGroups.Tests;

public sealed class StopTests
{
    [Fact]
    public async Task Kill_interrupts_the_running_statement_and_says_so()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        DuckDbSession session = duck.Open(group);
        Task<long> query = RunEndless(session, CancellationToken.None, out Task started);
        await started;

        Member(group, "endless").Kill("a test");

        OomKilledException killed = await Assert.ThrowsAsync<OomKilledException>(
            () => query.WaitAsync(Deadline, TimeProvider.System, Abort));
        Assert.True(Assert.IsType<DuckDbException>(killed.InnerException).IsInterrupt);
        Assert.Equal(1, await session.RunAsync("next", connection => connection.Scalar("SELECT 1")));
    }

    [Fact]
    public async Task Cancellation_interrupts_the_running_statement()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());
        using var cancel = new CancellationTokenSource();
        Task<long> query = RunEndless(session, cancel.Token, out Task started);
        await started;

        await cancel.CancelAsync();

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => query.WaitAsync(Deadline, TimeProvider.System, Abort));
        Assert.Equal(cancel.Token, cancelled.CancellationToken);
        Assert.Equal(1, await session.RunAsync("next", connection => connection.Scalar("SELECT 1")));
    }

    [Fact]
    public async Task Stop_between_two_statements_stops_the_next_one()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());
        using var cancel = new CancellationTokenSource();

        // The engine itself forgets an interrupt that comes while no statement runs.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.RunAsync(
            "two",
            connection =>
            {
                connection.Scalar("SELECT 1");
                cancel.Cancel();
                return connection.Scalar(Endless);
            },
            cancel.Token).WaitAsync(Deadline, TimeProvider.System, Abort));
    }

    [Fact]
    public async Task Order_that_comes_late_does_not_stop_the_next_query()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        DuckDbSession session = duck.Open(group);
        using MemoryMember first = group.CreateMember("first");
        var stopped = new CancellationToken(canceled: true);
        var run = new DuckDbRun<long>(session, first, static c => c.Scalar("SELECT 1"), stopped, stopped);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(run.ExecuteAsync);

        Assert.Equal(1, await session.RunAsync(
            "next",
            connection =>
            {
                // As when the timer's thread had lost its core since the first query was under way.
                run.Tick();
                return connection.Scalar("SELECT 1");
            }));
    }

    // The timer repeats the order as long as the query runs: at the moment of its rollback too.
    [Fact]
    public async Task Order_that_is_repeated_while_a_query_ends_leaves_no_transaction_open()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        DuckDbSession session = duck.Open(group);
        await session.RunAsync("make", connection => connection.Execute("CREATE TABLE t(i BIGINT)"));
        for (int n = 0; n < 50; n++)
        {
            using MemoryMember member = group.CreateMember("stopped");
            using var cancel = new CancellationTokenSource();
            bool ended = false;
            var run = new DuckDbRun<long>(
                session,
                member,
                connection =>
                {
                    connection.Execute("BEGIN");
                    connection.Execute("INSERT INTO t VALUES (1)");
                    cancel.Cancel();
                    return connection.Scalar(Endless);
                },
                cancel.Token,
                cancel.Token);
            var timer = new Thread(() =>
            {
                while (!Volatile.Read(ref ended)) run.Tick();
            });
            timer.Start();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(run.ExecuteAsync);
            Volatile.Write(ref ended, true);
            Assert.True(timer.Join(Deadline));

            Assert.Equal(
                0, await session.RunAsync("count", connection => connection.Scalar("SELECT count(*) FROM t")));
        }
    }

    [Fact]
    public async Task Stop_while_rows_are_read_stops_the_reader()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());
        using var cancel = new CancellationTokenSource();
        long rows = 0;

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.RunAsync(
            "rows",
            connection =>
            {
                using DuckDbReader reader = connection.Query("SELECT i FROM range(100000000) t(i)");
                while (reader.Read())
                {
                    if (++rows == 5) cancel.Cancel();
                }

                return rows;
            },
            cancel.Token).WaitAsync(Deadline, TimeProvider.System, Abort));

        // To the end of the batch that was there.
        Assert.InRange(rows, 5, 2048);
    }

    [Fact]
    public async Task Kill_of_a_session_closes_it_with_what_runs_on_it()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        DuckDbSession session = duck.Open(group);
        await session.RunAsync("make", connection => connection.Execute(Table));
        Task<long> query = RunEndless(session, CancellationToken.None, out Task started);
        await started;

        Member(group, "session").Kill("a test");

        OomKilledException killed = await Assert.ThrowsAsync<OomKilledException>(
            () => query.WaitAsync(Deadline, TimeProvider.System, Abort));
        Assert.Equal("root/tenant/session", killed.MemberPath);
        await Assert.ThrowsAsync<OomKilledException>(() => session.RunAsync("late", _ => 1));
    }

    [Fact]
    public async Task Session_that_holds_tables_can_be_killed_and_one_that_holds_little_cannot()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        DuckDbSession session = duck.Open(group);
        Assert.Equal(MemoryMember.NeverKill, Member(group, "session").OomScoreAdjustment);

        await session.RunAsync("make", connection => connection.Execute(Table));

        Assert.Equal(0, Member(group, "session").OomScoreAdjustment);
    }

    [Fact]
    public async Task Close_during_a_query_ends_it_and_returns_everything()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        DuckDbSession session = duck.Open(group);
        Task<long> query = RunEndless(session, CancellationToken.None, out Task started);
        await started;

        session.Dispose();

        await Assert.ThrowsAsync<ObjectDisposedException>(
            () => query.WaitAsync(Deadline, TimeProvider.System, Abort));
        Assert.True(SpinWait.SpinUntil(() => group.UsageLower == 0, Deadline));
    }

    [Fact]
    public async Task Second_query_at_the_same_time_is_an_error_that_names_both()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());
        using var cancel = new CancellationTokenSource();
        Task<long> query = RunEndless(session, cancel.Token, out Task started);
        await started;

        InvalidOperationException error =
            await Assert.ThrowsAsync<InvalidOperationException>(() => session.RunAsync("other", _ => 1));

        Assert.Contains("'endless'", error.Message, StringComparison.Ordinal);
        Assert.Contains("'other'", error.Message, StringComparison.Ordinal);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => query.WaitAsync(Deadline, TimeProvider.System, Abort));
    }

    private static Task<long> RunEndless(DuckDbSession session, CancellationToken cancel, out Task started)
    {
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        started = begun.Task.WaitAsync(Deadline, TimeProvider.System, Abort);
        return session.RunAsync(
            "endless",
            connection =>
            {
                begun.SetResult();
                return connection.Scalar(Endless);
            },
            cancel);
    }
}
