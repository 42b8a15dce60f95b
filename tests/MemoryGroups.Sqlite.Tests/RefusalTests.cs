// What does not fit: refused inside SQLite without harm, reclaimed for, killed for, tried again; never somebody else's
// loss.

using Microsoft.Data.Sqlite;
using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class RefusalTests
{
    private const long Mega = 1 << 20;

    [Fact]
    public async Task Query_larger_than_its_group_is_killed_and_the_connection_goes_on()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group(max: 4 * Mega);
        SqliteSession session = database.Open(group);

        OomKilledException killed = await Assert.ThrowsAsync<OomKilledException>(
            () => session.RunAsync("greedy", connection => Sort(connection, 100_000)).WaitAsync(Deadline, Abort));

        SqliteException error = Assert.IsType<SqliteException>(killed.InnerException);
        Assert.Equal(SqliteNative.NoMemory, error.SqliteErrorCode);
        Assert.Equal("root/tenant/greedy", killed.MemberPath);
        Assert.Equal(9_999, await session.RunAsync("modest", connection => Sort(connection, 10_000)));
        Assert.InRange(group.PeakUsage, 1, 4 * Mega);
    }

    [Fact]
    public async Task Refusal_with_nobody_to_kill_is_the_library_s_exception_with_SQLite_s_inside()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group(max: 4 * Mega);
        SqliteSession session = database.Open(group);
        await database.Root.OomKiller.DisableAsync(TimeSpan.Zero, Abort);

        MemoryLimitExceededException refused = await Assert.ThrowsAsync<MemoryLimitExceededException>(
            () => session.RunAsync("greedy", connection => Sort(connection, 100_000)).WaitAsync(Deadline, Abort));

        Assert.Equal(SqliteNative.NoMemory, Assert.IsType<SqliteException>(refused.InnerException).SqliteErrorCode);
        Assert.Equal(("root/tenant/greedy", "root/tenant"), (refused.MemberPath, refused.GroupPath));
        Assert.InRange(refused.UsageBytes, 3 * Mega, 4 * Mega);
        Assert.Equal(9_999, await session.RunAsync("modest", connection => Sort(connection, 10_000)));
    }

    [Fact]
    public async Task Refusal_on_one_connection_leaves_a_statement_of_another_running()
    {
        using var database = new TestDatabase();
        await database.FillAsync(1000);
        MemoryGroup greedy = database.Group("greedy", 4 * Mega);
        SqliteSession polite = database.Open(database.Group("polite"));
        SqliteSession bomb = database.Open(greedy);

        long sum = await polite.RunAsync("scan", connection =>
        {
            using SqliteCommand command = connection.CreateCommand();
            command.CommandText = "SELECT id FROM t ORDER BY text";
            using SqliteDataReader reader = command.ExecuteReader();
            long sum = 0;
            while (reader.Read())
            {
                if (sum == 0)
                {
                    Task<long> other = bomb.RunAsync("bomb", c => Sort(c, 100_000));
                    AggregateException error = Assert.Throws<AggregateException>(() => other.Wait(Deadline));
                    Assert.IsType<OomKilledException>(error.InnerException);
                }

                sum += reader.GetInt64(0);
            }

            return sum;
        }).WaitAsync(Deadline, Abort);

        Assert.Equal(1000L * 1001 / 2, sum);
    }

    [Fact]
    public async Task Refused_query_succeeds_after_the_greedy_one_was_killed_for_it()
    {
        using var database = new TestDatabase(capacity: 24 * Mega);
        MemoryGroup tenants = database.Group("tenants", 16 * Mega);
        MemoryGroup greedyGroup = tenants.CreateGroup("greedy");
        MemoryGroup politeGroup = tenants.CreateGroup("polite");
        SqliteSession greedy = database.Open(greedyGroup);
        SqliteSession polite = database.Open(politeGroup);
        var full = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        // Holds about 13 MB in a sort, then goes on and on.
        Task<long> hoarder = greedy.RunAsync("hoarder", connection =>
        {
            using SqliteCommand command = connection.CreateCommand();
            command.CommandText =
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 130)"
                + " SELECT zeroblob(100000) FROM n ORDER BY random()";
            using SqliteDataReader reader = command.ExecuteReader();
            reader.Read();
            full.SetResult();
            return RunForEver(connection, () => { });
        });
        await full.Task.WaitAsync(Deadline, Abort);
        long sorted = await polite.RunAsync("sort", connection => Sort(connection, 30_000)).WaitAsync(Deadline, Abort);

        Assert.Equal(29_999, sorted);
        OomKilledException killed =
            await Assert.ThrowsAsync<OomKilledException>(() => hoarder.WaitAsync(Deadline, Abort));
        Assert.IsType<SqliteException>(killed.InnerException);
        OomReport report = Assert.Single(database.Root.Reports.Latest(10));
        Assert.Equal("root/tenants/greedy/hoarder", report.VictimPath);
        Assert.Equal("root/tenants/polite/sort", report.AskerPath);
        Assert.InRange(tenants.PeakUsage, 1, 16 * Mega);
    }

    [Fact]
    public async Task Refused_greedy_query_is_itself_the_victim_though_SQLite_has_freed_its_memory()
    {
        using var database = new TestDatabase();
        MemoryGroup tenants = database.Group("tenants", 16 * Mega);
        SqliteSession polite = database.Open(tenants.CreateGroup("polite"));
        SqliteSession greedy = database.Open(tenants.CreateGroup("greedy"));
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var finish = new ManualResetEventSlim();

        Task<long> modest = polite.RunAsync("modest", connection =>
        {
            Execute(connection, "CREATE TEMP TABLE some AS SELECT zeroblob(2000000)");
            started.SetResult();
            finish.Wait(Abort);
            return Scalar<long>(connection, "SELECT count(*) FROM some");
        });
        await started.Task.WaitAsync(Deadline, Abort);
        Exception greedyEnd = await Assert.ThrowsAnyAsync<Exception>(
            () => greedy.RunAsync("bomb", connection => Sort(connection, 200_000)).WaitAsync(Deadline, Abort));
        finish.Set();

        Assert.IsType<OomKilledException>(greedyEnd);
        Assert.Equal(1, await modest.WaitAsync(Deadline, Abort));
        Assert.Equal("root/tenants/greedy/bomb", Assert.Single(database.Root.Reports.Latest(10)).VictimPath);
    }

    [Fact]
    public async Task Hoard_that_a_query_left_in_its_session_is_freed_by_killing_the_session()
    {
        using var database = new TestDatabase();
        MemoryGroup tenants = database.Group("tenants", 16 * Mega);
        SqliteSession greedy = database.Open(tenants.CreateGroup("greedy"));
        SqliteSession polite = database.Open(tenants.CreateGroup("polite"));
        await greedy.RunAsync("hoard", connection => Execute(
            connection,
            "CREATE TEMP TABLE hoard AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 130)"
            + " SELECT zeroblob(100000) FROM n"));

        Assert.Equal(29_999, await polite.RunAsync("sort", c => Sort(c, 30_000)).WaitAsync(Deadline, Abort));

        Assert.Equal("root/tenants/greedy/session", Assert.Single(database.Root.Reports.Latest(10)).VictimPath);
        OomKilledException killed =
            await Assert.ThrowsAsync<OomKilledException>(() => greedy.RunAsync("next", _ => 1, Abort));
        Assert.Equal("root/tenants/greedy/session", killed.MemberPath);
    }

    [Fact]
    public async Task Refused_query_gets_what_a_cache_gives_back_and_nobody_is_killed()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group(max: 16 * Mega);
        SqliteSession session = database.Open(group);
        using var cache = new Cache(
            group.CreateMember("cache", new MemoryMemberOptions { OomScoreAdjustment = -1000 }));
        using IDisposable registration = group.AddReclaimer(cache);
        cache.Fill();

        // Ten megabytes, of which not even one is free.
        long sorted = await session.RunAsync("sort", connection => Sort(connection, 36_000)).WaitAsync(Deadline, Abort);

        Assert.Equal(35_999, sorted);
        Assert.Empty(database.Root.Reports.Latest(10));
        Assert.InRange(group.PeakUsage, 1, 16 * Mega);
    }

    [Fact]
    public async Task Query_that_changed_rows_is_not_run_again()
    {
        using var database = new TestDatabase();
        await database.FillAsync(10);
        MemoryGroup group = database.Group(max: 4 * Mega);
        SqliteSession session = database.Open(group);
        using var cache = new Cache(
            group.CreateMember("cache", new MemoryMemberOptions { OomScoreAdjustment = -1000 }));
        using IDisposable registration = group.AddReclaimer(cache);
        cache.Fill();
        int runs = 0;

        MemoryLimitExceededException refused = await Assert.ThrowsAsync<MemoryLimitExceededException>(
            () => session.RunAsync("write", connection =>
            {
                runs++;
                Execute(connection, "UPDATE t SET text = 'changed' WHERE id = 1");
                return Sort(connection, 10_000);
            }).WaitAsync(Deadline, Abort));

        Assert.Equal(1, runs);
        Assert.IsType<SqliteException>(refused.InnerException);
    }

    [Fact]
    public async Task Query_is_tried_three_times_more_and_then_refused()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group(max: 64 * Mega);
        SqliteSession session = database.Open(group);
        using var cache = new Cache(
            group.CreateMember("cache", new MemoryMemberOptions { OomScoreAdjustment = -1000 }));
        using IDisposable registration = group.AddReclaimer(cache);
        int runs = 0;

        MemoryLimitExceededException refused = await Assert.ThrowsAsync<MemoryLimitExceededException>(
            () => session.RunAsync("unlucky", connection =>
            {
                runs++;
                cache.Fill();
                return Sort(connection, 120_000);
            }).WaitAsync(Deadline, Abort));

        Assert.Equal(4, runs);
        Assert.IsType<SqliteException>(refused.InnerException);
    }

    [Fact]
    public async Task Session_s_idle_page_cache_is_reclaimed_for_others()
    {
        using var database = new TestDatabase();
        await database.FillAsync(20_000);
        MemoryGroup group = database.Group(max: 4 * Mega);
        SqliteSession reader = database.Open(group, "reader");
        await reader.RunAsync("scan", connection => Scalar<long>(connection, "SELECT sum(length(text)) FROM t"));
        long cached = Member(group, "reader").Usage;
        Assert.True(cached > Mega, $"{cached} bytes after a scan of two megabytes");

        long given = await group.ReclaimAsync(Mega, Abort);

        Assert.True(given >= Mega, $"{given} bytes given");
        Assert.True(Member(group, "reader").Usage < cached - Mega);
        Assert.Equal(
            20_000, await reader.RunAsync("scan", connection => Scalar<long>(connection, "SELECT count(*) FROM t")));
    }

    [Fact]
    public void Session_that_does_not_fit_is_refused_with_SQLite_s_exception_inside()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group(max: 30_000);

        MemoryLimitExceededException refused =
            Assert.Throws<MemoryLimitExceededException>(() => database.Open(group));

        Assert.IsType<SqliteException>(refused.InnerException);
        Assert.Empty(group.Members);
        Assert.Equal(0, group.UsageLower);
    }
}
