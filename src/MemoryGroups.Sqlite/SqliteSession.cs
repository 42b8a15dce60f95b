// One connection under a group: its own member for what outlives queries, a member for each query, one query at a time.
//
// Must stay true: who holds _use is alone with the connection (a query, the page cache's reclaimer, the close); the
// close takes it for good. Nobody waits for it but a query, and that only for a reclaim, which is short.
//
// Killing a session means closing its connection. A session that holds little (a page cache, which is reclaimed, and
// the schema) is never killed for it; one that holds much (temporary tables, a database in memory) is a candidate like
// any query, or a tenant could hoard beyond everybody's reach by spreading it over many small queries.
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Sqlite;

/// <summary>A SQLite connection whose memory is charged to a group, query by query.</summary>
/// <remarks>
/// <para>
/// What SQLite allocates during a query is charged to a member of its own, which can be killed: the running statement
/// is then interrupted. What outlives the query (page cache, schema, statements) passes to the session's member, and
/// the page cache is reclaimed when the group is short. A session that holds more than <see cref="KillableFromBytes"/>
/// can be killed itself: its connection is then closed. Temporary tables, indexes and sorts are kept in memory, so that
/// they are charged, and files are not mapped.
/// </para>
/// <para>Thread safety: all members may be used from any thread; one query runs at a time.</para>
/// </remarks>
public sealed partial class SqliteSession : IDisposable
{
    /// <summary>
    /// A session that holds this much between its queries, in bytes, may be killed by the OOM killer: 4 MiB.
    /// </summary>
    public const long KillableFromBytes = 4 << 20;

    private const int OpenTries = 4;
    private const string Settings =
        "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2000; PRAGMA mmap_size=0;";

    private readonly MemoryMember _member;
    private readonly int _whenLarge;
    private readonly SqliteConnection _connection;
    private readonly SQLitePCL.sqlite3 _handle;
    private readonly SemaphoreSlim _use = new(1);
    private readonly CancellationTokenSource _closing = new();
    private readonly IDisposable _pageCache;
    private readonly CancellationTokenRegistration _killed;
    private readonly CancellationTokenRegistration _exited;
    private string? _runs;

    private SqliteSession(
        MemoryMember member, SqliteAccount account, SqliteConnection connection, int whenLarge, string? cacheKey)
    {
        CacheKey = cacheKey;
        _member = member;
        _whenLarge = whenLarge;
        _connection = connection;
        Account = account;
        _handle = connection.Handle!;
        Db = _handle.DangerousGetHandle();
        Worker = new QueryThread(member.Path);

        // The group may have been closed meanwhile; nothing after this fails.
        _pageCache = member.Group.AddReclaimer(new SqlitePageCache(this, member.Name));
        Interrupt = new SqliteInterrupt(SqliteMemory.Native, Db);

        // A query that closes the connection must not free what Db points to.
        bool added = false;
        _handle.DangerousAddRef(ref added);
        SqliteSharedCaches.Join(this);

        // Last: either may close it here and now. A closed group's session is of no use, and would keep its thread.
        _killed = member.Killed.UnsafeRegister(Close, this);
        _exited = member.Exited.UnsafeRegister(Close, this);

        static void Close(object? session) => ((SqliteSession)session!).Dispose();
    }

    /// <summary>
    /// The connection; to be used only inside <see cref="RunAsync"/>, else its memory is charged to nobody's query.
    /// </summary>
    public SqliteConnection Connection => _connection;

    internal SqliteAccount Account { get; }

    // Which cache it shares with other sessions; null: it has its own.
    internal string? CacheKey { get; }

    internal bool IsRunning => Volatile.Read(ref _runs) is not null;

    internal SqliteInterrupt Interrupt { get; }

    internal QueryThread Worker { get; }

    internal nint Db { get; }

    // False once a query has closed the connection, and perhaps opened it again: another one, about which we know
    // nothing.
    internal bool HasItsConnection => ReferenceEquals(_connection.Handle, _handle) && !_handle.IsClosed;

    private bool IsClosed => _closing.IsCancellationRequested;

    /// <summary>Opens a connection. Synchronous: it opens the file.</summary>
    /// <param name="connectionString">
    /// As for <see cref="SqliteConnection"/>. Pooling is switched off: a pooled connection keeps its memory after it
    /// was closed.
    /// </param>
    /// <param name="group">Charged for the connection and its queries.</param>
    /// <param name="name">
    /// The name of the session's member in the group: not empty, without '/' and control characters.
    /// </param>
    /// <returns>The session. Dispose it to close the connection; closing the group does so too.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The connection string or the name is not allowed.</exception>
    /// <exception cref="InvalidOperationException"><see cref="SqliteMemory.Install"/> has not been called.</exception>
    /// <exception cref="ObjectDisposedException">The group is closed.</exception>
    /// <exception cref="SqliteException">SQLite cannot open the file.</exception>
    /// <exception cref="MemoryLimitExceededException">
    /// The group has not the memory for a connection, also after reclaim; a <see cref="SqliteException"/> is inside.
    /// </exception>
    public static SqliteSession Open(string connectionString, MemoryGroup group, string name)
    {
        ArgumentNullException.ThrowIfNull(connectionString);
        ArgumentNullException.ThrowIfNull(group);
        ArgumentNullException.ThrowIfNull(name);
        _ = SqliteMemory.Native;
        var builder = new SqliteConnectionStringBuilder(connectionString) { Pooling = false };
        string? cacheKey = SqliteSharedCaches.KeyOf(builder);
        MemoryMember member = group.CreateMember(name);
        int whenLarge = member.OomScoreAdjustment;
        member.OomScoreAdjustment = MemoryMember.NeverKill;
        var account = new SqliteAccount(member);
        SqliteConnection? connection = null;
        try
        {
            connection = Connect(builder.ToString(), account);
            return new SqliteSession(member, account, connection, whenLarge, cacheKey);
        }
        catch
        {
            connection?.Dispose();
            account.HandOverTo(SqliteBlocks.Unattributed!);
            member.Dispose();
            throw;
        }
    }

    /// <summary>Runs a query on the session's own thread, charged to a member of its own.</summary>
    /// <typeparam name="T">What the query answers. It must not hold on to the connection or a reader.</typeparam>
    /// <param name="queryName">
    /// The name of the query's member in the group: not empty, without '/' and control characters. Need not be unique.
    /// </param>
    /// <param name="query">
    /// The query. When it is refused memory it is run again, at most three times, after memory was found for it: it
    /// should have no effects but its result and the database. It is not run again once it has changed a row, or when
    /// it began inside a transaction.
    /// </param>
    /// <param name="cancellationToken">Interrupts the running statement and ends the wait for memory.</param>
    /// <returns>What the query answered.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="query"/> is null.</exception>
    /// <exception cref="ArgumentException"><paramref name="queryName"/> is not allowed.</exception>
    /// <exception cref="ObjectDisposedException">The session or its group is closed, or was closed while the query
    /// ran.</exception>
    /// <exception cref="InvalidOperationException">
    /// Another query is running on this session, or the query returned while a statement of its was still running, or
    /// it closed the connection; the session is closed then.
    /// </exception>
    /// <exception cref="OomKilledException">
    /// The query was killed, and SQLite's own exception is inside; or the session was, now or earlier.
    /// </exception>
    /// <exception cref="MemoryLimitExceededException">The query was refused memory; SQLite's own exception is
    /// inside.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<T> RunAsync<T>(
        string queryName, Func<SqliteConnection, T> query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(queryName);
        ArgumentNullException.ThrowIfNull(query);
        return RunAloneAsync(queryName, query, cancellationToken);
    }

    /// <summary>
    /// Closes the connection and returns its memory. A query that is running is interrupted, and the connection is
    /// closed when it has ended: this does not wait for it. Closing twice is harmless.
    /// </summary>
    public void Dispose()
    {
        _closing.Cancel();
        CloseIfAlone();
    }

    internal void ThrowIfClosed(Exception? inner = null)
    {
        if (IsClosed && _member.IsKilled)
        {
            var killed = OomKilledException.For(_member);
            throw inner is null ? killed : killed.WithInner(inner);
        }

        if (IsClosed)
        {
            throw new ObjectDisposedException($"The SQLite session '{_member.Path}' is closed.", inner);
        }
    }

    // After each query: what it left behind counts from now on. Killable as its group says, which may be never.
    internal void SettleKillability() =>
        _member.OomScoreAdjustment = Account.InUse < KillableFromBytes ? MemoryMember.NeverKill : _whenLarge;

    // For the reclaimer: the pages that no statement uses, all of them, because SQLite offers no part.
    internal long ReleasePages()
    {
        if ((CacheKey is not null && SqliteSharedCaches.IsInUse(CacheKey)) || !_use.Wait(0))
        {
            return 0;
        }

        long before = Account.InUse;
        SqliteMemory.Native.ReleaseMemory(Db);
        long released = Math.Max(0, before - Account.InUse);
        _use.Release();
        if (IsClosed)
        {
            CloseIfAlone();
        }

        return released;
    }

    private static SqliteConnection Connect(string settings, SqliteAccount account)
    {
        for (int tries = 1; ; tries++)
        {
            try
            {
                account.ForgetRefusal();
                return ConnectOnce(settings, account);
            }
            catch (SqliteException error) when (account.Member.IsExited && SqliteFailure.IsOutOfMemory(error))
            {
                throw new ObjectDisposedException(
                    $"The group of '{account.Member.Path}' was closed while it was opened.", error);
            }
            catch (SqliteException error) when (account.Refused > 0 && SqliteFailure.IsOutOfMemory(error))
            {
                // What the failed try held stays charged as credit until here: the next one needs it besides.
                long needed = account.Charged + account.Refused;
                account.DropCredit();
                MakeRoom(account, needed, error, tries);
            }
        }
    }

    private static SqliteConnection ConnectOnce(string settings, SqliteAccount account)
    {
        SqliteAccount? outer = SqliteBlocks.Current;
        SqliteBlocks.Current = account;
        var connection = new SqliteConnection(settings);
        try
        {
            connection.Open();
            SqliteMemory.Native.ForbidWorkerThreads(connection.Handle!.DangerousGetHandle());
            using SqliteCommand command = connection.CreateCommand();
            command.CommandText = Settings;
            command.ExecuteNonQuery();
            account.DropCredit();
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
        finally
        {
            SqliteBlocks.Current = outer;
        }
    }

    // Opening never kills and never waits; a connection needs about a hundred kilobytes, and its schema besides. A
    // refusal names only the next block, and there are few tries: so several times as much, if it is to be had.
    private static void MakeRoom(SqliteAccount account, long needed, SqliteException error, int tries)
    {
        const long connectionBytes = 128 * 1024;
        long least = Math.Max(connectionBytes, needed);
        if (tries < OpenTries && RefusalOf(account.Member, least << tries, ChargeFlags.None) is null)
        {
            return;
        }

        if (RefusalOf(account.Member, least, tries < OpenTries ? ChargeFlags.None : ChargeFlags.NoWait) is { } limit)
        {
            throw limit.WithInner(error);
        }

        if (tries == OpenTries)
        {
            throw new MemoryLimitExceededException(
                $"'{account.Member.Path}' could not be opened: memory for it was found and taken by others {tries} "
                + "times. Try again, run less at the same time, or raise the limits above "
                + $"'{account.Member.Group.Path}'.", error);
        }
    }

    // Null: there is room for so many bytes.
    private static MemoryLimitExceededException? RefusalOf(MemoryMember member, long bytes, ChargeFlags flags)
    {
        try
        {
            member.Charge(bytes, flags);
            member.Uncharge(bytes);
            return null;
        }
        catch (MemoryLimitExceededException limit)
        {
            return limit;
        }
    }

    private Task<T> RunAloneAsync<T>(string queryName, Func<SqliteConnection, T> query, CancellationToken cancel) =>
        HoldAsync(
            queryName,
            async stop =>
            {
                using MemoryMember member = _member.Group.CreateMember(queryName);
                return await new SqliteRun<T>(this, member, query, stop, cancel).ExecuteAsync().ConfigureAwait(false);
            },
            cancel);

    // Alone with the connection, under the name of a query.
    private async Task<T> HoldAsync<T>(
        string queryName, Func<CancellationToken, Task<T>> work, CancellationToken cancel)
    {
        ThrowIfClosed();
        if (Interlocked.CompareExchange(ref _runs, queryName, null) is { } other)
        {
            throw new InvalidOperationException(
                $"The session '{_member.Path}' is running '{other}', so it cannot run '{queryName}': a connection runs "
                + "one query at a time. Await the first one, or open another session.");
        }

        try
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel, _closing.Token);
            await _use.WaitAsync(stop.Token).ConfigureAwait(false);
            try
            {
                return await work(stop.Token).ConfigureAwait(false);
            }
            finally
            {
                _use.Release();
            }
        }
        catch (OperationCanceledException stopped) when (stopped.InnerException is null)
        {
            ThrowIfClosed(stopped);
            throw new OperationCanceledException($"The query '{queryName}' was cancelled.", stopped, cancel);
        }
        finally
        {
            Volatile.Write(ref _runs, null);
            if (IsClosed)
            {
                CloseIfAlone();
            }
        }
    }

    // Whoever leaves the connection last closes it: Dispose, or the query or reclaim that was in its way.
    private void CloseIfAlone()
    {
        if (!_use.Wait(0))
        {
            return;
        }

        _pageCache.Dispose();
        _killed.Unregister();
        _exited.Unregister();
        Interrupt.Dispose();

        // Never refused, and so charged to nobody's query: it takes back the transaction that is open, and a close that
        // fails would leave the connection and all that it holds behind.
        SqliteAccount? outer = SqliteBlocks.Current;
        SqliteBlocks.Current = null;
        try
        {
            SqliteRollback.Run(this);
            _connection.Dispose();
            _handle.DangerousRelease();
        }
        finally
        {
            SqliteBlocks.Current = outer;
        }

        Worker.Dispose();
        SqliteSharedCaches.Leave(this);
        _member.Dispose();
    }
}
