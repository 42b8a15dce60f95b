// A root whose every hand-over belongs to the test: work items wait in a list until Run, timers until Advance.
//
// One thread does everything, so a race is scripted rather than hoped for: an action attached to an observation point
// runs exactly between two steps of the protocol. At the end Dispose checks that nothing was left behind.
namespace MemoryGroups.Tests;

internal sealed class World : IDisposable
{
    private readonly Queue<IThreadPoolWorkItem> _posted = new();
    private readonly Dictionary<ProbePoint, List<Action<object?>>> _scripts = [];

    public World(long capacity = long.MaxValue, Func<MemoryRootOptions, MemoryRootOptions>? configure = null)
    {
        var options = new MemoryRootOptions
        {
            CapacityBytes = capacity,
            MinWatermarkBytes = 0,
            OomReserveBytes = 0,
            CostlyChargeBytes = long.MaxValue,
            TimeProvider = Time,
            PostHook = _posted.Enqueue,
        };
        Root = new MemoryRoot(configure is null ? options : configure(options));
        Root.ProbeHook = OnProbe;
    }

    public VirtualTime Time { get; } = new();

    public MemoryRoot Root { get; }

    public List<ProbePoint> Trace { get; } = [];

    public int PostedCount => _posted.Count;

    // Runs everything that was handed over, and what that hands over in turn.
    public void Run()
    {
        for (int steps = 0; _posted.TryDequeue(out IThreadPoolWorkItem? item); steps++)
        {
            Assert.True(steps < 100_000, "the protocol runs in circles");
            item.Execute();
        }
    }

    // Runs one work item; false when there is none.
    public bool RunOne()
    {
        bool any = _posted.TryDequeue(out IThreadPoolWorkItem? item);
        item?.Execute();
        return any;
    }

    public void Advance(TimeSpan by)
    {
        Run();
        Time.Advance(by, Run);
        Run();
    }

    // Runs an action the next time (only) that an actor passes the point.
    public void Once(ProbePoint point, Action action) => Once(point, _ => action());

    public void Once(ProbePoint point, Action<object?> action)
    {
        if (!_scripts.TryGetValue(point, out List<Action<object?>>? actions))
        {
            _scripts.Add(point, actions = []);
        }

        actions.Add(action);
    }

    // Starts a charge and runs it as far as it comes.
    public Pending Charge(
        MemoryMember member, long bytes, ChargeFlags flags = ChargeFlags.None, CancellationToken cancel = default)
    {
        Pending pending = Begin(member, bytes, flags, cancel);
        Run();
        return pending;
    }

    // Starts a charge and runs only what it does before its first hand-over.
    public Pending Begin(
        MemoryMember member, long bytes, ChargeFlags flags = ChargeFlags.None, CancellationToken cancel = default)
    {
        try
        {
            return new Pending(member.ChargeAsync(bytes, flags, cancel).AsTask());
        }
        catch (Exception error)
        {
            return new Pending(Task.FromException(error));
        }
    }

    public T Await<T>(ValueTask<T> task)
    {
        Task<T> running = task.AsTask();
        Run();
        Assert.True(running.IsCompleted, "it should have ended by now");
        return running.GetAwaiter().GetResult();
    }

    // Everything is back where it was: no bytes, no marks, no locks, no waiters, no reserve in use, no stock under way.
    public void AssertQuiet(long leftAtRoot = 0)
    {
        Assert.Equal(0, Root.WaitingCharges);
        Assert.False(Root.KillLock.IsHeld);
        Assert.Equal(0, Root.BooksErrorCount);
        foreach (MemoryGroup group in AllGroups())
        {
            Assert.Equal(0, group.OomMarks);
            Assert.Equal(0, group.OomLock.HeldBelow);
            Assert.Null(group.OomLock.Holder);
            Assert.Null(group.AgedRequest);
            Assert.Equal(0, group.StalledMembers);
            Assert.Equal(0, group.Counter.Waiters);
            Assert.False(group.WaitingChildren is { Count: > 0 }, $"{group.Path}: somebody waits below it, it says");
            long below = group.Children.Sum(child => child.Usage) + group.Members.Sum(member => member.Usage);
            Assert.True(group.UsageUpper >= below, $"{group.Path}: {group.UsageUpper} < {below}");
        }

        Root.Stocks.Drain(Root);
        long mark = Root.Stocks.Moves.Mark;
        Root.Stocks.Moves.SettledSince(ref mark);
        Assert.False(Root.Stocks.Moves.SettledSince(ref mark), "stock is on its way, it says");
        foreach (MemoryGroup group in AllGroups())
        {
            long below = group.Children.Sum(child => child.Usage) + group.Members.Sum(member => member.Usage);
            Assert.Equal(below, group.Usage);
        }

        Assert.Equal(leftAtRoot, Root.Usage);
    }

    public IEnumerable<MemoryGroup> AllGroups()
    {
        var stack = new Stack<MemoryGroup>([Root]);
        while (stack.TryPop(out MemoryGroup? group))
        {
            yield return group;
            foreach (MemoryGroup child in group.Children)
            {
                stack.Push(child);
            }
        }
    }

    public void Dispose()
    {
        Root.Dispose();
        Run();
        Assert.Equal(0, Root.Usage);
        Assert.Equal(0, Root.OomReserveUsed);
        Assert.Equal(0, Root.LiveMembers);
        Assert.Equal(0, Root.OomKiller.VictimsInFlight);
        AssertQuiet();
    }

    private void OnProbe(ProbePoint point, object? subject)
    {
        // Every charge passes it: it would bury the steps of the protocol.
        if (point != ProbePoint.BeforeSwap)
        {
            Trace.Add(point);
        }

        if (_scripts.TryGetValue(point, out List<Action<object?>>? actions) && actions.Count > 0)
        {
            Action<object?> action = actions[0];
            actions.RemoveAt(0);
            action(subject);
        }
    }
}

// A charge under way.
internal sealed class Pending(Task task)
{
    public Task Task { get; } = task;

    public bool Sleeps => !Task.IsCompleted;

    public bool Granted => Task.IsCompletedSuccessfully;

    public Exception? Error => Task.IsCanceled
        ? new OperationCanceledException()
        : Task.Exception?.InnerException;

    public T Failed<T>()
        where T : Exception
    {
        Assert.True(Task.IsCompleted, "it should have failed by now, but it sleeps");
        return Assert.IsType<T>(Error, exactMatch: false);
    }
}
