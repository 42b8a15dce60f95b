// THE story of one governed query: run it, keep the engine's limit ahead of it, and do about a refusal or a kill what
// the engine cannot do.
//
//   try      on the session's thread
//   tick     every few milliseconds: the limit is kept ahead of the usage. What is not to be had at once is asked for
//            with one round of reclaim and nobody killed; meanwhile the engine spills, if it may
//   refused  the engine found nothing within its limit and nothing to spill: the statement has failed and its memory is
//            free in the engine, but still charged to the query, so that the OOM killer sees who needs so much. As much
//            again is charged with nobody killed for it; if not a useful part of that is to be had, a useful part is
//            charged in full earnest: reclaim, OOM protocol, wait. Then the query is run again
//   killed   the statement is interrupted and the query ends with OomKilledException
//   end      what outlives the query passes to the session
//
// Must stay true: whatever happens, no transaction is left open and the query's member holds nothing when it exits.

using System.Runtime.ExceptionServices;
using MemoryGroups;

namespace DuckDbGroups;

// What the session's timer calls while a query runs.
internal abstract class DuckDbTicks
{
    internal abstract void Tick();
}

internal sealed class DuckDbRun<T>(
    DuckDbSession session,
    MemoryMember member,
    Func<DuckDbConnection, T> query,
    CancellationToken cancel,
    CancellationToken callers) : DuckDbTicks
{
    // So many useful parts are the smallest limit, so a query that fails of its last try had all that there is.
    internal const int MaxRetries = 8;

    // The usage of a query that does not grow is polled at every so many ticks.
    private const int SeldomTicks = 5;

    private readonly DuckDbBudget _budget = session.Budget;
    private bool _stop;
    private bool _isGrowing;
    private int _ticks;

    private readonly record struct Outcome(T? Value, Exception? Error);

    internal async Task<T> ExecuteAsync()
    {
        session.Connection.Begin(this);
        _budget.BeginQuery(member);
        try
        {
            using CancellationTokenRegistration killed = member.Killed.UnsafeRegister(Stop, this);
            using CancellationTokenRegistration cancelled = cancel.UnsafeRegister(Stop, this);
            session.BeginTicking(this);
            for (int retries = 0; ; retries++)
            {
                Outcome outcome = await session.Worker.RunAsync(TryOnce).ConfigureAwait(false);
                if (outcome.Error is not { } error) return outcome.Value!;

                ThrowIfStopped(error);
                if (DuckDbException.In(error) is not { IsOutOfMemory: true }) ExceptionDispatchInfo.Throw(error);
                if (retries == MaxRetries || !session.Connection.HasOnlyRead) throw Refusal(error, retries);
                await MakeRoomAsync(error, retries).ConfigureAwait(false);
            }
        }
        finally
        {
            session.Connection.End();
            _budget.EndQuery();
            session.EndTicking();
        }

        static void Stop(object? run) => ((DuckDbRun<T>)run!).Stop();
    }

    // On the timer's thread, and perhaps when the run has just ended. Never throws.
    internal override void Tick()
    {
        if (Volatile.Read(ref _stop))
        {
            session.Connection.Stop(this);
            return;
        }

        // Short queries see one tick or none.
        _ticks++;
        if (_ticks == 1 || (_ticks > 2 && !_budget.IsMoving && _ticks % SeldomTicks != 0)) return;
        long wanted = _budget.KeepAhead();
        if (wanted > 0 && !Interlocked.Exchange(ref _isGrowing, true)) _ = GrowAsync(wanted);
    }

    private void Stop()
    {
        Volatile.Write(ref _stop, true);
        session.Connection.Stop(this);
    }

    // Beside the query: it goes on meanwhile, within its limit.
    private async Task GrowAsync(long bytes)
    {
        try
        {
            await TryChargeAsync(bytes, keep: false).ConfigureAwait(false);
        }
        catch (Exception error) when (error is OomKilledException or OperationCanceledException
            or ObjectDisposedException)
        {
            // The query has been stopped, or has ended.
        }
        finally
        {
            Volatile.Write(ref _isGrowing, false);
        }
    }

    // On the session's thread. Never throws.
    private Outcome TryOnce()
    {
        DuckDbConnection connection = session.Connection;
        connection.HasOnlyRead = true;
        try
        {
            connection.ThrowIfStopped();
            return new Outcome(query(connection), null);
        }
        catch (Exception error)
        {
            return new Outcome(default, error);
        }
        finally
        {
            connection.CloseReaders();
            bool onlyRead = connection.HasOnlyRead;
            if (!(onlyRead && connection.HasLetGo)) LetGo(connection);
            connection.HasOnlyRead = onlyRead;
        }
    }

    // Ends a transaction that was left open, and whatever the engine holds for a query that was not read to its end: it
    // keeps that until the next statement. That there is nothing to roll back is an error of the engine, and fine. An
    // order to stop, which the timer repeats, must not reach this one: the next query would run in the transaction that
    // is left, and lose what it changes.
    private void LetGo(DuckDbConnection connection)
    {
        connection.End();
        try
        {
            connection.Execute("ROLLBACK");
        }
        catch (DuckDbException)
        {
        }

        connection.Begin(this);
        if (Volatile.Read(ref _stop)) connection.Stop(this);
    }

    private async Task MakeRoomAsync(Exception error, int retries)
    {
        try
        {
            long useful = UsefulRoom(retries);
            bool granted = false;
            for (long room = Math.Max(useful, _budget.LimitBytes); room >= useful && !granted; room /= 2)
                granted = await TryChargeAsync(room, keep: true).ConfigureAwait(false);
            if (!granted) await ChargeAsync(useful, ChargeFlags.None, keep: true).ConfigureAwait(false);
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

        ThrowIfStopped(error);
    }

    // One round of reclaim, and nobody killed.
    private async Task<bool> TryChargeAsync(long bytes, bool keep)
    {
        try
        {
            await ChargeAsync(bytes, ChargeFlags.NoRetry, keep).ConfigureAwait(false);
            return true;
        }
        catch (MemoryLimitExceededException)
        {
            return false;
        }
    }

    // A victim needs nothing from the reserve to finish: a query finishes by ending.
    private async Task ChargeAsync(long bytes, ChargeFlags flags, bool keep)
    {
        _budget.BeginAsking();
        try
        {
            await member.ChargeAsync(bytes, flags | ChargeFlags.NoReserve, cancel).ConfigureAwait(false);
            _budget.Adopt(member, bytes, keep);
        }
        finally
        {
            _budget.EndAsking();
        }
    }

    // What makes another try worth while: megabytes, and as many tries as there are must do.
    private long UsefulRoom(int retries)
    {
        long limit = member.Group.Root.Capacity;
        for (MemoryGroup at = member.Group; at.Parent is { } parent; at = parent) limit = Math.Min(limit, at.Max);
        return Math.Max(DuckDbBudget.Mebibyte, Math.Min((4 * DuckDbBudget.Mebibyte) << retries, limit / MaxRetries));
    }

    // Who stopped it, if that is why it failed; a query that failed by itself keeps its own error.
    private void ThrowIfStopped(Exception error)
    {
        if (error is not OperationCanceledException
            && DuckDbException.In(error) is not ({ IsInterrupt: true } or { IsOutOfMemory: true }))
        {
            return;
        }

        if (member.IsKilled) throw OomKilledException.For(member).WithInner(error);
        session.ThrowIfClosed(error);
        if (cancel.IsCancellationRequested)
            throw new OperationCanceledException($"The query '{member.Path}' was cancelled.", error, callers);
        if (member.IsExited)
        {
            throw new ObjectDisposedException(
                $"The group of the query '{member.Path}' was closed while it ran.", error);
        }
    }

    private MemoryLimitExceededException Refusal(Exception error, int retries)
    {
        string why = retries == MaxRetries
            ? $"it was tried {retries + 1} times"
            : "it is not tried again, because a statement that is no query has succeeded in it";
        return new MemoryLimitExceededException(
            $"The query '{member.Path}' found no memory within {ByteSize.FormatRounded(_budget.LimitBytes)}, and "
            + $"{why}. Run less at the same time, let it spill, or raise the limits above '{member.Group.Path}'.",
            error);
    }
}
