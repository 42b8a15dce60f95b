// How a session opens its connection: with which settings, in which cache, in a group that is full, and beside a query
// that is running.

using Microsoft.Data.Sqlite;
using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class OpeningTests
{
    [Fact]
    public async Task Session_keeps_what_is_temporary_in_memory_a_cache_of_two_megabytes_and_maps_nothing()
    {
        using var database = new TestDatabase();
        SqliteSession session = database.Open(database.Group());

        long[] settings = await session.RunAsync("settings", connection => new[]
        {
            Scalar<long>(connection, "PRAGMA temp_store"),
            Scalar<long>(connection, "PRAGMA cache_size"),
            Scalar<long>(connection, "PRAGMA mmap_size"),
            Scalar<long>(connection, "PRAGMA threads"),
        }, Abort);

        Assert.Equal([2, -2000, 0, 0], settings);
        Assert.False(new SqliteConnectionStringBuilder(session.Connection.ConnectionString).Pooling);
    }

    [Theory]
    [InlineData("Data Source=a.db", null)]
    [InlineData("Data Source=a.db;Cache=Private", null)]
    [InlineData("Data Source=a.db;Cache=Shared", "a.db")]
    [InlineData("Data Source=:memory:;Cache=Shared", "memory :memory:")]
    [InlineData("Data Source=some;Mode=Memory;Cache=Shared", "memory some")]
    [InlineData("Data Source=file:some?mode=memory;Cache=Shared", "memory file:some?mode=memory")]
    public void Key_of_a_cache_is_the_file_s_whole_path_or_the_name_in_memory(string settings, string? key)
    {
        string? expected = key is null || key.StartsWith("memory ", StringComparison.Ordinal)
            ? key : Path.GetFullPath(key);

        Assert.Equal(expected, SqliteSharedCaches.KeyOf(new SqliteConnectionStringBuilder(settings)));
    }

    [Fact]
    public async Task Session_opens_in_a_full_group_with_what_a_cache_gives_back()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group(max: 1 << 20);
        using var cache = new Cache(group.CreateMember("cache"));
        using IDisposable registration = group.AddReclaimer(cache);
        cache.Fill();

        SqliteSession session = database.Open(group);

        Assert.Equal(1, await session.RunAsync("q", connection => Scalar<long>(connection, "SELECT 1"), Abort));
        Assert.Equal(Member(group, "session").Usage, session.Account.InUse);
        Assert.Empty(database.Root.Reports.Latest(10));
    }

    // Reading the schema takes one block for each of these tables' texts, and holds the ones before it meanwhile.
    [Fact]
    public async Task Session_opens_a_large_schema_in_a_full_group_with_what_a_cache_gives_back()
    {
        using var database = new TestDatabase();
        MemoryGroup makers = database.Group("makers");
        using (SqliteSession maker = SqliteSession.Open(database.ConnectionString, makers, "maker"))
        {
            string comment = new('x', 400_000);
            await maker.RunAsync("make", connection => Execute(
                connection,
                string.Concat(Enumerable.Range(0, 4).Select(n => $"CREATE TABLE t{n}(a /* {comment} */);"))), Abort);
        }

        MemoryGroup group = database.Group(max: 16 << 20);
        using var cache = new Cache(group.CreateMember("cache"));
        using IDisposable registration = group.AddReclaimer(cache);
        cache.Fill();

        SqliteSession session = database.Open(group);

        const string tables = "SELECT count(*) FROM sqlite_schema";
        Assert.Equal(4, await session.RunAsync("q", connection => Scalar<long>(connection, tables), Abort));
        Assert.InRange(group.PeakUsage, 1, 16 << 20);
    }

    [Fact]
    public async Task Session_that_is_opened_and_closed_within_a_query_leaves_the_query_its_account()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession outer = database.Open(group);

        await outer.RunAsync("outer", connection =>
        {
            SqliteAccount? own = SqliteBlocks.Current;
            Assert.Same(Member(group, "outer"), own!.Member);
            using (SqliteSession inner = SqliteSession.Open("Data Source=:memory:", database.Group("inner"), "inner"))
            {
                Assert.Same(own, SqliteBlocks.Current);
            }

            Assert.Same(own, SqliteBlocks.Current);
            Assert.Throws<SqliteException>(
                () => SqliteSession.Open("Data Source=/no/such/folder/test.db", group, "failing"));
            Assert.Same(own, SqliteBlocks.Current);
            return 1;
        }, Abort);
        Assert.Null(SqliteBlocks.Current);
    }

    [Theory]
    [InlineData(null, 0)]
    [InlineData(300, 300)]
    [InlineData(MemoryMember.NeverKill, MemoryMember.NeverKill)]
    public void Session_that_holds_four_megabytes_may_be_killed_as_its_group_says(int? ofGroup, int whenLarge)
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { OomScoreAdjustment = ofGroup });
        SqliteSession session = database.Open(group);
        MemoryMember member = Member(group, "session");
        Assert.Equal(MemoryMember.NeverKill, member.OomScoreAdjustment);
        long more = SqliteSession.KillableFromBytes - session.Account.InUse;

        Assert.True(session.Account.TryCharge(more));
        session.SettleKillability();
        Assert.Equal(whenLarge, member.OomScoreAdjustment);

        session.Account.Uncharge(SqliteAccount.Granule);
        session.SettleKillability();
        Assert.Equal(MemoryMember.NeverKill, member.OomScoreAdjustment);
        session.Account.Uncharge(more - SqliteAccount.Granule);
    }

    [Fact]
    public async Task Group_closed_while_a_session_is_opened_is_said_and_not_called_a_lack_of_memory()
    {
        using var database = new TestDatabase();
        await database.FillAsync(10);
        using var locker = new SqliteConnection(database.ConnectionString + ";Pooling=false");
        locker.Open();
        Execute(locker, "BEGIN EXCLUSIVE");
        MemoryGroup group = database.Group();

        // It waits for the lock when it reads the schema, with its connection made.
        Task<SqliteSession> opening =
            Task.Run(() => SqliteSession.Open(database.ConnectionString, group, "session"), Abort);
        Assert.True(SpinWait.SpinUntil(() => group.UsageLower > 20_000, Deadline));
        group.Dispose();
        Execute(locker, "ROLLBACK");

        ObjectDisposedException error =
            await Assert.ThrowsAsync<ObjectDisposedException>(() => opening.WaitAsync(Deadline, Abort));
        Assert.StartsWith(
            "The group of 'root/tenant/session' was closed while it was opened.",
            error.Message,
            StringComparison.Ordinal);
    }
}
