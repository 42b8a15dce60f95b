// A small case of the OOM protocol under the scheduler: chargers, victims that exit, and what must be true at the end.
//
// No clock moves: if somebody still sleeps when no actor can run, a wake was lost, whatever deadline would have saved
// it later. The invariants of the guard are checked at every point, the books and the quiet state at the end.
namespace MemoryGroups.Tests;

internal sealed class ScheduledCase : IDisposable
{
    private readonly Scheduler _scheduler;
    private readonly List<(string Name, Task Task)> _charges = [];
    private readonly VirtualTime _time = new();

    public ScheduledCase(Func<int, int> choose)
    {
        _scheduler = new Scheduler(choose);
        Root = new MemoryRoot(new MemoryRootOptions
        {
            CapacityBytes = 1_000_000,
            MinWatermarkBytes = 0,
            OomReserveBytes = 0,
            CostlyChargeBytes = long.MaxValue,
            TimeProvider = _time,
            PostHook = item => _scheduler.Spawn(item.Execute),
        });
        Root.ProbeHook = (_, _) => _scheduler.GiveWay();
        _scheduler.AtEachStep = CheckAtEachStep;
    }

    public MemoryRoot Root { get; }

    public int Steps => _scheduler.Steps;

    // A member that exits as soon as it is killed, on the work item that cancels it.
    public MemoryMember Obedient(MemoryGroup group, string name)
    {
        MemoryMember member = group.CreateMember(name);
        member.Killed.UnsafeRegister(static state => ((MemoryMember)state!).Dispose(), member);
        return member;
    }

    public void Actor(Action body) => _scheduler.Spawn(body);

    // Charges, holds the bytes over one hand-over, and returns them.
    public void ChargeAndReturn(MemoryMember member, long bytes) => Actor(() =>
        _charges.Add((member.Name, UseAsync(member, bytes))));

    public void Run()
    {
        _scheduler.Run();
        foreach ((string name, Task task) in _charges)
        {
            Assert.True(task.IsCompleted, $"lost wake-up: '{name}' still sleeps and nobody will wake it");
            Assert.True(
                task.IsCompletedSuccessfully || Innermost(task) is OomKilledException or ObjectDisposedException,
                $"'{name}' ended with {Innermost(task)}");
        }

        foreach (MemoryGroup group in Groups())
        {
            Assert.Equal(0, group.OomMarks);
            Assert.Null(group.OomLock.Holder);
            Assert.Equal(0, group.OomLock.HeldBelow);
            Assert.Equal(0, group.Counter.Waiters);
        }

        Assert.False(Root.KillLock.IsHeld);
        Assert.Equal(0, Root.BooksErrorCount);
        Root.Stocks.Drain(Root);
        Assert.Equal(Groups().Sum(group => group.Members.Sum(member => member.Usage)), Root.Usage);
    }

    public void Dispose()
    {
        Root.ProbeHook = null;
        _scheduler.AtEachStep = null;
        Root.Dispose();
        _scheduler.Dispose();
    }

    private static Exception? Innermost(Task task) => task.Exception?.InnerException;

    private async Task UseAsync(MemoryMember member, long bytes)
    {
        await member.ChargeAsync(bytes).ConfigureAwait(false);
        _scheduler.GiveWay();
        member.Uncharge(bytes);
    }

    private void CheckAtEachStep()
    {
        using (Root.EnterGuard())
        {
            foreach (MemoryGroup group in Groups())
            {
                Assert.True(group.Usage <= group.Counter.Limit, $"{group.Path} is over its limit");
            }
        }
    }

    private IEnumerable<MemoryGroup> Groups()
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
}
