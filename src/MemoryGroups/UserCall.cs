// One call into user code with a deadline: reclaimers, last-resort reclaimers, OOM handlers, policies.
//
// The code runs on its own work item, so that a call that blocks costs us the deadline and not the thread of the asker,
// and no lock of ours is held. While it runs, and in everything it starts, Reentry says so: a charge made from
// inside that would have to wait fails at once instead of waiting for itself.
//
// Must stay true: the caller gets exactly one answer, within the deadline (or earlier when the asker is killed or gives
// up); what a late call still does changes nothing here; an exception of user code never travels further than Outcome.
namespace MemoryGroups;

internal enum UserCallStatus
{
    Done,
    Threw,
    Late,

    // The asker was killed, cancelled or closed while the call ran.
    Abandoned,
}

internal readonly record struct UserCallResult<T>(UserCallStatus Status, T? Value, Exception? Error)
{
    internal string Outcome => Status switch
    {
        UserCallStatus.Done => "done",
        UserCallStatus.Threw => $"threw {Error!.GetType().Name}: {Error.Message}",
        UserCallStatus.Late => "late",
        _ => "abandoned",
    };
}

// Which subtree's reclaim, handler or last resort the current flow of control is working for. What such a call starts
// and leaves running inherits the flow, so the scope itself knows when the call is over.
internal sealed class Reentry(MemoryGroup group)
{
    private static readonly AsyncLocal<Reentry?> Current = new();

    private bool _over;

    internal static bool Concerns(MemoryGroup refusing) =>
        Current.Value is { } scope && !Volatile.Read(ref scope._over) && scope.IsRelatedTo(refusing);

    // For the rest of the current flow: undone when the async method that calls it returns.
    internal static Reentry Enter(MemoryGroup group)
    {
        var scope = new Reentry(group);
        Current.Value = scope;
        return scope;
    }

    internal void End() => Volatile.Write(ref _over, true);

    private bool IsRelatedTo(MemoryGroup other) =>
        group.Root == other.Root && (other.IsWithin(group) || group.IsWithin(other));
}

internal sealed class UserCall<T> : IThreadPoolWorkItem
{
    private readonly Func<CancellationToken, ValueTask<T>> _body;
    private readonly Action? _ended;
    private readonly MemoryGroup _scope;
    private readonly OomWaiter _waiter;
    private readonly CancellationToken _late;
    private UserCallResult<T> _result;

    private UserCall(
        OomRequest request,
        MemoryGroup scope,
        Func<CancellationToken, ValueTask<T>> body,
        Action? ended,
        CancellationToken late)
    {
        _late = late;
        _body = body;
        _scope = scope;
        _ended = ended;
        _waiter = request.NewWaiter(scope);
    }

    // `ended` runs when the user's code is really over, however late.
    internal static async ValueTask<UserCallResult<T>> RunAsync(
        OomRequest request,
        MemoryGroup scope,
        TimeSpan deadline,
        Func<CancellationToken, ValueTask<T>> body,
        Action? ended = null)
    {
        OomWaitQueue queue = request.Root.WaitQueue;
        UserCall<T>? call = null;
        bool begun = false;
        try
        {
            // Not disposed: the late code may still look at its token, and no handle was ever asked for.
            var late = new CancellationTokenSource();
            call = new UserCall<T>(request, scope, body, ended, late.Token);
            if (!queue.AttachToMember(call._waiter))
            {
                // Nobody is left to use the answer.
                return new UserCallResult<T>(UserCallStatus.Abandoned, default, null);
            }

            request.Root.Post(call);
            begun = true;
            WakeReason reason = await call._waiter.SleepAsync(deadline, request.Cancel).ConfigureAwait(false);
            if (reason == WakeReason.Hint)
            {
                return call._result;
            }

            // Registrations on this token are user code: they run on a work item of their own.
            request.Root.Post(new CancelLater(late));
            return new UserCallResult<T>(
                reason == WakeReason.TimedOut ? UserCallStatus.Late : UserCallStatus.Abandoned, default, null);
        }
        finally
        {
            // Also where there was no memory to begin: a reclaimer would be busy for ever.
            if (!begun)
            {
                ended?.Invoke();
            }

            if (call is not null)
            {
                queue.DetachFromMember(call._waiter);
            }
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = ExecuteAsync();

    private async Task ExecuteAsync()
    {
        Reentry? scope = null;
        UserCallResult<T> result;
        try
        {
            scope = Reentry.Enter(_scope);
            T value = await _body(_late).ConfigureAwait(false);
            result = new UserCallResult<T>(UserCallStatus.Done, value, null);
        }
        catch (Exception error)
        {
            result = new UserCallResult<T>(UserCallStatus.Threw, default, error);
        }

        scope?.End();
        _result = result;
        _ended?.Invoke();
        _waiter.End(WakeReason.Hint);
    }
}

// Cancels a source away from the caller's stack and locks: its registrations are user code.
internal sealed class CancelLater(CancellationTokenSource source) : IThreadPoolWorkItem
{
    void IThreadPoolWorkItem.Execute()
    {
        try
        {
            source.Cancel();
        }
        catch (AggregateException)
        {
            // A registration of the user's threw. The token is cancelled all the same and every other registration ran.
        }
    }
}
