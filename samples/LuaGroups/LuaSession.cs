// A Lua state under a group. One member for the state, not one for each script: what a script leaves in globals cannot
// be told from what it made on its way. So a kill ends the script and closes the state.
//
// Must stay true: who holds _use is alone with the state (a script, the garbage collection of an idle state, the
// close); the close takes it for good.

using MemoryGroups;
using MemoryGroups.Sqlite;

namespace LuaGroups;

/// <summary>A Lua state whose every block is charged to a group.</summary>
/// <remarks>
/// <para>
/// A script for which there is no memory gets Lua's own "not enough memory"; a kill ends the script within a thousand
/// instructions, whatever it catches, and closes the state. Work inside one library function (a pathological pattern)
/// is not interrupted.
/// </para>
/// <para>Thread safety: all members may be used from any thread; one script runs at a time.</para>
/// </remarks>
public sealed class LuaSession : IDisposable
{
    private const long StateBytes = 64 * 1024;

    private readonly MemoryMember _member;
    private readonly LuaAccount _account;
    private readonly LuaState _state;
    private readonly QueryThread _worker;
    private readonly SemaphoreSlim _use = new(1);
    private readonly CancellationTokenSource _closing = new();
    private readonly IDisposable _reclaimer;
    private readonly CancellationTokenRegistration _killed;
    private readonly CancellationTokenRegistration _exited;
    private bool _isRunning;

    private LuaSession(MemoryMember member, LuaAccount account, LuaState state)
    {
        _member = member;
        _account = account;
        _state = state;
        _worker = new QueryThread(member.Path);
        _reclaimer = member.Group.AddReclaimer(new Garbage(this, member.Name));
        _killed = member.Killed.UnsafeRegister(Close, this);
        _exited = member.Exited.UnsafeRegister(Close, this);

        static void Close(object? session) => ((LuaSession)session!).Dispose();
    }

    private bool IsClosed => _closing.IsCancellationRequested;

    /// <summary>Makes a state. Neither waits for memory nor kills.</summary>
    /// <param name="group">Charged for the state.</param>
    /// <param name="name">The name of its member in the group: not empty, without '/'.</param>
    /// <returns>The session. Dispose it to close the state.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="group"/> is null.</exception>
    /// <exception cref="ArgumentException">The name is not allowed.</exception>
    /// <exception cref="ObjectDisposedException">The group is closed.</exception>
    /// <exception cref="MemoryLimitExceededException">The group has not the memory for a state, also after
    /// reclaim.</exception>
    public static LuaSession Open(MemoryGroup group, string name)
    {
        ArgumentNullException.ThrowIfNull(group);
        MemoryMember member = group.CreateMember(name);
        LuaState? state = null;
        try
        {
            // What a state takes is not refused any more once it is being made.
            member.Charge(StateBytes);
            member.Uncharge(StateBytes);
            var account = new LuaAccount(member);
            state = new LuaState(account);
            return new LuaSession(member, account, state);
        }
        catch
        {
            state?.Dispose();
            member.Dispose();
            throw;
        }
    }

    /// <summary>Runs a script on the session's own thread.</summary>
    /// <param name="script">Its text. What it leaves in globals is there for the next one.</param>
    /// <param name="cancellationToken">Ends it; the state stays.</param>
    /// <returns>
    /// What it returns: <see cref="long"/>, <see cref="double"/>, <see cref="bool"/>, <see cref="string"/> or null.
    /// </returns>
    /// <exception cref="ArgumentNullException"><paramref name="script"/> is null.</exception>
    /// <exception cref="LuaException">The script failed.</exception>
    /// <exception cref="MemoryLimitExceededException">It found no memory; Lua's own error is inside.</exception>
    /// <exception cref="OomKilledException">The state was killed, now or earlier.</exception>
    /// <exception cref="ObjectDisposedException">The session is closed, or was while the script ran.</exception>
    /// <exception cref="InvalidOperationException">Another script is running.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async Task<object?[]> RunAsync(string script, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(script);
        ThrowIfClosed();
        if (Interlocked.Exchange(ref _isRunning, true))
        {
            throw new InvalidOperationException(
                $"'{_member.Path}' is running a script: a state runs one at a time. Await it, or open another "
                + "session.");
        }

        try
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _closing.Token);
            await _use.WaitAsync(stop.Token).ConfigureAwait(false);
            try
            {
                _account.IsStopped = false;
                _account.BeginScript(stop.Token);
                using CancellationTokenRegistration stopped = stop.Token.UnsafeRegister(
                    static account => ((LuaAccount)account!).IsStopped = true, _account);
                return await _worker.RunAsync(() => _state.Run("script", script)).ConfigureAwait(false);
            }
            finally
            {
                _account.DropCredit();
                _use.Release();
            }
        }
        catch (LuaException error) when (_account.IsStopped)
        {
            ThrowIfClosed(error);
            throw new OperationCanceledException("The script was cancelled.", error, cancellationToken);
        }
        catch (LuaException error) when (error.IsOutOfMemory)
        {
            // Who is killed gets no memory from that moment on, and the session may hear of it later than the script.
            ThrowIfClosed(error);
            throw Refusal(error);
        }
        catch (OperationCanceledException stopped)
        {
            ThrowIfClosed(stopped);
            throw new OperationCanceledException("The script was cancelled.", stopped, cancellationToken);
        }
        finally
        {
            Volatile.Write(ref _isRunning, false);
            if (IsClosed) CloseIfAlone();
        }
    }

    /// <summary>
    /// Closes the state and returns its memory. A script that is running is ended, and the state is closed when it has:
    /// this does not wait for it. Closing twice is harmless.
    /// </summary>
    public void Dispose()
    {
        _closing.Cancel();
        CloseIfAlone();
    }

    private void ThrowIfClosed(Exception? inner = null)
    {
        // A wait for memory, or a refusal, may hear of the kill before the session does.
        if (_member.IsKilled)
        {
            var killed = OomKilledException.For(_member);
            throw inner is null ? killed : killed.WithInner(inner);
        }

        if (IsClosed || _member.IsExited)
            throw new ObjectDisposedException($"The Lua session '{_member.Path}' is closed.", inner);
    }

    // The core's own words where it still refuses: they name who holds the memory.
    private MemoryLimitExceededException Refusal(LuaException error)
    {
        long refused = Math.Max(1, _account.Refused);
        try
        {
            _member.Charge(refused, ChargeFlags.NoWait);
            _member.Uncharge(refused);
        }
        catch (MemoryLimitExceededException limit)
        {
            return limit.WithInner(error);
        }

        return new MemoryLimitExceededException(
            $"A script of '{_member.Path}' was refused {ByteSize.FormatRounded(refused)}. Meanwhile the memory is "
            + $"there: run it again, run less at the same time, or raise the limits above '{_member.Group.Path}'.",
            error);
    }

    private void CloseIfAlone()
    {
        if (!_use.Wait(0)) return;
        _reclaimer.Dispose();
        _killed.Unregister();
        _exited.Unregister();
        _state.Dispose();
        _worker.Dispose();
        _member.Dispose();
    }

    // An idle state's garbage. A running script collects its own when it is refused.
    private sealed class Garbage(LuaSession session, string name) : MemoryReclaimer($"garbage of {name}")
    {
        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
        {
            if (!session._use.Wait(0, CancellationToken.None)) return new ValueTask<long>(0);
            long before = session._account.InUse;
            session._state.Collect();
            long given = Math.Max(0, before - session._account.InUse);
            session._use.Release();
            if (session.IsClosed) session.CloseIfAlone();
            return new ValueTask<long>(given);
        }
    }
}
