// What SQLite holds is what the groups are charged for: during a query, after it, after the close; and a block that no
// books know ends the process.

using Microsoft.Data.Sqlite;
using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class BooksTests
{
    [Fact]
    public async Task Bytes_in_use_during_a_query_are_what_its_members_are_charged_for()
    {
        using var database = new TestDatabase();
        await database.FillAsync(2000);
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);

        (long inUse, long charged, long ofQuery) = await session.RunAsync("sort", connection =>
        {
            using SqliteCommand command = connection.CreateCommand();
            command.CommandText = "SELECT id FROM t ORDER BY text";
            using SqliteDataReader reader = command.ExecuteReader();
            Assert.True(reader.Read());
            long query = Member(group, "sort").Usage;
            return (SqliteMemory.BytesInUse,
                query + Member(group, "session").Usage + ModuleStart.Unattributed.Usage, query);
        });

        Assert.Equal(inUse, charged);
        Assert.True(ofQuery > 2000 * 100, $"a sort of 2000 rows was charged {ofQuery} bytes");
    }

    [Fact]
    public async Task Pages_read_by_a_query_pass_to_the_session_when_it_ends()
    {
        using var database = new TestDatabase();
        await database.FillAsync(5000);
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);
        long before = Member(group, "session").Usage;

        await session.RunAsync("scan", connection => Scalar<long>(connection, "SELECT sum(length(text)) FROM t"));

        MemoryMember member = Assert.Single(group.Members);
        Assert.Equal("session", member.Name);
        Assert.True(member.Usage > before + (5000 * 100), $"{before} bytes before the scan, {member.Usage} after it");
        Assert.Equal(SqliteMemory.BytesInUse, member.Usage + ModuleStart.Unattributed.Usage);
    }

    [Fact]
    public async Task Session_that_is_closed_leaves_nothing_charged()
    {
        using var database = new TestDatabase();
        await database.FillAsync(5000);
        MemoryGroup group = database.Group();
        long before = SqliteMemory.BytesInUse;
        int accounts = SqliteAccountTable.Count;
        SqliteSession session = database.Open(group);
        for (int i = 0; i < 20; i++)
        {
            string scan = $"SELECT sum(length(text)) FROM t WHERE id > {i * 100}";
            await session.RunAsync("scan", connection => Scalar<long>(connection, scan));
        }

        session.Dispose();

        Assert.Empty(group.Members);
        Assert.Equal(0, group.UsageLower);
        await group.ReclaimAsync(1, TestContext.Current.CancellationToken);
        Assert.Equal(0, group.Usage);
        Assert.Equal(before, SqliteMemory.BytesInUse);
        Assert.Equal(accounts, SqliteAccountTable.Count);
        Assert.Equal(0, database.Root.BytesLeftAtExit);
    }

    [Fact]
    public async Task Memory_shared_with_another_session_is_charged_to_nobody_s_query_after_the_first_closes()
    {
        using var database = new TestDatabase();
        await database.FillAsync(10);
        MemoryGroup first = database.Group("first");
        SqliteSession opener = database.Open(first);
        await opener.RunAsync("q", connection => Scalar<long>(connection, "SELECT count(*) FROM t"));
        SqliteSession other = database.Open(database.Group("second"));
        await other.RunAsync("q", connection => Scalar<long>(connection, "SELECT count(*) FROM t"));
        long unattributed = ModuleStart.Unattributed.Usage;

        opener.Dispose();

        // The file's own record was made by the first session and lives until the last one closes.
        Assert.Equal(0, first.UsageLower);
        Assert.True(ModuleStart.Unattributed.Usage > unattributed);
        Assert.Equal(10, await other.RunAsync("q", connection => Scalar<long>(connection, "SELECT count(*) FROM t")));
        other.Dispose();
        Assert.Equal(unattributed, ModuleStart.Unattributed.Usage);
    }

    [Fact]
    public void Memory_of_an_ungoverned_connection_goes_to_the_unattributed_member()
    {
        long before = ModuleStart.Unattributed.Usage;
        using (var connection = new SqliteConnection("Data Source=:memory:;Pooling=False"))
        {
            connection.Open();
            Execute(connection, "CREATE TABLE t(a); INSERT INTO t VALUES (hex(zeroblob(100000)))");
            Assert.True(ModuleStart.Unattributed.Usage > before + 200_000);
            Assert.Equal(SqliteMemory.BytesInUse, ModuleStart.Unattributed.Usage);
        }

        Assert.Equal(before, ModuleStart.Unattributed.Usage);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Unattributed_member_that_is_replaced_hands_its_charges_over(bool sameGroup)
    {
        using var connection = new SqliteConnection("Data Source=:memory:;Pooling=False");
        connection.Open();
        MemoryMember old = ModuleStart.Unattributed;
        long charged = old.Usage;

        MemoryMember next = ModuleStart.NewUnattributed(
            sameGroup ? ModuleStart.Root : ModuleStart.Root.CreateGroup("other"));
        ModuleStart.Attribute(next);

        Assert.Equal((0, charged), (old.Usage, next.Usage));
        connection.Dispose();
        Assert.True(next.Usage < charged);
        Assert.Equal(SqliteMemory.BytesInUse, next.Usage);
        old.Dispose();
    }

    [Fact]
    public void Ungoverned_connection_is_charged_over_the_limit_of_the_unattributed_member_s_group()
    {
        MemoryGroup small = ModuleStart.Root.CreateGroup("small", new MemoryGroupOptions { Max = 1000 });
        MemoryMember old = ModuleStart.Unattributed;
        ModuleStart.Attribute(ModuleStart.NewUnattributed(small));
        old.Dispose();
        using (var connection = new SqliteConnection("Data Source=:memory:;Pooling=False"))
        {
            connection.Open();
            Execute(connection, "CREATE TABLE t(a); INSERT INTO t VALUES (hex(zeroblob(100000)))");
            Assert.InRange(small.Usage, 200_000, long.MaxValue);

            // SQLite's own statistics would take a lock for each block.
            Assert.Equal(0, SQLitePCL.raw.sqlite3_memory_used());
        }

        MemoryMember over = ModuleStart.Unattributed;
        ModuleStart.Attribute(ModuleStart.NewUnattributed(ModuleStart.Root));
        over.Dispose();
        Assert.Equal(0, small.Usage);
        small.Dispose();
    }

    [Fact]
    public async Task Books_agree_with_the_statistics_that_SQLite_keeps_itself()
    {
        string[] found = (await ChildScenario.RunAsync(nameof(ChildScenario.NativeStatistics))).Split(' ');

        Assert.Equal(3, found.Length);
        Assert.Equal(found[0], found[1]);
        Assert.Equal(found[0], found[2]);
        Assert.True(long.Parse(found[0]) > 300_000);
    }

    [Theory]
    [InlineData(nameof(ChildScenario.FreeTwice))]
    [InlineData(nameof(ChildScenario.FreeForeignBlock))]
    [InlineData(nameof(ChildScenario.FreeBlockOfNobody))]
    public async Task Block_that_is_none_ends_the_process_before_something_else_is_freed(string scenario)
    {
        string said = await ChildScenario.RunAsync(scenario);

        Assert.Contains(
            "SQLite passed a block that this allocator did not make, has freed, or that was overwritten.",
            said,
            StringComparison.Ordinal);
        Assert.DoesNotContain("went on", said, StringComparison.Ordinal);
    }
}
