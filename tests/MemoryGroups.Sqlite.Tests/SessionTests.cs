// Opening, closing, and what a caller can do wrong: each has one clear error.

using System.Runtime.InteropServices;
using Microsoft.Data.Sqlite;
using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class SessionTests
{
    [Fact]
    public void Null_argument_is_an_argument_error()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);

        Assert.Throws<ArgumentNullException>("connectionString", () => SqliteSession.Open(null!, group, "s"));
        Assert.Throws<ArgumentNullException>("group", () => SqliteSession.Open("", null!, "s"));
        Assert.Throws<ArgumentNullException>("name", () => SqliteSession.Open("", group, null!));
        Assert.Throws<ArgumentNullException>("queryName", () => { _ = session.RunAsync(null!, _ => 1, Abort); });
        Assert.Throws<ArgumentNullException>("query", () => { _ = session.RunAsync<int>("q", null!, Abort); });
        Assert.Throws<ArgumentNullException>("unattributed", () => SqliteMemory.Install(null!));
        Assert.Throws<ArgumentNullException>("unattributed", () => SqliteMemory.Attribute(null!));
    }

    [Fact]
    public async Task Name_that_no_member_may_have_is_an_argument_error()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);

        Assert.Throws<ArgumentException>(() => SqliteSession.Open(database.ConnectionString, group, "a/b"));
        await Assert.ThrowsAsync<ArgumentException>(() => session.RunAsync("", _ => 1, Abort));
        Assert.Throws<ArgumentException>(() => SqliteSession.Open("Colour=red", group, "s"));
        Assert.Equal("session", Assert.Single(group.Members).Name);
        Assert.Equal(1, await session.RunAsync("fine", _ => 1, Abort));
    }

    [Fact]
    public void File_that_cannot_be_opened_is_SQLite_s_error_and_leaves_no_member()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        long before = SqliteMemory.BytesInUse;

        SqliteException error = Assert.Throws<SqliteException>(
            () => SqliteSession.Open("Data Source=/no/such/folder/test.db", group, "s"));

        Assert.Equal(14, error.SqliteErrorCode);
        Assert.Empty(group.Members);

        // The half-open connection is closed by the finalizer thread.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.Equal(before, SqliteMemory.BytesInUse);
    }

    [Fact]
    public async Task Closed_session_says_that_it_is_closed()
    {
        using var database = new TestDatabase();
        SqliteSession session = database.Open(database.Group());
        session.Dispose();
        session.Dispose();

        ObjectDisposedException error =
            await Assert.ThrowsAsync<ObjectDisposedException>(() => session.RunAsync("q", _ => 1, Abort));

        Assert.StartsWith(
            "The SQLite session 'root/tenant/session' is closed.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Session_closed_while_a_query_runs_interrupts_it_and_is_closed_when_it_has_ended()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);
        long before = SqliteMemory.BytesInUse;

        Task<long> query = session.RunAsync("endless", connection => RunForEver(connection, session.Dispose), Abort);
        ObjectDisposedException error =
            await Assert.ThrowsAsync<ObjectDisposedException>(() => query.WaitAsync(Deadline, Abort));

        Assert.IsType<SqliteException>(error.InnerException);
        Assert.Empty(group.Members);
        Assert.True(SqliteMemory.BytesInUse < before);
    }

    // Its rollback needs memory, which the group does not have.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Session_in_a_full_or_closed_group_is_closed_with_the_transaction_that_it_has_open(bool isClosed)
    {
        using var database = new TestDatabase();
        await database.FillAsync(20_000);
        MemoryGroup group = database.Group();
        MemoryMember other = group.CreateMember("other");
        SqliteSession session = database.Open(group);
        Thread worker = await session.RunAsync(
            "begin",
            connection =>
            {
                connection.BeginTransaction();

                // They live as long as the connection, and use up what it has set aside for small blocks.
                for (int i = 0; i < 300; i++)
                {
                    SqliteCommand command = connection.CreateCommand();
                    command.CommandText = $"UPDATE t SET text = 'x' WHERE id = {i}";
                    command.ExecuteNonQuery();
                }

                return Thread.CurrentThread;
            },
            Abort);

        if (isClosed)
        {
            group.Dispose();
        }
        else
        {
            group.Max = group.Usage;
            while (other.TryCharge(16))
            {
            }

            session.Dispose();
        }

        Assert.True(worker.Join(Deadline));
        Assert.True(SpinWait.SpinUntil(() => session.Account.IsHandedOver, Deadline));
        Assert.Equal(0, session.Account.InUse);
    }

    [Theory]
    [InlineData("SELECT 1")]
    [InlineData("ROLLBACK")]
    [InlineData("COMMIT")]
    public async Task Session_is_closed_whatever_became_of_its_transaction(string itsLast)
    {
        using var database = new TestDatabase();
        SqliteSession session = database.Open(database.Group());
        Thread worker = await session.RunAsync(
            "begins",
            connection =>
            {
                connection.BeginTransaction();
                Execute(connection, itsLast);
                return Thread.CurrentThread;
            },
            Abort);

        session.Dispose();

        Assert.True(worker.Join(Deadline));
        Assert.True(session.Account.IsHandedOver);
    }

    [Theory]
    [InlineData("SELECT 1")]
    [InlineData("ROLLBACK")]
    [InlineData("COMMIT")]
    public async Task Transaction_object_that_a_failed_query_left_is_not_in_the_way_of_the_next(string itsLast)
    {
        using var database = new TestDatabase();
        await database.FillAsync(10);
        SqliteSession session = database.Open(database.Group());

        await Assert.ThrowsAsync<FormatException>(() => session.RunAsync<int>(
            "fails",
            connection =>
            {
                connection.BeginTransaction();
                Execute(connection, itsLast);
                throw new FormatException();
            },
            Abort));

        long rows = await session.RunAsync(
            "next",
            connection =>
            {
                using SqliteTransaction transaction = connection.BeginTransaction();
                return Scalar<long>(connection, "SELECT count(*) FROM t");
            },
            Abort);
        Assert.Equal(10, rows);
    }

    [Fact]
    public async Task Second_query_at_the_same_time_is_refused_by_name()
    {
        using var database = new TestDatabase();
        SqliteSession session = database.Open(database.Group());
        using var cancel = new CancellationTokenSource();
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<long> first = session.RunAsync(
            "first", connection => RunForEver(connection, () => started.TrySetResult()), cancel.Token);
        await started.Task.WaitAsync(Deadline, Abort);

        InvalidOperationException error =
            await Assert.ThrowsAsync<InvalidOperationException>(() => session.RunAsync("second", _ => 1, Abort));

        Assert.Equal(
            "The session 'root/tenant/session' is running 'first', so it cannot run 'second': a connection runs one "
            + "query at a time. Await the first one, or open another session.",
            error.Message);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WaitAsync(Deadline, Abort));
        Assert.Equal(1, await session.RunAsync("third", _ => 1, Abort));
    }

    [Fact]
    public async Task Group_closed_while_a_query_runs_ends_it_and_the_books_stay_right()
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);

        ObjectDisposedException error = await Assert.ThrowsAsync<ObjectDisposedException>(
            () => session.RunAsync("q", connection =>
            {
                group.Dispose();
                return Sort(connection, 100_000);
            }, Abort).WaitAsync(Deadline, Abort));

        Assert.IsType<SqliteException>(error.InnerException);
        Assert.StartsWith(
            "The group of the query 'root/tenant/q' was closed while it ran.", error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => session.RunAsync("next", _ => 1, Abort));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Query_that_closes_the_connection_closes_the_session_and_breaks_nothing(bool opensAgain)
    {
        using var database = new TestDatabase();
        MemoryGroup group = database.Group();
        SqliteSession session = database.Open(group);

        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(
            () => session.RunAsync("closer", connection =>
            {
                connection.Close();
                if (opensAgain)
                {
                    connection.Open();
                }

                return 1;
            }, Abort));

        Assert.Equal(
            "The query 'closer' closed the connection of its session, which is closed now as well. The connection "
            + "belongs to the session: leave it open, and dispose the session.",
            error.Message);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => session.RunAsync("next", _ => 1, Abort));
        Assert.Empty(group.Members);
        Assert.Equal(0, group.UsageLower);
    }

    [Fact]
    public async Task Query_flows_the_caller_s_async_locals_and_runs_on_the_session_s_thread()
    {
        using var database = new TestDatabase();
        SqliteSession session = database.Open(database.Group());
        var local = new AsyncLocal<string> { Value = "here" };

        (string? Value, int Thread, string? Name) first = await session.RunAsync(
            "q", _ => (local.Value, Environment.CurrentManagedThreadId, Thread.CurrentThread.Name), Abort);
        int second = await session.RunAsync("q", _ => Environment.CurrentManagedThreadId, Abort);

        Assert.Equal(("here", "root/tenant/session"), (first.Value, first.Name));
        Assert.Equal(first.Thread, second);
    }

    [Fact]
    public void Second_installation_is_refused_and_changes_nothing()
    {
        InvalidOperationException error =
            Assert.Throws<InvalidOperationException>(() => SqliteMemory.Install(ModuleStart.Unattributed));

        Assert.Contains("SqliteMemory.Attribute", error.Message, StringComparison.Ordinal);
        Assert.True(SqliteMemory.IsInstalled);
    }

    [Fact]
    public async Task Installation_after_SQLite_was_used_says_what_to_do()
    {
        string said = await ChildScenario.RunAsync(nameof(ChildScenario.InstallAfterUse));

        Assert.Equal(
            "InvalidOperationException: SQLite is in use already, and takes an allocator only before its first use. "
            + "Call SqliteMemory.Install at the start of the program, before any SqliteConnection is opened, also by "
            + "other libraries.",
            said);
    }

    [Fact]
    public async Task Session_or_attribution_without_installation_says_what_to_do()
    {
        const string expected = "InvalidOperationException: SQLite's memory is not governed yet. Call "
            + "SqliteMemory.Install(member) once, at the start of the program, before SQLite is used for anything.";

        Assert.Equal(expected, await ChildScenario.RunAsync(nameof(ChildScenario.OpenWithoutInstall)));
        Assert.Equal(expected, await ChildScenario.RunAsync(nameof(ChildScenario.AttributeWithoutInstall)));
    }

    [Fact]
    public void Missing_native_library_is_named_with_the_package_that_brings_it()
    {
        DllNotFoundException error = Assert.Throws<DllNotFoundException>(() => SqliteNative.Load("no_such_library"));

        Assert.Equal(
            "The native SQLite library 'no_such_library' cannot be loaded on "
            + $"{RuntimeInformation.RuntimeIdentifier}. It comes with the package SQLitePCLRaw.bundle_e_sqlite3: "
            + "deploy the runtimes folder beside the program, or publish for this platform.",
            error.Message);
    }

    [Fact]
    public void Platform_whose_calls_differ_is_refused()
    {
        PlatformNotSupportedException error = Assert.Throws<PlatformNotSupportedException>(
            () => SqliteNative.ThrowIfUnsupported(true, Architecture.Arm64));
        Assert.Equal(
            "SQLite's allocator cannot be governed on Apple arm64: sqlite3_config takes variable arguments, which this "
            + "platform passes in another way than .NET can. Run on Linux or Windows (x64 or arm64), or without "
            + "SqliteMemory.",
            error.Message);
        SqliteNative.ThrowIfUnsupported(true, Architecture.X64);
        SqliteNative.ThrowIfUnsupported(false, Architecture.Arm64);
    }
}
