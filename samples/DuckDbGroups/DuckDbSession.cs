// An instance of the engine under a group: a member for what outlives queries, a member for each query, one query at a
// time. The same shape as a session of SQLite, so that a service can offer both.
//
// A ticking timer keeps the engine's limit ahead of its usage while a query runs, and repeats the order to stop: the
// engine forgets one that comes just before a statement starts. It stops ticking when nothing has run for a while.
//
// Must stay true: who holds _use is alone with the connection (a query, the close); the close takes it for good. When
// the session is closed and its last query has ended, both members are at zero.

using MemoryGroups;
using MemoryGroups.Sqlite;

namespace DuckDbGroups;

/// <summary>An instance of DuckDB whose memory is charged to a group, query by query.</summary>
/// <remarks>
/// <para>
/// What the engine may use is what is charged: never less. A query that needs more than its group has spills, if it
/// may, else it asks for memory like any charge (reclaim, OOM protocol, wait) and is run again. Killing a query
/// interrupts it; killing the session, which is possible when it holds more than <see cref="KillableFromBytes"/>,
/// closes it. What
/// the engine takes outside its buffer pool (its program, catalogs, a few megabytes) is not charged.
/// </para>
/// <para>Thread safety: all members may be used from any thread; one query runs at a time.</para>
/// </remarks>
public sealed class DuckDbSession : IDisposable
{
    /// <summary>
    /// A session whose engine holds this much between its queries, in bytes, may be killed by the OOM killer: 16 MiB.
    /// </summary>
    public const long KillableFromBytes = 16 << 20;

    // After so many ticks without a query the session rests.
    private const int IdleTicks = 10;
    private static readonly TimeSpan FirstTick = TimeSpan.FromMilliseconds(4);
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(10);

    private readonly MemoryMember _member;
    private readonly int _whenLarge;
    private readonly DuckDbDatabase _database;
    private readonly SemaphoreSlim _use = new(1);
    private readonly CancellationTokenSource _closing = new();
    private readonly IDisposable _reclaimer;
    private readonly CancellationTokenRegistration _killed;
    private readonly CancellationTokenRegistration _exited;
    private readonly Lock _gate = new();
    private readonly ITimer _timer;

    // Guarded by the gate.
    private DuckDbTicks? _running;
    private int _idleTicks;
    private bool _isTicking;

    private string? _runs;

    private DuckDbSession(MemoryMember member, int whenLarge, DuckDbDatabase database)
    {
        _member = member;
        _whenLarge = whenLarge;
        _database = database;
        Connection = database.Connect();
        try
        {
            Budget = new DuckDbBudget(database, member, TimeProvider.System);
            _reclaimer = AddReclaimer(Budget, member);
        }
        catch
        {
            // Or the instance would live on, with its file, whatever becomes of its handle.
            Connection.Dispose();
            throw;
        }

        Worker = new QueryThread(member.Path);
        _timer = TimeProvider.System.CreateTimer(
            static session => ((DuckDbSession)session!).OnTick(), this, Timeout.InfiniteTimeSpan,
            Timeout.InfiniteTimeSpan);
        _killed = member.Killed.UnsafeRegister(Close, this);
        _exited = member.Exited.UnsafeRegister(Close, this);

        static void Close(object? session) => ((DuckDbSession)session!).Dispose();
    }

    /// <summary>The engine's limit right now, in bytes: what the session and its query are charged for.</summary>
    public long LimitBytes => Budget.LimitBytes;

    internal DuckDbConnection Connection { get; }

    internal DuckDbBudget Budget { get; }

    internal QueryThread Worker { get; }

    private bool IsClosed => _closing.IsCancellationRequested;

    /// <summary>Opens an instance. Synchronous: it opens the file. Neither waits for memory nor kills.</summary>
    /// <param name="options">How to open it.</param>
    /// <param name="group">Charged for the instance and its queries.</param>
    /// <param name="name">The name of the session's member in the group: not empty, without '/'.</param>
    /// <returns>The session. Dispose it to close the instance.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The name is not allowed.</exception>
    /// <exception cref="ObjectDisposedException">The group is closed.</exception>
    /// <exception cref="DuckDbException">The engine cannot open the file.</exception>
    /// <exception cref="DllNotFoundException">The library is not there.</exception>
    /// <exception cref="MemoryLimitExceededException">The group has not the 2 MiB for an instance, also after
    /// reclaim.</exception>
    public static DuckDbSession Open(DuckDbOptions options, MemoryGroup group, string name)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(group);
        MemoryMember member = group.CreateMember(name);
        int whenLarge = member.OomScoreAdjustment;
        member.OomScoreAdjustment = MemoryMember.NeverKill;
        DuckDbDatabase? database = null;
        long charged = 0;
        try
        {
            member.Charge(DuckDbBudget.LeastBytes);
            charged = DuckDbBudget.LeastBytes;
            database = DuckDbDatabase.Open(options, DuckDbBudget.LeastBytes);
            return new DuckDbSession(member, whenLarge, database);
        }
        catch
        {
            database?.Dispose();
            member.Uncharge(charged);
            member.Dispose();
            throw;
        }
    }

    /// <summary>Runs a query on the session's own thread, charged to a member of its own.</summary>
    /// <typeparam name="T">What the query answers. It must not hold on to the connection or a reader.</typeparam>
    /// <param name="queryName">The name of the query's member in the group: not empty, without '/'. Need not be
    /// unique.</param>
    /// <param name="query">
    /// The query. When the engine finds no memory for it, it is run again after memory was found, at most eight times,
    /// unless a statement that is no query has succeeded in it: a statement that failed has left nothing behind. A
    /// transaction ends with the query that began it.
    /// </param>
    /// <param name="cancellationToken">Interrupts the running statement and ends the wait for memory.</param>
    /// <returns>What the query answered.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="query"/> is null.</exception>
    /// <exception cref="ArgumentException"><paramref name="queryName"/> is not allowed.</exception>
    /// <exception cref="ObjectDisposedException">The session or its group is closed, or was closed while the query
    /// ran.</exception>
    /// <exception cref="InvalidOperationException">Another query is running on this session.</exception>
    /// <exception cref="OomKilledException">The query was killed, or the session was.</exception>
    /// <exception cref="MemoryLimitExceededException">The query was refused memory; the engine's own exception is
    /// inside.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async Task<T> RunAsync<T>(
        string queryName, Func<DuckDbConnection, T> query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(queryName);
        ArgumentNullException.ThrowIfNull(query);
        ThrowIfClosed();
        if (Interlocked.CompareExchange(ref _runs, queryName, null) is { } other)
        {
            throw new InvalidOperationException(
                $"The session '{_member.Path}' is running '{other}', so it cannot run '{queryName}': one query at a "
                + "time. Await the first one, or open another session.");
        }

        try
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _closing.Token);
            await _use.WaitAsync(stop.Token).ConfigureAwait(false);
            try
            {
                using MemoryMember member = _member.Group.CreateMember(queryName);
                return await new DuckDbRun<T>(this, member, query, stop.Token, cancellationToken)
                    .ExecuteAsync().ConfigureAwait(false);
            }
            finally
            {
                _use.Release();
            }
        }
        catch (OperationCanceledException stopped) when (stopped.InnerException is null)
        {
            ThrowIfClosed(stopped);
            throw new OperationCanceledException(
                $"The query '{queryName}' was cancelled.", stopped, cancellationToken);
        }
        finally
        {
            Volatile.Write(ref _runs, null);
            if (IsClosed) CloseIfAlone();
        }
    }

    /// <summary>
    /// Closes the instance and returns its memory. A query that is running is interrupted, and the instance is closed
    /// when it has ended: this does not wait for it. Closing twice is harmless.
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

        if (IsClosed) throw new ObjectDisposedException($"The DuckDB session '{_member.Path}' is closed.", inner);
    }

    internal void BeginTicking(DuckDbTicks run)
    {
        lock (_gate)
        {
            _running = run;
            _idleTicks = 0;
            if (_isTicking) return;
            _isTicking = true;
        }

        _timer.Change(FirstTick, Tick);
    }

    internal void EndTicking()
    {
        lock (_gate) _running = null;

        // What is left behind counts from now on. Killable as its group says, which may be never.
        _member.OomScoreAdjustment =
            Budget.RestingBytes < KillableFromBytes ? MemoryMember.NeverKill : _whenLarge;
    }

    // The group may have been closed while the instance was opened.
    private static IDisposable AddReclaimer(DuckDbBudget budget, MemoryMember member)
    {
        try
        {
            return member.Group.AddReclaimer(new DuckDbReclaimer(budget, member.Name));
        }
        catch
        {
            budget.Dispose();
            throw;
        }
    }

    private void OnTick()
    {
        DuckDbTicks? running;
        bool rests = false;
        lock (_gate)
        {
            running = _running;
            if (running is null && ++_idleTicks >= IdleTicks)
            {
                rests = _isTicking;
                _isTicking = false;
            }
        }

        running?.Tick();
        if (!rests) return;
        _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        Budget.Rest();

        // A query that began in between may have set the timer before it was stopped.
        lock (_gate)
        {
            if (!_isTicking) return;
        }

        _timer.Change(Tick, Tick);
    }

    // Whoever leaves the instance last closes it: Dispose, or the query that was in its way.
    private void CloseIfAlone()
    {
        if (!_use.Wait(0)) return;
        _timer.Dispose();
        _reclaimer.Dispose();
        _killed.Unregister();
        _exited.Unregister();
        Budget.Dispose();
        Connection.Dispose();
        _database.Dispose();
        Worker.Dispose();
        Budget.ReturnAll();
        _member.Dispose();
    }
}
