// A root, an engine, and the sessions a test opens; at the end everything is closed and the books of the root must be
// empty. The tests need the real library and say so where it is not.

using MemoryGroups;

[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace DuckDbGroups.Tests;

internal sealed class DuckDb : IDisposable
{
    internal const long Mega = 1 << 20;

    // Long enough never to matter, unless what must end does not.
    internal static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly string _folder = Directory.CreateTempSubdirectory("memorygroups-duckdb-").FullName;
    private readonly List<DuckDbSession> _sessions = [];

    internal DuckDb(long capacity = long.MaxValue)
    {
        if (!DuckDbLibrary.IsAvailable) Assert.Skip(DuckDbLibrary.Problem);

        // A busy machine makes reclaimers late; given up is another matter than what is tested here.
        Root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = capacity, ReclaimDeadline = Deadline });
    }

    internal MemoryRoot Root { get; }

    internal string SpillFolder => Path.Combine(_folder, "spill");

    internal static CancellationToken Abort => TestContext.Current.CancellationToken;

    internal MemoryGroup Group(string name = "tenant", long max = long.MaxValue) =>
        Root.CreateGroup(name, new MemoryGroupOptions { Max = max });

    internal DuckDbSession Open(MemoryGroup group, string name = "session", DuckDbOptions? options = null)
    {
        DuckDbSession session = DuckDbSession.Open(options ?? new DuckDbOptions(), group, name);
        _sessions.Add(session);
        return session;
    }

    public void Dispose()
    {
        _sessions.ForEach(session => session.Dispose());
        foreach (MemoryGroup group in Root.Children)
        {
            // A session that was killed is closed by whoever killed it, perhaps just now.
            Assert.True(SpinWait.SpinUntil(() => group.Members.Count == 0, Deadline), "a session was not closed");
            group.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
        Assert.Equal(0, Root.Usage);
        Assert.True(Root.BooksErrorCount == 0, Root.FirstBooksError);
    }

    // Holds more than 120 bytes for each row, all at the same time.
    internal static string Hoard(int rows) =>
        "SELECT count(*) FROM (SELECT DISTINCT i * 7919 % 1000003 AS n, repeat('x', 100) || i AS text "
        + $"FROM range({rows}) t(i))";

    // About 25 MB that outlive the query.
    internal const string Table = "CREATE TABLE t AS SELECT i, repeat('y', 100) || i AS s FROM range(200000) t(i)";

    // Takes months and no memory.
    internal const string Endless = "SELECT count(*) FROM range(1000000000000000) t(i) WHERE i % 7 = 3";

    internal string File => Path.Combine(_folder, "test.db");

    // Whether the engine has it open, in this process.
    internal bool HasFileOpen => Directory.GetFiles("/proc/self/fd").Any(
        descriptor => new FileInfo(descriptor).LinkTarget == File);

    internal static MemoryMember Member(MemoryGroup group, string name) =>
        group.Members.Single(member => member.Name == name);
}
