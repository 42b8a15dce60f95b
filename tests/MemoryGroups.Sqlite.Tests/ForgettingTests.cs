// A session that is closed is collected while its group lives on: a service that opens one for each request does so for
// months.
//
// Many of each kind are opened and closed one after the other; a handful may be alive at the end (in a pool, or in what
// a thread remembers), never a number that grows with those that were opened.

using System.Runtime.CompilerServices;
using MemoryGroups.Tests;
using Microsoft.Data.Sqlite;
using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class ForgettingTests
{
    private const int Opened = 40;
    private const int MostAlive = 4;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private static readonly Dictionary<string, Action<Scene, SqliteSession>> Kinds = new()
    {
        ["opened only"] = static (_, _) => { },
        ["that ran a query"] = static (_, session) => Select(session),
        ["that ran a query under a caller's token"] = static (scene, session) =>
            Now(session.RunAsync("query", One, scene.Callers.Token)),
        ["that was closed in the middle of its query"] = static (_, session) =>
            Failed<ObjectDisposedException>(session.RunAsync("query", c => RunForEver(c, session.Dispose))),
        ["whose query was cancelled"] = static (_, session) =>
        {
            using var cancel = new CancellationTokenSource();
            Failed<OperationCanceledException>(
                session.RunAsync("query", c => RunForEver(c, cancel.Cancel), cancel.Token));
        },
        ["whose query left a statement running"] = static (_, session) =>
            Failed<InvalidOperationException>(session.RunAsync("query", connection =>
            {
                SqliteCommand command = connection.CreateCommand();
                command.CommandText = "SELECT 1";
                return command.ExecuteReader().Read();
            })),
        ["whose query closed the connection"] = static (_, session) =>
            Failed<InvalidOperationException>(session.RunAsync("query", connection =>
            {
                connection.Close();
                return 1;
            })),
        ["whose query gave up waiting"] = static (scene, session) =>
        {
            using var cancel = new CancellationTokenSource();
            scene.Others.Fill();
            Task<long> query = session.RunAsync("query", static c => Sort(c, 1000), cancel.Token);
            AwaitSleeper(scene);
            cancel.Cancel();
            Failed<OperationCanceledException>(query);
            scene.Others.Empty();
        },
        ["whose query waited"] = static (scene, session) =>
        {
            scene.Others.Fill();
            Task<long> query = session.RunAsync("query", static c => Sort(c, 1000));
            AwaitSleeper(scene);
            scene.Others.Empty();
            Now(query);
        },
        ["that was killed"] = static (scene, session) =>
        {
            MemoryMember member = Member(scene.Group, "session");
            member.OomScoreAdjustment = 0;
            member.Kill("to be forgotten");
            Assert.True(SpinWait.SpinUntil(() => member.IsExited, Deadline), "it is not closed");
        },
        ["that was asked for its pages"] = static (scene, session) =>
        {
            Select(session);
            Now(scene.Group.ReclaimAsync(1 << 20).AsTask());
        },
        ["that shared its cache"] = static (_, session) => Select(session),
        ["that was copied"] = static (scene, session) =>
        {
            using SqliteSession other = SqliteSession.Open("Data Source=:memory:", scene.Group, "other");
            Assert.True(session.BackupToAsync(other, "copy").Wait(Deadline));
        },
    };

    public static TheoryData<string> Names => [.. Kinds.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Session_that_is_closed_is_collected_while_its_group_lives(string kind)
    {
        using var scene = new Scene(kind);
        WeakReference[][] sessions = [.. Enumerable.Range(0, Opened).Select(_ => OpenAndClose(scene, Kinds[kind]))];

        AssertForgotten(sessions);
    }

    [Theory]
    [InlineData("")]
    [InlineData(";Cache=Shared")]
    public void Session_that_nobody_disposed_is_closed_with_its_group_and_collected(string options)
    {
        using var database = new TestDatabase();
        long before = SqliteMemory.BytesInUse;
        WeakReference[][] sessions =
            [.. Enumerable.Range(0, Opened).Select(_ => OpenAndLeave(database, database.ConnectionString + options))];

        Assert.True(SpinWait.SpinUntil(() => SqliteMemory.BytesInUse == before, Deadline), "one is open still");
        AssertForgotten(sessions);
    }

    private static void AssertForgotten(WeakReference[][] sessions)
    {
        int[] alive = Survivors.Count(sessions, MostAlive, Patience);
        Assert.All(alive, static count => Assert.InRange(count, 0, MostAlive));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference[] OpenAndLeave(TestDatabase database, string connectionString)
    {
        MemoryGroup group = database.Group("request");
        SqliteSession session = SqliteSession.Open(connectionString, group, "session");
        Select(session);
        WeakReference[] things = Things(session);
        group.Dispose();
        return things;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference[] OpenAndClose(Scene scene, Action<Scene, SqliteSession> use)
    {
        SqliteSession session = SqliteSession.Open(scene.ConnectionString, scene.Group, "session");
        WeakReference[] things = Things(session);
        use(scene, session);
        session.Dispose();
        return things;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference[] Things(SqliteSession session) =>
    [
        new(session), new(session.Account.Member), new(session.Account), new(session.Connection), new(session.Worker),
        new(session.Interrupt),
    ];

    private static long One(SqliteConnection connection) =>
        Scalar<long>(connection, "SELECT count(*) FROM sqlite_master");

    private static void Select(SqliteSession session) => Now(session.RunAsync("query", One));

    private static void AwaitSleeper(Scene scene) =>
        Assert.True(SpinWait.SpinUntil(() => scene.Root.WaitingCharges > 0, Deadline), "it does not wait");

    private static void Now<T>(Task<T> task) => Assert.True(task.Wait(Deadline), "it does not end");

    private static void Failed<TError>(Task task)
        where TError : Exception =>
        Assert.ThrowsAny<TError>(() => task.WaitAsync(Deadline).GetAwaiter().GetResult());

    // A group with room for a small query, and what stays in it.
    private sealed class Scene : IDisposable
    {
        private readonly TestDatabase _database = new();
        private readonly SqliteSession? _sharer;

        internal Scene(string kind)
        {
            Group = _database.Group(max: 2 << 20);
            Group.Oom.KillDisabled = true;
            ConnectionString = _database.ConnectionString;
            Others = new Hoard(Group.CreateMember("others"));
            if (kind == "that shared its cache")
            {
                ConnectionString += ";Cache=Shared";
                _sharer = SqliteSession.Open(ConnectionString, Group, "sharer");
            }
        }

        internal MemoryRoot Root => _database.Root;

        internal MemoryGroup Group { get; }

        internal string ConnectionString { get; }

        internal CancellationTokenSource Callers { get; } = new();

        internal Hoard Others { get; }

        public void Dispose()
        {
            _sharer?.Dispose();
            Callers.Dispose();
            _database.Dispose();
        }
    }

    // All but a little of what is free.
    private sealed class Hoard(MemoryMember member)
    {
        private const long Part = 16 * 1024;

        private long _held;

        internal void Fill()
        {
            while (member.TryCharge(Part))
            {
                _held += Part;
            }
        }

        internal void Empty()
        {
            member.Uncharge(_held);
            _held = 0;
        }
    }
}
