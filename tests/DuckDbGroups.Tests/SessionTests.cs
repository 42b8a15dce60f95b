// What the engine may use is what the members are charged: while a query runs, after it, after the close.

using MemoryGroups;
using static DuckDbGroups.Tests.DuckDb;

namespace DuckDbGroups.Tests;

public sealed class SessionTests
{
    [Fact]
    public async Task Limit_of_the_engine_is_what_the_members_are_charged()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        DuckDbSession session = duck.Open(group);

        (long limit, long charged, long used) = await session.RunAsync("hoard", connection =>
        {
            using DuckDbReader reader =
                connection.Query("SELECT i, repeat('x', 300) || i FROM range(100000) t(i) ORDER BY i % 7");
            Assert.True(reader.Read());
            session.Budget.KeepAhead();

            // All of one moment: a tick may come in between.
            (long Limit, long Charged, long Used) seen;
            do
            {
                seen = (session.LimitBytes, Member(group, "hoard").Usage + Member(group, "session").Usage,
                    session.Budget.UsedBytes);
            }
            while (session.LimitBytes != seen.Limit);

            return seen;
        });

        Assert.Equal(limit, charged);
        Assert.InRange(used, 20 * Mega, limit);
        Assert.Equal(["session"], group.Members.Select(member => member.Name));
        Assert.Equal(session.LimitBytes, Member(group, "session").Usage);
    }

    [Fact]
    public async Task Query_that_grows_while_its_group_has_room_succeeds()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());

        long rows = await session.RunAsync("hoard", connection => connection.Scalar(Hoard(300_000)))
            .WaitAsync(Deadline, TimeProvider.System, Abort);

        Assert.Equal(300_000, rows);
    }

    [Fact]
    public async Task Session_that_is_closed_leaves_nothing_charged()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        DuckDbSession session = duck.Open(group);
        await session.RunAsync("make", connection => connection.Execute(Table));
        Assert.InRange(Member(group, "session").Usage, 20 * Mega, long.MaxValue);

        session.Dispose();

        Assert.Empty(group.Members);
        Assert.Equal(0, group.UsageLower);
        Assert.Equal(0, duck.Root.BytesLeftAtExit);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => session.RunAsync("late", _ => 1));
    }

    [Fact]
    public async Task Reader_that_nobody_disposed_does_not_keep_the_instance_alive()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group(), "session", new DuckDbOptions { File = duck.File });
        await session.RunAsync("forgets", connection =>
            connection.Query("SELECT i FROM range(100000) t(i)").Read());
        Assert.True(duck.HasFileOpen);

        session.Dispose();

        Assert.False(duck.HasFileOpen);
    }

    [Fact]
    public async Task Tables_that_were_dropped_go_back_when_the_session_rests()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        DuckDbSession session = duck.Open(group);
        await session.RunAsync("make", connection => connection.Execute(Table));
        await session.RunAsync("drop", connection => connection.Execute("DROP TABLE t"));

        session.Budget.Rest();

        Assert.Equal(DuckDbBudget.LeastBytes, session.LimitBytes);
        Assert.Equal(DuckDbBudget.LeastBytes, Member(group, "session").Usage);
    }

    [Fact]
    public async Task Reclaim_takes_what_is_ahead_and_what_can_be_read_again()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        var options = new DuckDbOptions { SpillFolder = duck.SpillFolder };
        DuckDbSession session = duck.Open(group, "session", options);
        await session.RunAsync("make", connection => connection.Execute(Table));
        long before = session.LimitBytes;

        long given = await group.ReclaimAsync(16 * Mega, Abort);

        Assert.InRange(given, 8 * Mega, before);
        Assert.InRange(session.LimitBytes, DuckDbBudget.LeastBytes, before - (8 * Mega));
        Assert.Equal(session.LimitBytes, Member(group, "session").Usage);
        Assert.Equal(
            200_000, await session.RunAsync("count", connection => connection.Scalar("SELECT count(s) FROM t")));
    }

    [Fact]
    public async Task Transaction_ends_with_the_query_that_began_it()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());
        await session.RunAsync("make", connection => connection.Execute("CREATE TABLE t(i BIGINT)"));

        await session.RunAsync("begin", connection =>
        {
            connection.Execute("BEGIN");
            return connection.Execute("INSERT INTO t VALUES (1)");
        });

        Assert.Equal(0, await session.RunAsync("count", connection => connection.Scalar("SELECT count(*) FROM t")));
    }

    [Fact]
    public async Task Values_are_read_by_their_types()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());

        await session.RunAsync("values", connection =>
        {
            using DuckDbReader reader = connection.Query(
                "SELECT $number + 1, sum(i), 7::TINYINT, -8::SMALLINT, 9, true, $text, 'short', NULL::BIGINT "
                + "FROM range(3000) t(i)",
                ("number", 41L), ("text", "longer than twelve bytes: ü"), ("unused", 1));
            Assert.True(reader.Read());
            Assert.Equal(9, reader.FieldCount);
            long[] numbers = [.. Enumerable.Range(0, 6).Select(reader.GetInt64)];
            Assert.Equal([42, 4498500, 7, -8, 9, 1], numbers);
            Assert.Equal("longer than twelve bytes: ü", reader.GetString(6));
            Assert.Equal("short", reader.GetString(7));
            Assert.True(reader.IsNull(8));
            Assert.False(reader.IsNull(7));
            Assert.Throws<InvalidCastException>(() => reader.GetInt64(6));
            Assert.Throws<InvalidCastException>(() => reader.GetString(0));
            Assert.Throws<InvalidCastException>(() => reader.GetInt64(8));
            Assert.False(reader.Read());
            Assert.False(reader.Read());
            return 0;
        });
    }

    // What lies where the value would be is whatever was there before.
    [Fact]
    public async Task Null_is_not_read_as_a_value()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());

        await session.RunAsync("nulls", connection =>
        {
            using DuckDbReader reader = connection.Query(
                "SELECT CASE WHEN i = 0 THEN repeat('abc', 10) END, CASE WHEN i = 0 THEN 7 END FROM range(2) t(i)");
            Assert.True(reader.Read());
            Assert.Equal(7, reader.GetInt64(1));
            Assert.True(reader.Read());
            Assert.Throws<InvalidCastException>(() => reader.GetString(0));
            Assert.Throws<InvalidCastException>(() => reader.GetInt64(1));
            return 0;
        });
        await Assert.ThrowsAsync<InvalidCastException>(
            () => session.RunAsync("max", connection => connection.Scalar("SELECT max(i) FROM range(0) t(i)")));
    }

    [Theory]
    [InlineData("with\0a NUL")]
    [InlineData("")]
    public async Task Text_is_bound_from_its_first_character_to_its_last(string text)
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());

        string seen = await session.RunAsync("bound", connection =>
        {
            using DuckDbReader reader = connection.Query("SELECT $text", ("text", text));
            Assert.True(reader.Read());
            return reader.GetString(0);
        });

        Assert.Equal(text, seen);
    }

    [Fact]
    public async Task Statement_with_a_NUL_is_not_run_up_to_it()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());
        await session.RunAsync("make", connection => connection.Execute("CREATE TABLE t AS SELECT 1 AS i"));

        DuckDbException error = await Assert.ThrowsAsync<DuckDbException>(
            () => session.RunAsync("cut", connection => connection.Execute("DELETE FROM t\0 WHERE i = 2")));

        Assert.Contains("NUL", error.Message, StringComparison.Ordinal);
        Assert.Equal(1, await session.RunAsync("count", connection => connection.Scalar("SELECT count(*) FROM t")));
    }

    [Fact]
    public async Task Query_s_own_error_stays_its_own()
    {
        using var duck = new DuckDb();
        DuckDbSession session = duck.Open(duck.Group());

        DuckDbException error = await Assert.ThrowsAsync<DuckDbException>(
            () => session.RunAsync("wrong", connection => connection.Execute("SELECT nothing")));

        Assert.Contains("nothing", error.Message, StringComparison.Ordinal);
        Assert.False(error.IsOutOfMemory || error.IsInterrupt);
        Assert.Equal(1, await session.RunAsync("next", connection => connection.Scalar("SELECT 1")));
    }

    [Fact]
    public async Task Group_closed_while_an_instance_is_opened_leaves_no_instance()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group();
        var options = new DuckDbOptions { File = duck.File };
        Task<DuckDbSession> opening = Task.Run(() => DuckDbSession.Open(options, group, "session"), Abort);

        // It is charged first, and the engine takes its time.
        Assert.True(SpinWait.SpinUntil(() => group.UsageLower > 0, Deadline));
        group.Dispose();
        Exception? error = await Record.ExceptionAsync(() => opening.WaitAsync(Deadline, TimeProvider.System, Abort));

        Assert.True(error is null or ObjectDisposedException, error?.ToString());
        Assert.False(duck.HasFileOpen);
    }

    [Fact]
    public void Group_without_room_for_an_instance_refuses_to_open_and_keeps_nothing()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group(max: Mega);

        Assert.Throws<MemoryLimitExceededException>(() => duck.Open(group));
        var nowhere = new DuckDbOptions { File = "/nowhere/x.db" };
        Assert.Throws<DuckDbException>(() => duck.Open(duck.Root, "file", nowhere));

        Assert.Empty(duck.Root.Members);
        Assert.Equal(0, group.Usage);
    }
}
