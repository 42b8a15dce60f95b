// What a caller is told whose copy failed or whose query was refused; and which of SQLite's errors count as refused or
// as stopped.

using Microsoft.Data.Sqlite;
using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class WordsTests
{
    private const long Mega = 1 << 20;

    [Fact]
    public async Task Copy_that_SQLite_refuses_names_the_destination_and_gives_SQLite_s_words()
    {
        using var database = new TestDatabase();
        await database.FillAsync(10);
        SqliteSession source = database.Open(database.Group("from"));
        SqliteSession locked = database.Open(database.Group("locked"), "copy", ";Mode=ReadOnly");
        using SqliteSession busy = SqliteSession.Open("Data Source=:memory:", database.Group("busy"), "copy");
        await busy.RunAsync("begin", connection => Execute(connection, "BEGIN; CREATE TABLE a(b)"), Abort);

        var step = await Assert.ThrowsAsync<SqliteException>(() => source.BackupToAsync(locked, "backup", Abort));
        var start = await Assert.ThrowsAsync<SqliteException>(() => source.BackupToAsync(busy, "backup", Abort));

        Assert.Equal("The backup to 'root/locked/copy' failed: attempt to write a readonly database.", step.Message);
        Assert.Equal("The backup to 'root/busy/copy' failed: SQL logic error.", start.Message);
        Assert.Equal((8, 1), (step.SqliteErrorCode, start.SqliteErrorCode));
    }

    // The memory is there again when the words are made, and no step was refused: the query's own account of it.
    [Fact]
    public async Task Refusal_without_another_try_says_how_much_was_held_and_why_it_is_the_last()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group(max: 4 * Mega);
        SqliteSession session = database.Open(group);
        await session.RunAsync("begin", connection => Execute(connection, "BEGIN; CREATE TABLE a(b)"), Abort);

        var refused = await Assert.ThrowsAsync<MemoryLimitExceededException>(
            () => session.RunAsync<int>("q", connection =>
            {
                SqliteException error = Assert.Throws<SqliteException>(() => Sort(connection, 100_000));
                group.Max = 64 * Mega;
                throw new InvalidOperationException("wrapped", error);
            }, Abort));

        Assert.Matches(
            "^The query 'root/tenant/q' was refused [0-9.]+[KM]? while it held [0-9.]+[KM]?, and it is not tried "
            + "again, because it has changed rows or began inside a transaction. Meanwhile the memory is there: run it "
            + "again, run less at the same time, or raise the limits above 'root/tenant'.",
            refused.Message);
        Assert.Equal("wrapped", refused.InnerException!.Message);
        Assert.Equal(0, await session.RunAsync("commit", connection => Execute(connection, "COMMIT"), Abort));
    }

    [Fact]
    public async Task Query_s_own_error_is_neither_tried_again_nor_called_a_refusal()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group(max: 4 * Mega);
        SqliteSession session = database.Open(group);
        int runs = 0;

        await Assert.ThrowsAsync<FormatException>(() => session.RunAsync<int>("caught", connection =>
        {
            runs++;
            Assert.Throws<SqliteException>(() => Sort(connection, 100_000));
            throw new FormatException();
        }, Abort));
        await Assert.ThrowsAsync<SqliteException>(() => session.RunAsync<int>("made up", _ =>
        {
            runs++;
            throw new SqliteException("sqlite", SqliteNative.NoMemory);
        }, Abort));

        Assert.Equal(2, runs);
    }

    // Each try is refused four times as much as the one before, and afterwards finds all the room there is.
    [Fact]
    public async Task Refusal_after_the_last_try_says_how_often_it_was_tried()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);
        int bytes = 2 << 20;

        var refused = await Assert.ThrowsAsync<MemoryLimitExceededException>(() => session.RunAsync<int>("q", _ =>
        {
            group.Max = 4 * Mega;
            Refuse(bytes *= 4);
            group.Max = long.MaxValue;
            throw new SqliteException("sqlite", SqliteNative.NoMemory);
        }, Abort));

        Assert.Matches(
            "^The query 'root/tenant/q' was refused 524292K while it held [0-9.]+[KM]?, and it was tried 4 times. "
            + "Meanwhile the memory is there",
            refused.Message);

        static unsafe void Refuse(int bytes) => Assert.True(SqliteBlocks.Allocate(bytes) is null);
    }

    [Fact]
    public async Task Failure_within_an_earlier_query_s_transaction_takes_nothing_of_it_back()
    {
        using var database = new TestDatabase();
        await database.FillAsync(3);
        SqliteSession session = database.Open(database.Group());
        await session.RunAsync("begin", connection => Execute(connection, "BEGIN; DELETE FROM t WHERE id = 1"), Abort);

        await Assert.ThrowsAsync<FormatException>(
            () => session.RunAsync<int>("fail", _ => throw new FormatException(), Abort));
        await session.RunAsync("commit", connection => Execute(connection, "COMMIT"), Abort);

        const string count = "SELECT count(*) FROM t";
        Assert.Equal(2, await session.RunAsync("count", connection => Scalar<long>(connection, count), Abort));
    }

    [Theory]
    [InlineData(7, 7, true, true)]
    [InlineData(10, 3082, true, true)]
    [InlineData(10, 266, false, false)]
    [InlineData(9, 9, false, true)]
    [InlineData(1, 1, false, false)]
    public void Error_of_SQLite_is_found_in_whatever_wraps_it(int code, int extended, bool refused, bool stopped)
    {
        var inner = new SqliteException("sqlite", code, extended);

        foreach (Exception error in (Exception[])[inner, new FormatException("a", new FormatException("b", inner))])
        {
            Assert.Equal(
                (refused, stopped), (SqliteFailure.IsOutOfMemory(error), SqliteFailure.IsOfStopping(error)));
        }
    }

    [Fact]
    public void Error_without_SQLite_s_is_of_stopping_only_when_it_says_cancelled()
    {
        Assert.True(SqliteFailure.IsOfStopping(new OperationCanceledException()));
        Assert.False(SqliteFailure.IsOfStopping(new FormatException()));
        Assert.False(SqliteFailure.IsOutOfMemory(new OperationCanceledException()));
    }
}
