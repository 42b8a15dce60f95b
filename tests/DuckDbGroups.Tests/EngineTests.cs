// The thin layer over the engine by itself: rows of many batches, values at their edges, errors that come late, and
// whoever calls it wrongly.

namespace DuckDbGroups.Tests;

public sealed class EngineTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("memorygroups-duckdb-").FullName;

    public EngineTests()
    {
        if (!DuckDbLibrary.IsAvailable) Assert.Skip(DuckDbLibrary.Problem);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    // Texts of up to twelve bytes lie in place, longer ones elsewhere.
    [Fact]
    public void Every_row_of_many_batches_is_read_with_its_nulls()
    {
        using DuckDbDatabase database = DuckDbDatabase.Open(new DuckDbOptions());
        using DuckDbConnection connection = database.Connect();
        using DuckDbReader reader = connection.Query(
            "SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE i END, repeat('x', (i % 30)::BIGINT) FROM range(5000) t(i)");

        for (long i = 0; i < 5000; i++)
        {
            Assert.True(reader.Read());
            Assert.Equal((i, i % 3 == 0), (reader.GetInt64(0), reader.IsNull(1)));
            Assert.Equal(new string('x', (int)(i % 30)), reader.GetString(2));
            Assert.False(reader.IsNull(0));
        }

        Assert.False(reader.Read());
    }

    [Fact]
    public void Query_that_fails_on_its_way_says_so_and_does_not_just_end()
    {
        using DuckDbDatabase database = DuckDbDatabase.Open(new DuckDbOptions());
        using DuckDbConnection connection = database.Connect();
        using DuckDbReader reader = connection.Query(
            "SELECT CASE WHEN i = 900000 THEN error('too late') ELSE 'fine' END FROM range(1000000) t(i)");
        int read = 0;

        DuckDbException error = Assert.Throws<DuckDbException>(() =>
        {
            while (reader.Read()) read++;
        });

        Assert.Contains("too late", error.Message, StringComparison.Ordinal);
        Assert.InRange(read, 1, 900_000);
    }

    [Fact]
    public void Statement_answers_how_many_rows_it_has_changed()
    {
        using DuckDbDatabase database = DuckDbDatabase.Open(new DuckDbOptions());
        using DuckDbConnection connection = database.Connect();
        connection.Execute("CREATE TABLE t(i BIGINT)");

        Assert.Equal(7, connection.Execute("INSERT INTO t SELECT i FROM range(7) r(i)"));
        Assert.Equal(3, connection.Execute("DELETE FROM t WHERE i < 3"));
    }

    [Fact]
    public void Reader_that_is_used_wrongly_says_what_to_do()
    {
        using DuckDbDatabase database = DuckDbDatabase.Open(new DuckDbOptions());
        using DuckDbConnection connection = database.Connect();
        DuckDbReader reader = connection.Query("SELECT 1");

        const string NoRow = "There is no row: call Read first.";
        Assert.Equal(NoRow, Assert.Throws<InvalidOperationException>(() => reader.GetInt64(0)).Message);
        Assert.True(reader.Read());
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.IsNull(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.IsNull(1));
        Assert.Equal("Column 0 holds no texts. Cast it in the query.",
            Assert.Throws<InvalidCastException>(() => reader.GetString(0)).Message);
        Assert.False(reader.Read());
        Assert.Equal(NoRow, Assert.Throws<InvalidOperationException>(() => reader.GetInt64(0)).Message);
        reader.Dispose();
        reader.Dispose();
    }

    [Fact]
    public void Parameter_of_another_type_is_refused_by_its_name()
    {
        using DuckDbDatabase database = DuckDbDatabase.Open(new DuckDbOptions());
        using DuckDbConnection connection = database.Connect();

        Assert.Equal("The parameter 'p' is a Double: give an integer or a text.",
            Assert.Throws<ArgumentException>(() => connection.Query("SELECT $p", ("p", 1.5))).Message);
        Assert.Equal("The parameter 'p' is a null: give an integer or a text.",
            Assert.Throws<ArgumentException>(() => connection.Query("SELECT $p", ("p", null!))).Message);
    }

    [Fact]
    public void Interrupted_connection_does_nothing_until_it_is_resumed()
    {
        using DuckDbDatabase database = DuckDbDatabase.Open(new DuckDbOptions());
        using DuckDbConnection connection = database.Connect();
        using DuckDbReader reader = connection.Query("SELECT i FROM range(5000) t(i)");

        connection.Interrupt();

        Assert.Throws<DuckDbException>(() => connection.Execute("CREATE TABLE t(i BIGINT)"));
        Assert.Throws<DuckDbException>(() => connection.Query("SELECT 1"));
        Assert.Throws<DuckDbException>(() =>
        {
            while (reader.Read())
            {
            }
        });
        connection.Resume();
        Assert.Equal(1, connection.Scalar("SELECT 1"));
    }

    [Fact]
    public void File_that_is_opened_for_reading_is_not_written()
    {
        string file = Path.Combine(_folder, "data");
        using (DuckDbDatabase writable = DuckDbDatabase.Open(new DuckDbOptions { File = file }))
        using (DuckDbConnection connection = writable.Connect())
        {
            connection.Execute("CREATE TABLE t AS SELECT 5 AS i");
        }

        using DuckDbDatabase database = DuckDbDatabase.Open(new DuckDbOptions { File = file, ReadOnly = true });
        using DuckDbConnection reading = database.Connect();

        Assert.Equal(5, reading.Scalar("SELECT i FROM t"));
        Assert.Throws<DuckDbException>(() => reading.Execute("DELETE FROM t"));
    }

    [Fact]
    public void Closed_instance_opens_no_connection()
    {
        DuckDbDatabase database = DuckDbDatabase.Open(new DuckDbOptions());

        database.Dispose();
        database.Dispose();

        Assert.Throws<ObjectDisposedException>(database.Connect);
        Assert.StartsWith("v1.", DuckDbLibrary.Version, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Session_says_what_it_was_not_given()
    {
        using var scene = new DuckDb();
        DuckDbSession session = scene.Open(scene.Group());

        Assert.Equal("options", Assert.Throws<ArgumentNullException>(
            () => DuckDbSession.Open(null!, scene.Group("other"), "session")).ParamName);
        Assert.Equal("group", Assert.Throws<ArgumentNullException>(
            () => DuckDbSession.Open(new DuckDbOptions(), null!, "session")).ParamName);
        Assert.Equal("queryName", (await Assert.ThrowsAsync<ArgumentNullException>(
            () => session.RunAsync(null!, static _ => 1))).ParamName);
        Assert.Equal("query", (await Assert.ThrowsAsync<ArgumentNullException>(
            () => session.RunAsync<int>("query", null!))).ParamName);
        session.Dispose();
        ObjectDisposedException closed =
            await Assert.ThrowsAsync<ObjectDisposedException>(() => session.RunAsync("late", static _ => 1));
        Assert.Contains(
            "The DuckDB session 'root/tenant/session' is closed.", closed.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Session_of_a_file_that_cannot_be_opened_leaves_nothing_behind()
    {
        using var scene = new DuckDb();
        MemoryGroups.MemoryGroup group = scene.Group();

        Assert.Throws<DuckDbException>(
            () => scene.Open(group, options: new DuckDbOptions { File = Path.Combine(_folder, "none", "data") }));

        Assert.Empty(group.Members);
        Assert.Equal((0, 0), (group.Usage, scene.Root.BytesLeftAtExit));
    }
}
