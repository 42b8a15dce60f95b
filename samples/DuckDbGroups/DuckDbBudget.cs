// The books of one instance: what its members are charged is the engine's own limit.
//
//   engine's usage <= engine's limit (memory_limit) = charged to the session's member + charged to the query's
//
// So nothing that the engine counts is ever used before it is charged, however late anybody looks: more is charged
// first and then the limit is raised; the limit is lowered first, and only what the engine agreed to is given back. A
// lower limit makes the engine drop pages of files and spill what it can; when it can do neither it says so, and keeps
// its limit.
//
// A query should not meet the limit while its group has room. So while one runs the usage is polled, and the limit is
// kept ahead of it by half of it, between 8 and 64 MiB; at least by what the last refused query turned out to need,
// because services ask the same things again; just after memory was asked back, by a megabyte. What is ahead goes back
// as it was taken: when it has been more than twice what it should be for half a second, at a request to reclaim, or
// when the session is idle. What was found for a query that the engine has refused stays, however little of it is used
// at first: the query begins anew, and would run into the same wall.
//
// A poll costs 35 microseconds, and several times that where the engine's caches are cold, so a query of a few
// milliseconds is not polled and one that does not grow is polled rarely. A change of the limit costs more, because the
// engine then gives freed pages back to the operating system, so the limit is left alone where it may be.
//
// Must stay true: the gate is never held over a charge that may wait, reclaim or kill, so whoever asks for memory back
// may wait for it: for as long as the engine takes to answer, and not for ever.

using MemoryGroups;

namespace DuckDbGroups;

internal sealed class DuckDbBudget : IDisposable
{
    // An instance cannot do with less, nor can the poll.
    internal const long LeastBytes = 2 << 20;
    internal const long Mebibyte = 1 << 20;
    private const long LeastAhead = 8 << 20;
    private const long MostAhead = 64 << 20;
    private const int SurplusTicks = 50;
    private const string UsageQuery = "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()";
    private static readonly TimeSpan PressedFor = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan PatienceForGate = TimeSpan.FromMilliseconds(200);

    private readonly Lock _gate = new();
    private readonly TimeProvider _clock;
    private readonly MemoryMember _session;
    private readonly DuckDbConnection _watch;
    private readonly DuckDbStatement _usage;

    // Guarded by the gate. Their sum is the engine's limit.
    private long _ofSession;
    private long _ofQuery;
    private MemoryMember? _query;
    private long _leastForQuery;
    private long _learnedAhead;
    private int _surplusTicks;
    private long _polledUse;
    private long _pressedAt;
    private bool _wasPressed;
    private long _restingUse;
    private bool _closed;

    private bool _isMoving;

    // How many of our own charges are on their way.
    private int _asking;

    // The session's member is charged for LeastBytes already, and the instance was opened with that limit.
    internal DuckDbBudget(DuckDbDatabase database, MemoryMember session, TimeProvider clock)
    {
        _session = session;
        _clock = clock;
        _ofSession = LeastBytes;
        _watch = database.Connect();
        try
        {
            _usage = _watch.Prepare(UsageQuery);
        }
        catch
        {
            _watch.Dispose();
            throw;
        }
    }

    internal long LimitBytes
    {
        get
        {
            lock (_gate) return _ofSession + _ofQuery;
        }
    }

    // What the engine used after the last query that grew.
    internal long RestingBytes
    {
        get
        {
            lock (_gate) return _restingUse;
        }
    }

    // Whether the usage had changed by a megabyte when it was last polled.
    internal bool IsMoving => Volatile.Read(ref _isMoving);

    // What the engine says that it uses.
    internal long UsedBytes
    {
        get
        {
            lock (_gate) return UsedLocked();
        }
    }

    // A few megabytes are ahead of a query from its start: the first poll comes too late for a short one.
    internal void BeginQuery(MemoryMember query)
    {
        lock (_gate)
        {
            _query = query;
            long ahead = AheadLocked(0);
            long more = ahead - (_ofSession - _restingUse);
            if (more > ahead / 2 && TryCharge(query, more)) RaiseLocked(more);
        }
    }

    // What the query was charged for is the session's from here on, after what the engine has no use for was given
    // back.
    internal void EndQuery()
    {
        lock (_gate)
        {
            if (_query is not { } query) return;
            _leastForQuery = 0;

            // Who killed it needs what it had, and not that it stays here, ahead of the next one.
            if (query.IsKilled) NotePressureLocked();
            if (_ofQuery > 0)
            {
                _restingUse = UsedLocked();
                long ahead = AheadLocked(_restingUse);
                if (_ofSession + _ofQuery - _restingUse > 2 * ahead) LowerLocked(_restingUse + ahead);
            }

            long left = _ofQuery;
            if (left > 0 && !TryMove(query, left))
            {
                // One of the two has been killed or has exited. The engine has the memory, so it is charged, fit or
                // not.
                Force(left);
                query.Uncharge(left);
            }

            _ofSession += left;
            _ofQuery = 0;
            _query = null;
        }
    }

    // Charges the query for more if it is to be had at once, down to a megabyte, and answers how much is still wanted.
    internal long KeepAhead()
    {
        lock (_gate)
        {
            if (_closed) return 0;
            long used = UsedLocked();
            Volatile.Write(ref _isMoving, Math.Abs(used - _polledUse) >= Mebibyte);
            _polledUse = used;
            long ahead = AheadLocked(used);
            long free = _ofSession + _ofQuery - used;
            _surplusTicks = free > 2 * ahead ? _surplusTicks + 1 : 0;
            if (_surplusTicks > SurplusTicks)
            {
                _surplusTicks = 0;
                LowerLocked(used + ahead);
                return 0;
            }

            if (free >= ahead / 2 || _query is not { } query) return 0;
            for (long more = ahead - free; more >= Mebibyte; more /= 2)
            {
                if (TryCharge(query, more))
                {
                    RaiseLocked(more);
                    return 0;
                }
            }

            return ahead - free;
        }
    }

    // Between the two this instance gives nothing back: what it gave would satisfy its own charge, and leave it where
    // it was.
    internal void BeginAsking() => Interlocked.Increment(ref _asking);

    internal void EndAsking() => Interlocked.Decrement(ref _asking);

    // Bytes that the query's member has been charged for, after waiting for them. Not when the query has ended
    // meanwhile.
    internal void Adopt(MemoryMember query, long bytes, bool keep)
    {
        lock (_gate)
        {
            if (_query == query && !_closed)
            {
                RaiseLocked(bytes);
                if (keep)
                {
                    _leastForQuery = _ofSession + _ofQuery;
                    _learnedAhead = Math.Min(MostAhead, _leastForQuery - UsedLocked());
                }

                return;
            }
        }

        query.Uncharge(bytes);
    }

    // What is not needed, or can be dropped or spilled; answers what was uncharged. Nothing while a query of this
    // instance asks for memory itself.
    internal long GiveBack(long bytes)
    {
        if (Volatile.Read(ref _asking) > 0 || !_gate.TryEnter(PatienceForGate)) return 0;
        try
        {
            if (_closed) return 0;
            NotePressureLocked();
            long limit = _ofSession + _ofQuery;
            long given = LowerLocked(limit - bytes);
            return given > 0 ? given : LowerLocked(UsedLocked());
        }
        finally
        {
            _gate.Exit();
        }
    }

    // No query runs and none has for a while: what is ahead of the usage goes back.
    internal void Rest()
    {
        lock (_gate)
        {
            if (_closed || _query is not null) return;
            _restingUse = UsedLocked();
            LowerLocked(_restingUse);
        }
    }

    // Before the instance is closed. What is charged is answered for by ReturnAll, after the engine has freed it.
    public void Dispose()
    {
        lock (_gate)
        {
            _closed = true;
            _usage.Dispose();
            _watch.Dispose();
        }
    }

    internal void ReturnAll()
    {
        lock (_gate)
        {
            _session.Uncharge(_ofSession);
            _ofSession = 0;
        }
    }

    private void NotePressureLocked()
    {
        _pressedAt = _clock.GetTimestamp();
        _wasPressed = true;
        _learnedAhead = 0;
    }

    private long AheadLocked(long used)
    {
        if (_wasPressed && _clock.GetElapsedTime(_pressedAt) < PressedFor) return Mebibyte;
        _wasPressed = false;
        return Math.Clamp(Math.Max(used / 2, _learnedAhead), LeastAhead, MostAhead);
    }

    // At its limit the engine may have no memory left to answer.
    private long UsedLocked()
    {
        try
        {
            using DuckDbReader reader = _usage.Query(ownsStatement: false);
            return reader.Read() ? Math.Max(0, reader.GetInt64(0)) : _ofSession + _ofQuery;
        }
        catch (DuckDbException)
        {
            return _ofSession + _ofQuery;
        }
    }

    private void RaiseLocked(long bytes)
    {
        _ofQuery += bytes;
        if (!TrySetLimitLocked(_ofSession + _ofQuery))
        {
            _ofQuery -= bytes;
            _query!.Uncharge(bytes);
        }
    }

    // To so many bytes, or as they are if the engine cannot do with them. The query gives first: it is what grows.
    private long LowerLocked(long toBytes)
    {
        long limit = _ofSession + _ofQuery;
        long target = Math.Max(Math.Max(LeastBytes, _leastForQuery), toBytes);
        if (target >= limit || !TrySetLimitLocked(target)) return 0;

        long fromQuery = Math.Min(_ofQuery, limit - target);
        long fromSession = limit - target - fromQuery;
        _ofQuery -= fromQuery;
        _ofSession -= fromSession;
        _query?.Uncharge(fromQuery);
        _session.Uncharge(fromSession);
        return limit - target;
    }

    // False: the engine can neither drop nor spill so much, and keeps the limit that it had.
    private bool TrySetLimitLocked(long bytes)
    {
        try
        {
            _watch.Execute($"SET memory_limit = '{DuckDbConnection.Bytes(bytes)}'");
            return true;
        }
        catch (DuckDbException)
        {
            return false;
        }
    }

    private bool TryMove(MemoryMember from, long bytes) =>
        from.Group == _session.Group && from.TryMoveTo(_session, bytes);

    private static bool TryCharge(MemoryMember member, long bytes)
    {
        try
        {
            return !member.IsKilled && member.TryCharge(bytes);
        }
        catch (ObjectDisposedException)
        {
            // Its group was closed.
            return false;
        }
    }

    private void Force(long bytes)
    {
        try
        {
            _session.Charge(bytes, ChargeFlags.NoFail | ChargeFlags.NoWait);
        }
        catch (ObjectDisposedException)
        {
            // Its group was closed: past charging, and uncharging is harmless.
        }
    }
}
