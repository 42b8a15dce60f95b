// Two sessions on one page cache: whoever allocates pays, and what outlives a session is its sharers'.

using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class SharedCacheTests
{
    private const string Shared = ";Cache=Shared";
    private const string Scan = "SELECT sum(length(text)) FROM t";

    [Fact]
    public async Task Page_is_charged_to_the_session_that_read_it_and_not_to_the_one_that_uses_it()
    {
        using var database = new TestDatabase();
        await database.FillAsync(5000);
        MemoryGroup first = database.Group("first");
        MemoryGroup second = database.Group("second");
        SqliteSession reader = database.Open(first, options: Shared);
        SqliteSession user = database.Open(second, options: Shared);

        await reader.RunAsync("scan", connection => Scalar<long>(connection, Scan));
        long ofReader = Member(first, "session").Usage;
        long ofUser = Member(second, "session").Usage;
        await user.RunAsync("scan", connection => Scalar<long>(connection, Scan));

        Assert.True(ofReader > 5000 * 100, $"{ofReader} bytes after the scan");
        Assert.InRange(Member(second, "session").Usage, ofUser, ofUser + 100_000);
        Assert.Equal(ofReader, Member(first, "session").Usage);
        Assert.Equal(
            SqliteMemory.BytesInUse, first.UsageLower + second.UsageLower + ModuleStart.Unattributed.Usage);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Pages_of_a_closed_session_pass_to_a_sharer_of_its_group_or_else_to_the_oldest(bool ofItsGroup)
    {
        using var database = new TestDatabase();
        await database.FillAsync(5000);
        MemoryGroup first = database.Group("first");
        MemoryGroup second = database.Group("second");
        SqliteSession reader = database.Open(first, "reader", Shared);
        SqliteSession oldest = database.Open(second, "oldest", Shared);
        SqliteSession last = database.Open(ofItsGroup ? first : second, "last", Shared);
        await reader.RunAsync("scan", connection => Scalar<long>(connection, Scan));
        long pages = Member(first, "reader").Usage;
        long unattributed = ModuleStart.Unattributed.Usage;

        reader.Dispose();

        MemoryMember heir = ofItsGroup ? Member(first, "last") : Member(second, "oldest");
        MemoryMember other = ofItsGroup ? Member(second, "oldest") : Member(second, "last");
        Assert.True(heir.Usage > pages / 2, $"{pages} bytes of pages, {heir.Usage} at the heir");
        Assert.True(other.Usage < pages / 2);
        Assert.Equal(unattributed, ModuleStart.Unattributed.Usage);
        Assert.Equal(SqliteMemory.BytesInUse, first.UsageLower + second.UsageLower + unattributed);
        Assert.Equal(
            500_000, await last.RunAsync("scan", connection => Scalar<long>(connection, Scan)));
        oldest.Dispose();
    }

    [Fact]
    public async Task Nothing_is_left_when_the_last_sharer_closes_whatever_the_order()
    {
        using var database = new TestDatabase();
        await database.FillAsync(3000);
        long before = SqliteMemory.BytesInUse;
        int accounts = SqliteAccountTable.Count;
        MemoryGroup[] groups = [.. Enumerable.Range(0, 4).Select(n => database.Group($"group{n}"))];
        SqliteSession[] sessions = [.. groups.Select(group => database.Open(group, options: Shared))];
        await Task.WhenAll(sessions.Select(
            session => session.RunAsync("scan", connection => Scalar<long>(connection, Scan))));

        sessions[1].Dispose();
        sessions[0].Dispose();
        await sessions[3].RunAsync("sort", connection => Sort(connection, 1000));
        sessions[2].Dispose();
        sessions[3].Dispose();

        Assert.All(groups, group => Assert.Equal(0, group.UsageLower));
        Assert.Equal(before, SqliteMemory.BytesInUse);
        Assert.Equal(accounts, SqliteAccountTable.Count);
    }

    [Theory]
    [InlineData("Data Source=together;Mode=Memory;Cache=Shared")]
    [InlineData("Data Source=file:together?mode=memory&cache=shared")]
    public async Task Database_in_memory_belongs_to_who_keeps_it_alive_and_makes_it_killable(string source)
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession maker = SqliteSession.Open(source, group, "maker");
        using SqliteSession keeper = SqliteSession.Open(source, database.Group("keeper"), "keeper");
        MemoryMember member = Assert.Single(database.Root.Children[1].Members);
        await maker.RunAsync("make", connection => Execute(
            connection, "CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(8000000))"));
        Assert.Equal(MemoryMember.NeverKill, member.OomScoreAdjustment);

        maker.Dispose();

        Assert.InRange(member.Usage, 8_000_000, 9_000_000);
        Assert.Equal(0, member.OomScoreAdjustment);
        Assert.Equal(
            8_000_000,
            await keeper.RunAsync("read", connection => Scalar<long>(connection, "SELECT length(a) FROM t")));
    }

    [Theory]
    [InlineData("Data Source=;Cache=Shared")]
    [InlineData("Data Source=file:alone?mode=memory&cache=private;Cache=Shared")]
    public async Task Database_that_nobody_can_share_is_its_session_s_alone(string source)
    {
        using var database = new TestDatabase();

        using SqliteSession session = SqliteSession.Open(source, database.Group(), "alone");

        Assert.Null(session.CacheKey);
        Assert.Equal(1, await session.RunAsync("query", connection => Scalar<long>(connection, "SELECT 1")));
    }

    [Fact]
    public async Task Kill_on_one_session_leaves_a_statement_of_its_sharer_running()
    {
        using var database = new TestDatabase();
        await database.FillAsync(2000);
        SqliteSession polite = database.Open(database.Group("polite"), options: Shared);
        SqliteSession bomb = database.Open(database.Group("greedy", 4 << 20), options: Shared);

        long sum = await polite.RunAsync("scan", connection =>
        {
            using var command = connection.CreateCommand();
            command.CommandText = "SELECT id FROM t ORDER BY text";
            using var reader = command.ExecuteReader();
            long sum = 0;
            while (reader.Read())
            {
                if (sum == 0)
                {
                    AggregateException error = Assert.Throws<AggregateException>(
                        () => bomb.RunAsync("bomb", c => Sort(c, 100_000)).Wait(Deadline));
                    Assert.IsType<OomKilledException>(error.InnerException);
                }

                sum += reader.GetInt64(0);
            }

            return sum;
        }).WaitAsync(Deadline, Abort);

        Assert.Equal(2000L * 2001 / 2, sum);
    }

    [Fact]
    public async Task Reclaim_releases_pages_of_an_idle_cache_and_none_while_a_sharer_runs()
    {
        using var database = new TestDatabase();
        await database.FillAsync(5000);
        MemoryGroup group = database.Group();
        SqliteSession idle = database.Open(group, "idle", Shared);
        SqliteSession busy = database.Open(database.Group("busy"), "busy", Shared);
        await idle.RunAsync("scan", connection => Scalar<long>(connection, Scan));

        long during = await busy.RunAsync("q", _ => idle.ReleasePages());
        long after = idle.ReleasePages();

        Assert.Equal(0, during);
        Assert.InRange(after, 100_000, long.MaxValue);
    }
}
