// Many sessions at once under a budget that is too small for them, with kills, cancellations and closes at random
// moments.
//
// The threads are real, so a seed repeats the load, not the interleaving. Whatever happened: every query ended, with a
// result or with one of the errors it may end with; the limit was never exceeded but by victims, out of the reserve;
// the books are exact, and empty at the end.

using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class RandomLoadTests
{
    private const long Mega = 1 << 20;
    private const int Queries = 40;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    public async Task Random_load_ends_with_exact_and_empty_books(int seed)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        long before = SqliteMemory.BytesInUse;
        using (var database = new TestDatabase(capacity: 64 * Mega))
        {
            await database.FillAsync(3000);
            MemoryGroup tenants = database.Group("tenants", 12 * Mega);
            Task<int>[] loads = [.. Enumerable.Range(0, 4).Select(tenant =>
                LoadAsync(database, tenants.CreateGroup($"tenant{tenant}"), new Random(seed * 100 + tenant)))];

            int[] succeeded = await Task.WhenAll(loads).WaitAsync(Deadline, TestContext.Current.CancellationToken);

            string found = $"{string.Join(", ", succeeded)} of {Queries} queries each succeeded";
            Assert.True(succeeded.Sum() > Queries, found);

            // Victims may go beyond it, by the root's reserve and no more, to finish.
            Assert.InRange(tenants.PeakUsage, Mega, (12 * Mega) + database.Root.OomReserveBytes);

            // A session that was killed is closed by whoever killed it, perhaps just now.
            Assert.True(
                SpinWait.SpinUntil(() => tenants.UsageLower == 0, Deadline), $"{tenants.UsageLower} bytes are left");
        }

        Assert.True(
            SpinWait.SpinUntil(() => SqliteMemory.BytesInUse == before, Deadline),
            $"{SqliteMemory.BytesInUse} bytes in use, {before} before");
    }

    private static async Task<int> LoadAsync(TestDatabase database, MemoryGroup group, Random random)
    {
        int succeeded = 0;
        SqliteSession? session = null;
        for (int i = 0; i < Queries; i++)
        {
            using var cancel = new CancellationTokenSource();
            try
            {
                session ??= SqliteSession.Open(database.ConnectionString, group, "session");
                Task<long> query = StartRandom(session, $"q{i}", random, cancel.Token);
                Disturb(group, session, cancel, random);
                await query;
                succeeded++;
            }
            catch (Exception error) when (
                error is OomKilledException or MemoryLimitExceededException or OperationCanceledException)
            {
                // One of the ways to end. A session that was killed itself refuses every query from then on.
                bool closed = error is OomKilledException { MemberPath: var path }
                    && path.EndsWith("/session", StringComparison.Ordinal);
                session = closed ? null : session;
            }
            catch (ObjectDisposedException)
            {
                session = null;
            }
        }

        session?.Dispose();
        return succeeded;
    }

    private static Task<long> StartRandom(SqliteSession session, string name, Random random, CancellationToken cancel)
    {
        int size = random.Next(100, 12_000);
        return random.Next(5) switch
        {
            0 => session.RunAsync(name, connection => Sort(connection, 3 * size), cancel),
            1 => session.RunAsync(
                name, connection => Scalar<long>(connection, $"SELECT count(*) FROM t WHERE id < {size}"), cancel),
            2 => session.RunAsync(
                name,
                connection => Scalar<long>(connection, "SELECT length(group_concat(text, 'and')) FROM t"),
                cancel),
            3 => session.RunAsync(
                name,
                connection => (long)Execute(
                    connection,
                    "CREATE TEMP TABLE IF NOT EXISTS hoard(a);"
                    + $"INSERT INTO hoard SELECT zeroblob({size}) FROM t LIMIT 200"),
                cancel),
            _ => session.RunAsync(name, connection => Sort(connection, size / 4), cancel),
        };
    }

    private static void Disturb(MemoryGroup group, SqliteSession session, CancellationTokenSource cancel, Random random)
    {
        switch (random.Next(12))
        {
            case 0:
                group.Kill("a test");
                break;
            case 1:
                cancel.Cancel();
                break;
            case 2:
                session.Dispose();
                break;
            default:
                break;
        }
    }
}
