// THE story of one governed query: run it, and do about a refusal or a kill what cannot be done inside SQLite.
//
//   try      on the session's thread, every allocation charged to the query's member
//   refused  SQLite has unwound, holds no lock and no cursor; what it freed is still charged to the query
//            (SqliteAccount's credit), so that the OOM killer sees who really holds the memory. First the page cache of
//            this connection is given up. Then a generous amount, or what there is of it, is charged with nobody killed
//            for it, and kept as credit for the next try: with no more than the refused bytes it would soon be refused
//            again, and has only three tries; room that is found and not kept goes to whoever allocates fastest. If
//            there is too little to be of use, the refused bytes are charged in full earnest: reclaim, OOM protocol,
//            wait. Who was refused before asks in earnest for a useful amount, because the refused bytes alone may just
//            fit and help nobody; but not for as much as it holds, or it could die for bytes that it does not need.
//   killed   the statement is interrupted and the query ends with OomKilledException
//   end      blocks that outlive the query pass to the session
//
// A query is only tried again if nothing shows that it was tried before: not when it began inside a transaction of an
// earlier query, and not when it has changed a row.
//
// Must stay true: whatever happens, the connection is left without running statements and without a transaction that a
// failed query began; the account is handed over before the member exits.
using System.Runtime.ExceptionServices;
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Sqlite;

internal sealed class SqliteRun<T>(
    SqliteSession session,
    MemoryMember member,
    Func<SqliteConnection, T> query,
    CancellationToken cancel,
    CancellationToken callers)
{
    internal const int MaxRetries = 3;

    // Never thrown: it stands for "stopped before SQLite was called".
    private static readonly OperationCanceledException NotBegun = new("The query was stopped before it began.");

    private readonly SqliteAccount _account = new(member);
    private bool _mayRepeat;
    private MemoryLimitExceededException? _lastRefusal;

    private readonly record struct Outcome(T? Value, Exception? Error);

    internal async Task<T> ExecuteAsync()
    {
        try
        {
            using CancellationTokenRegistration killed = member.Killed.UnsafeRegister(Stop, this);
            using CancellationTokenRegistration cancelled = cancel.UnsafeRegister(Stop, this);
            for (int retries = 0; ; retries++)
            {
                Outcome outcome = await session.Worker.RunAsync(TryOnce).ConfigureAwait(false);
                if (outcome.Error is not { } error)
                {
                    return outcome.Value!;
                }

                ThrowIfStopped(error);
                if (_account.Refused == 0 || !SqliteFailure.IsOutOfMemory(error))
                {
                    ExceptionDispatchInfo.Throw(error);
                }

                if (retries == MaxRetries || !_mayRepeat)
                {
                    throw Refusal(error, retries);
                }

                await MakeRoomAsync(error, retries).ConfigureAwait(false);
            }
        }
        finally
        {
            _account.HandOverTo(session.Account);
            session.SettleKillability();
        }

        static void Stop(object? run) => ((SqliteRun<T>)run!).Stop();
    }

    private void Stop() => session.Interrupt.Stop(this);

    // On the session's thread. Never throws.
    private Outcome TryOnce()
    {
        SqliteNative native = SqliteMemory.Native;
        nint db = session.Db;
        _account.ForgetRefusal();
        session.Interrupt.Begin(this);
        bool began = native.IsInTransaction(db);
        int changes = native.TotalChanges(db);
        SqliteBlocks.Current = _account;
        try
        {
            Outcome outcome = Call();
            session.Interrupt.End();

            // Cleaning up is never refused: it is charged to nobody's query.
            SqliteBlocks.Current = null;

            // The interrupt stays in force while a statement is active; it must not meet the next query.
            bool abandoned = native.ResetBusyStatements(db);
            if (!session.HasItsConnection)
            {
                session.Dispose();
                return outcome with { Error = outcome.Error ?? SqliteFailure.ConnectionClosed(member.Name) };
            }

            if (abandoned && outcome.Error is null)
            {
                outcome = new Outcome(default, SqliteFailure.Abandoned(member.Name));
            }

            if (outcome.Error is not null)
            {
                if (!began)
                {
                    SqliteRollback.Run(session);
                }

                _mayRepeat = !began && native.TotalChanges(db) == changes;
                if (_account.Refused > 0)
                {
                    native.ReleaseMemory(db);
                }
            }

            return outcome;
        }
        finally
        {
            SqliteBlocks.Current = null;
        }
    }

    private Outcome Call()
    {
        try
        {
            // After Begin: whoever stopped the run before it found nothing to stop.
            if (member.IsKilled || cancel.IsCancellationRequested)
            {
                return new Outcome(default, NotBegun);
            }

            return new Outcome(query(session.Connection), null);
        }
        catch (Exception error)
        {
            return new Outcome(default, error);
        }
    }

    private async Task MakeRoomAsync(Exception error, int retries)
    {
        long refused = _account.Refused;
        long useful = UsefulRoom(member.Group, retries);
        bool granted = false;
        for (long room = Math.Max(useful, _account.Charged << retries); room >= useful && !granted; room /= 2)
        {
            granted = await TryChargeAsync(refused + room, ChargeFlags.NoRetry, error).ConfigureAwait(false);
        }

        if (!granted && retries > 0)
        {
            granted = await TryChargeAsync(refused + useful, ChargeFlags.None, error).ConfigureAwait(false);
        }

        if (!granted)
        {
            await ChargeAsync(refused, ChargeFlags.None, error).ConfigureAwait(false);
        }

        // Stopped since: the next try would not begin, and would not know what this one failed of.
        ThrowIfStopped(error);
    }

    // What makes another try worth while: megabytes, if the smallest limit bears it.
    private static long UsefulRoom(MemoryGroup group, int retries)
    {
        long limit = group.Root.Capacity;
        for (MemoryGroup at = group; at.Parent is { } parent; at = parent)
        {
            limit = Math.Min(limit, at.Max);
        }

        return Math.Max(SqliteAccount.Granule, Math.Min(1L << (20 + retries), limit / 16));
    }

    private async Task<bool> TryChargeAsync(long bytes, ChargeFlags flags, Exception error)
    {
        try
        {
            await ChargeAsync(bytes, flags, error).ConfigureAwait(false);
            return true;
        }
        catch (MemoryLimitExceededException refusal)
        {
            _lastRefusal = refusal;
            return false;
        }
    }

    // A victim needs nothing from the reserve to finish: a query finishes by ending.
    private async Task ChargeAsync(long bytes, ChargeFlags flags, Exception error)
    {
        try
        {
            await member.ChargeAsync(bytes, flags | ChargeFlags.NoReserve, cancel).ConfigureAwait(false);
            _account.AddCredit(bytes);
        }
        catch (MemoryLimitExceededException limit)
        {
            throw limit.WithInner(error);
        }
        catch (Exception stopped) when (stopped is OomKilledException or OperationCanceledException)
        {
            ThrowIfStopped(error);
            throw;
        }
    }

    // Who stopped it, if that is why it failed; a query that failed by itself keeps its own error.
    private void ThrowIfStopped(Exception error)
    {
        if (!SqliteFailure.IsOfStopping(error))
        {
            return;
        }

        if (member.IsKilled)
        {
            var killed = OomKilledException.For(member);
            throw ReferenceEquals(error, NotBegun) ? killed : killed.WithInner(error);
        }

        // Before the session, which is closed for this very reason, perhaps by now.
        if (member.IsExited)
        {
            throw new ObjectDisposedException(
                $"The group of the query '{member.Path}' was closed while it ran.", error);
        }

        session.ThrowIfClosed(error);
        if (cancel.IsCancellationRequested)
        {
            throw new OperationCanceledException($"The query '{member.Path}' was cancelled.", error, callers);
        }
    }

    // The core's own words where it still refuses, or did when room was last looked for: they name who holds the
    // memory.
    private MemoryLimitExceededException Refusal(Exception error, int retries)
    {
        long refused = _account.Refused;
        try
        {
            member.Charge(refused, ChargeFlags.NoWait);
            member.Uncharge(refused);
        }
        catch (MemoryLimitExceededException limit)
        {
            return limit.WithInner(error);
        }

        if (_lastRefusal is { } last)
        {
            return last.WithInner(error);
        }

        string why = retries == MaxRetries
            ? $"it was tried {retries + 1} times"
            : "it is not tried again, because it has changed rows or began inside a transaction";
        return new MemoryLimitExceededException(
            $"The query '{member.Path}' was refused {ByteSize.Format(refused)} while it held "
            + $"{ByteSize.Format(_account.Charged)}, and {why}. Meanwhile the memory is there: run it again, "
            + "run less at the "
            + $"same time, or raise the limits above '{member.Group.Path}'.",
            error);
    }
}
