// A copy of a database is paid by who receives it, can be refused and killed, and leaves both sides whole.

using Microsoft.Data.Sqlite;
using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class BackupTests
{
    private const string Count = "SELECT count(*) FROM t";
    private const long Mega = 1 << 20;

    [Fact]
    public async Task Copy_is_charged_to_the_destination_and_the_source_pays_nothing()
    {
        using var database = new TestDatabase();
        await database.FillAsync(20_000);
        MemoryGroup from = database.Group("from");
        MemoryGroup to = database.Group("to");
        SqliteSession source = database.Open(from);
        using SqliteSession destination = SqliteSession.Open("Data Source=:memory:", to, "copy");
        long ofSource = Member(from, "session").Usage;

        await source.BackupToAsync(destination, "backup", Abort).WaitAsync(Deadline, Abort);

        // The whole database, and no page of the source's cache besides.
        Assert.InRange(Member(to, "copy").Usage, 20_000 * 100, 20_000 * 150);
        Assert.InRange(Member(from, "session").Usage, 0, ofSource + 20_000);
        Assert.Equal(SqliteMemory.BytesInUse, from.UsageLower + to.UsageLower + ModuleStart.Unattributed.Usage);
        Assert.Equal(20_000, await destination.RunAsync("count", connection => Scalar<long>(connection, Count)));
        destination.Dispose();
        Assert.Equal(0, to.UsageLower);
    }

    [Fact]
    public async Task Copy_that_does_not_fit_is_killed_and_both_sides_are_as_they_were()
    {
        using var database = new TestDatabase();
        await database.FillAsync(60_000);
        MemoryGroup to = database.Group("to", 4 * Mega);
        SqliteSession source = database.Open(database.Group("from"));
        using SqliteSession destination = SqliteSession.Open("Data Source=:memory:", to, "copy");
        await destination.RunAsync("make", connection => Execute(
            connection, "CREATE TABLE t(a); INSERT INTO t VALUES (1)"));

        OomKilledException killed = await Assert.ThrowsAsync<OomKilledException>(
            () => source.BackupToAsync(destination, "backup", Abort).WaitAsync(Deadline, Abort));

        Assert.Equal("root/to/backup", killed.MemberPath);
        Assert.IsType<SqliteException>(killed.InnerException);
        Assert.Equal(1, await destination.RunAsync("count", connection => Scalar<long>(connection, Count)));
        Assert.Equal(60_000, await source.RunAsync("count", connection => Scalar<long>(connection, Count)));
        Assert.InRange(to.PeakUsage, Mega, 4 * Mega);
    }

    [Theory]
    [InlineData("kill")]
    [InlineData("cancel")]
    [InlineData("close the source")]
    [InlineData("close the destination")]
    public async Task Stop_in_the_middle_ends_the_copy_before_its_next_part(string how)
    {
        using var database = new TestDatabase();
        await database.FillAsync(20_000);
        MemoryGroup to = database.Group("to");
        SqliteSession source = database.Open(database.Group("from"));
        using SqliteSession destination = SqliteSession.Open("Data Source=:memory:", to, "copy");
        using var cancel = new CancellationTokenSource();
        int parts = 0;

        Task<bool> copy = source.BackupToAsync(destination, "backup", Between, cancel.Token);

        Type expected = how switch
        {
            "kill" => typeof(OomKilledException),
            "cancel" => typeof(OperationCanceledException),
            _ => typeof(ObjectDisposedException),
        };
        Exception? error = await Record.ExceptionAsync(() => copy.WaitAsync(Deadline, Abort));
        Assert.IsType(expected, error);
        Assert.Equal(3, parts);
        Assert.True(SpinWait.SpinUntil(() => to.UsageLower < Mega / 2, Deadline), $"{to.UsageLower} bytes are left");

        void Between()
        {
            if (++parts != 3) return;
            switch (how)
            {
                case "kill":
                    Member(to, "backup").Kill("a test");
                    SpinWait.SpinUntil(() => destination.Interrupt.IsOrdered, Deadline);
                    break;
                case "cancel":
                    cancel.Cancel();
                    break;
                case "close the source":
                    source.Dispose();
                    break;
                default:
                    destination.Dispose();
                    break;
            }
        }
    }

    [Fact]
    public async Task Session_that_runs_a_query_can_be_neither_source_nor_destination()
    {
        using var database = new TestDatabase();
        await database.FillAsync(10);
        SqliteSession one = database.Open(database.Group("one"));
        using SqliteSession other = SqliteSession.Open("Data Source=:memory:", database.Group("other"), "copy");

        string[] messages = await one.RunAsync("busy", _ => new[]
        {
            Assert.Throws<AggregateException>(() => one.BackupToAsync(other, "from").Wait()).InnerException!.Message,
            Assert.Throws<AggregateException>(() => other.BackupToAsync(one, "to").Wait()).InnerException!.Message,
        });

        Assert.All(messages, message => Assert.Contains("is running 'busy'", message, StringComparison.Ordinal));
        Assert.Throws<ArgumentException>(() => { _ = one.BackupToAsync(one, "self"); });
        Assert.Throws<ArgumentNullException>(() => { _ = one.BackupToAsync(null!, "self"); });
        await one.BackupToAsync(other, "backup", Abort);
    }
}
