// A group that is full: the engine spills, or its own query fails or is killed; nobody else loses anything.

using MemoryGroups;
using static DuckDbGroups.Tests.DuckDb;

namespace DuckDbGroups.Tests;

public sealed class LimitTests
{
    [Fact]
    public async Task Query_larger_than_its_group_is_killed_and_the_session_goes_on()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group(max: 32 * Mega);
        DuckDbSession session = duck.Open(group);

        OomKilledException killed = await Assert.ThrowsAsync<OomKilledException>(
            () => session.RunAsync("greedy", connection => connection.Scalar(Hoard(2_000_000)))
                .WaitAsync(Deadline, TimeProvider.System, Abort));

        Assert.Equal("root/tenant/greedy", killed.MemberPath);
        Assert.IsType<DuckDbException>(killed.InnerException);
        Assert.InRange(group.PeakUsage, 8 * Mega, 32 * Mega);
        Assert.Equal(1000, await session.RunAsync("modest", connection => connection.Scalar(Hoard(1000))));
    }

    [Fact]
    public async Task Query_that_was_killed_leaves_nothing_ahead_for_the_next_one()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group(max: 64 * Mega);
        DuckDbSession session = duck.Open(group);

        await Assert.ThrowsAsync<OomKilledException>(
            () => session.RunAsync("greedy", connection => connection.Scalar(Hoard(2_000_000)))
                .WaitAsync(Deadline, TimeProvider.System, Abort));

        Assert.InRange(session.LimitBytes, DuckDbBudget.LeastBytes, session.Budget.UsedBytes + (3 * Mega));
        Assert.Equal(session.LimitBytes, group.Usage);
    }

    [Fact]
    public async Task Refusal_with_nobody_to_kill_has_the_engine_s_own_error_inside()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group(max: 32 * Mega);
        DuckDbSession session = duck.Open(group);
        await duck.Root.OomKiller.DisableAsync(TimeSpan.Zero, Abort);

        MemoryLimitExceededException refused = await Assert.ThrowsAsync<MemoryLimitExceededException>(
            () => session.RunAsync("greedy", connection => connection.Scalar(Hoard(2_000_000)))
                .WaitAsync(Deadline, TimeProvider.System, Abort));

        Assert.True(Assert.IsType<DuckDbException>(refused.InnerException).IsOutOfMemory);
        Assert.Equal(1000, await session.RunAsync("modest", connection => connection.Scalar(Hoard(1000))));
    }

    [Fact]
    public async Task Query_that_may_spill_ends_within_a_group_that_is_too_small_for_it()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group(max: 32 * Mega);
        DuckDbSession session = duck.Open(group, "session", new DuckDbOptions { SpillFolder = duck.SpillFolder });

        long last = await session.RunAsync("sort", connection =>
        {
            connection.Execute("CREATE TABLE t AS SELECT i, repeat('y', 100) || i AS s FROM range(500000) t(i)");
            using DuckDbReader reader = connection.Query("SELECT i, s FROM t ORDER BY i * 7919 % 1000003");
            long rows = 0;
            while (reader.Read()) rows++;
            return rows;
        }).WaitAsync(Deadline, TimeProvider.System, Abort);

        Assert.Equal(500_000, last);
        Assert.InRange(group.PeakUsage, 8 * Mega, 32 * Mega);
        Assert.Empty(duck.Root.Reports.Latest(1));
    }

    [Fact]
    public async Task Refused_query_succeeds_after_the_greedy_one_was_killed_for_it()
    {
        using var duck = new DuckDb();
        MemoryGroup tenants = duck.Group("tenants", 72 * Mega);
        MemoryGroup greedyGroup = tenants.CreateGroup("greedy");
        MemoryGroup politeGroup = tenants.CreateGroup("polite");
        DuckDbSession greedy = duck.Open(greedyGroup, "session");
        DuckDbSession polite = duck.Open(politeGroup, "session");
        var full = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        // Holds sorted rows that nobody takes.
        Task<bool> hoarder = greedy.RunAsync("hoarder", connection =>
        {
            using DuckDbReader reader =
                connection.Query("SELECT i, repeat('x', 150) || i FROM range(250000) t(i) ORDER BY i % 7");
            Assert.True(reader.Read());
            full.TrySetResult();
            Member(greedyGroup, "hoarder").Killed.WaitHandle.WaitOne(Deadline);
            while (reader.Read())
            {
            }

            return true;
        });
        await full.Task.WaitAsync(Deadline, TimeProvider.System, Abort);
        long rows = await polite.RunAsync("hoard", connection => connection.Scalar(Hoard(300_000)))
            .WaitAsync(Deadline, TimeProvider.System, Abort);

        Assert.Equal(300_000, rows);
        OomKilledException killed =
            await Assert.ThrowsAsync<OomKilledException>(() => hoarder.WaitAsync(Deadline, TimeProvider.System, Abort));
        Assert.IsType<DuckDbException>(killed.InnerException);
        OomReport report = Assert.Single(duck.Root.Reports.Latest(10));
        Assert.Equal("root/tenants/greedy/hoarder", report.VictimPath);
        Assert.Equal("root/tenants/polite/hoard", report.AskerPath);
        Assert.InRange(tenants.PeakUsage, 32 * Mega, 72 * Mega);
    }

    [Fact]
    public async Task Statement_that_has_changed_rows_is_not_run_again()
    {
        using var duck = new DuckDb();
        MemoryGroup group = duck.Group(max: 24 * Mega);
        DuckDbSession session = duck.Open(group);
        await duck.Root.OomKiller.DisableAsync(TimeSpan.Zero, Abort);
        await session.RunAsync("make", connection => connection.Execute("CREATE TABLE t(i BIGINT)"));
        int runs = 0;

        await Assert.ThrowsAsync<MemoryLimitExceededException>(() => session.RunAsync("insert", connection =>
        {
            runs++;
            connection.Execute("INSERT INTO t VALUES (1)");
            return connection.Scalar(Hoard(2_000_000));
        }).WaitAsync(Deadline, TimeProvider.System, Abort));

        Assert.Equal(1, runs);
        Assert.Equal(1, await session.RunAsync("count", connection => connection.Scalar("SELECT count(*) FROM t")));
    }
}
