// Async methods that suspend without allocating: what one of them needs while it is suspended comes from a pool.
//
// The runtime's pooling builder keeps one such box for each thread and one for each core, which serves methods that
// suspend for a moment. Charges may sleep by the thousand for seconds, and then wake all at once: their boxes come back
// to one bounded pool for each method. A box is given back when its result is taken, so the ValueTask of a method that
// is marked with these builders may be awaited once, as the rules of ValueTask have it; the version tells a second
// await that it came too late.
//
// Must stay true: nobody touches a box after it has taken the result; a box in the pool refers to nothing. The pool's
// lock is a leaf and is never taken under the root's guard.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;

namespace MemoryGroups;

// A bounded store of objects that are used again: the newest first, because it is the warmest.
internal sealed class Spares<T>
    where T : class
{
    // More than this many at once is more than anybody measured; the rest is left to the garbage collector.
    internal const int Capacity = 16384;

    private readonly Lock _gate = new();
    private T?[] _items = new T?[16];
    private int _count;

    internal T? TryTake()
    {
        lock (_gate)
        {
            if (_count == 0)
            {
                return null;
            }

            T? item = _items[--_count];
            _items[_count] = null;
            return item;
        }
    }

    internal void Give(T item)
    {
        lock (_gate)
        {
            if (_count == _items.Length)
            {
                if (_count == Capacity)
                {
                    return;
                }

                Array.Resize(ref _items, 2 * _count);
            }

            _items[_count++] = item;
        }
    }
}

internal struct PooledValueTaskBuilder
{
    private PooledValueTaskBuilder<bool> _inner;

    public readonly ValueTask Task => _inner.TaskWithoutResult;

    public static PooledValueTaskBuilder Create() => default;

    public readonly void Start<TMachine>(ref TMachine machine)
        where TMachine : IAsyncStateMachine => _inner.Start(ref machine);

    public readonly void SetStateMachine(IAsyncStateMachine machine) => _inner.SetStateMachine(machine);

    public void SetResult() => _inner.SetResult(true);

    public void SetException(Exception error) => _inner.SetException(error);

    public void AwaitOnCompleted<TAwaiter, TMachine>(ref TAwaiter awaiter, ref TMachine machine)
        where TAwaiter : INotifyCompletion
        where TMachine : IAsyncStateMachine => _inner.AwaitOnCompleted(ref awaiter, ref machine);

    public void AwaitUnsafeOnCompleted<TAwaiter, TMachine>(ref TAwaiter awaiter, ref TMachine machine)
        where TAwaiter : ICriticalNotifyCompletion
        where TMachine : IAsyncStateMachine => _inner.AwaitUnsafeOnCompleted(ref awaiter, ref machine);
}

internal struct PooledValueTaskBuilder<T>
{
    private PooledBox<T>? _box;
    private Task<T>? _failed;
    private T? _result;

    public readonly ValueTask<T> Task => _box is { } box ? new ValueTask<T>(box, box.Version)
        : _failed is { } failed ? new ValueTask<T>(failed)
        : new ValueTask<T>(_result!);

    internal readonly ValueTask TaskWithoutResult => _box is { } box ? new ValueTask(box, box.Version)
        : _failed is { } failed ? new ValueTask(failed)
        : ValueTask.CompletedTask;

    public static PooledValueTaskBuilder<T> Create() => default;

    // As every async method starts: what it does to the flow of control stays its own.
    [SuppressMessage("Performance", "CA1822", Justification = "The compiler calls it on the builder.")]
    public readonly void Start<TMachine>(ref TMachine machine)
        where TMachine : IAsyncStateMachine => AsyncValueTaskMethodBuilder<T>.Create().Start(ref machine);

    // Only for machines that are boxed by others.
    [SuppressMessage("Performance", "CA1822", Justification = "The compiler calls it on the builder.")]
    public readonly void SetStateMachine(IAsyncStateMachine machine) => _ = machine;

    public void SetResult(T result)
    {
        if (_box is { } box)
        {
            box.SetResult(result);
        }
        else
        {
            _result = result;
        }
    }

    public void SetException(Exception error)
    {
        if (_box is { } box)
        {
            box.SetException(error);
        }
        else
        {
            var failed = AsyncTaskMethodBuilder<T>.Create();
            failed.SetException(error);
            _failed = failed.Task;
        }
    }

    public void AwaitOnCompleted<TAwaiter, TMachine>(ref TAwaiter awaiter, ref TMachine machine)
        where TAwaiter : INotifyCompletion
        where TMachine : IAsyncStateMachine => awaiter.OnCompleted(Suspend(ref machine));

    public void AwaitUnsafeOnCompleted<TAwaiter, TMachine>(ref TAwaiter awaiter, ref TMachine machine)
        where TAwaiter : ICriticalNotifyCompletion
        where TMachine : IAsyncStateMachine => awaiter.UnsafeOnCompleted(Suspend(ref machine));

    // The first time the machine moves into a box, with this builder in it, which has to know the box by then.
    private Action Suspend<TMachine>(ref TMachine machine)
        where TMachine : IAsyncStateMachine
    {
        if (_box is not { } box)
        {
            PooledBox<T, TMachine> own = PooledBox<T, TMachine>.Take();
            _box = box = own;
            own.Machine = machine;
        }

        box.Context = ExecutionContext.Capture();
        return box.GoOn;
    }
}

internal abstract class PooledBox<T> : IValueTaskSource<T>, IValueTaskSource
{
    private ManualResetValueTaskSourceCore<T> _core;

    internal short Version => _core.Version;

    internal ExecutionContext? Context { get; set; }

    internal Action GoOn { get; private protected init; } = static () => { };

    internal void SetResult(T result) => _core.SetResult(result);

    internal void SetException(Exception error) => _core.SetException(error);

    public T GetResult(short token)
    {
        // Throws when this is somebody else's box by now; and who does not wait for the end gets no result.
        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
        {
            throw new InvalidOperationException("The result was asked for before the method had ended.");
        }

        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            Context = null;
            _core.Reset();
            Release();
        }
    }

    void IValueTaskSource.GetResult(short token) => GetResult(token);

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private protected abstract void Release();
}

internal sealed class PooledBox<T, TMachine> : PooledBox<T>
    where TMachine : IAsyncStateMachine
{
    private static readonly Spares<PooledBox<T, TMachine>> Pool = new();

    internal TMachine? Machine;

    private PooledBox() => GoOn = MoveNext;

    internal static PooledBox<T, TMachine> Take() => Pool.TryTake() ?? new PooledBox<T, TMachine>();

    private protected override void Release()
    {
        Machine = default;
        Pool.Give(this);
    }

    private void MoveNext()
    {
        if (Context is { } context)
        {
            ExecutionContext.Run(context, static box => ((PooledBox<T, TMachine>)box!).Machine!.MoveNext(), this);
        }
        else
        {
            Machine!.MoveNext();
        }
    }
}
