// One schedule of the OOM protocol: a root connected to a scheduler, its chargers and victims, and what must be true.
//
// Everything that is handed over becomes an actor, and every observation point a place to give way; the clock is one
// more actor whose step is "the next timer fires", as often as EarlyTicks allows. When nobody can run, ScheduledChecks
// looks at who sleeps: a lost wake is a fault then, whatever deadline would have saved it later. Only after that the
// clock goes on to the next timer, until every charge has ended.
namespace MemoryGroups.Tests;

internal sealed class ScheduledCase : IDisposable
{
    private readonly Scheduler _scheduler;
    private readonly ScheduledChecks _checks;
    private int _quietTicks;

    public ScheduledCase(
        Scheduler scheduler, Chooser chooser, Func<MemoryRootOptions, MemoryRootOptions>? configure = null)
    {
        _scheduler = scheduler;
        scheduler.Begin(chooser);
        var options = new MemoryRootOptions
        {
            CapacityBytes = 200_000,
            MinWatermarkBytes = 0,
            OomReserveBytes = 0,
            CostlyChargeBytes = long.MaxValue,
            TimeProvider = Time,
            PostHook = scheduler.Spawn,
        };
        Root = new MemoryRoot(configure is null ? options : configure(options));
        _checks = new ScheduledChecks(this);
        Root.ProbeHook = OnProbe;
        scheduler.AtEachStep = _checks.AtEachStep;
        scheduler.WhenQuiet = WhenQuiet;
        scheduler.MayTick = MayTick;
        scheduler.Tick = FireNext;
    }

    public MemoryRoot Root { get; }

    public VirtualTime Time { get; } = new();

    public List<Asking> Askings { get; } = [];

    public List<Task?> Others { get; } = [];

    public List<(MemoryGroup Group, MemorySignal Signal)> Registered { get; } = [];

    // How many timers may fire while others still run.
    public int EarlyTicks { get; set; }

    // Charges may sleep until their deadline: nobody is killed for them.
    public bool MayTimeOut { get; set; }

    // A limit falls, or a charge may exceed one.
    public bool MayExceed { get; set; }

    // Victims are also made by hand, by whole groups, or by limits.
    public bool KillsFreely { get; set; }

    // Give way also between a counter's look and its swap.
    public bool EvenAtCounters { get; set; }

    public int Steps => _scheduler.Steps;

    // A member that exits as soon as it is killed, on the work item that cancels it.
    public MemoryMember Obedient(MemoryGroup group, string name, MemoryMemberOptions? options = null)
    {
        MemoryMember member = group.CreateMember(name, options);
        member.Killed.UnsafeRegister(OnKilled, member);
        return member;
    }

    public void Actor(Action body) => _scheduler.Spawn(body);

    // Work that may sleep; it has to end like the charges.
    public void Async(Func<Task> body)
    {
        int at = Others.Count;
        Others.Add(null);
        Actor(() => Others[at] = body());
    }

    public void Register(MemoryGroup group)
    {
        var signal = new MemorySignal();
        group.Oom.Register(signal);
        Registered.Add((group, signal));
    }

    // To be called in the middle of an actor's own code.
    public void GiveWay() => _scheduler.GiveWay();

    // Charges, holds the bytes over one hand-over, and returns them.
    public Asking ChargeAndReturn(
        MemoryMember member,
        long bytes,
        ChargeFlags flags = ChargeFlags.None,
        bool keeps = false,
        CancellationToken cancel = default)
    {
        var asking = new Asking(member, bytes, flags, cancel);
        Askings.Add(asking);
        Actor(() => asking.Begin(this, keeps));
        return asking;
    }

    public void Run()
    {
        _scheduler.Run();
        _checks.AtEnd();
    }

    // Everybody goes home, and nothing is left.
    public void Dispose()
    {
        Root.ProbeHook = null;
        _scheduler.AtEachStep = null;
        _scheduler.WhenQuiet = null;
        _scheduler.MayTick = null;
        Root.Dispose();
        _scheduler.RunRest();
    }

    private static void OnKilled(object? state) => ((MemoryMember)state!).Dispose();

    private void OnProbe(ProbePoint point, object? subject)
    {
        if (point == ProbePoint.BeforeSwap && !EvenAtCounters)
        {
            return;
        }

        _scheduler.Log?.Invoke($"actor {_scheduler.Running}: {point} of {NameOf(subject)}");
        _checks.At(point, subject);
        _scheduler.GiveWay();
    }

    private static string? NameOf(object? subject) => subject switch
    {
        OomRequest request => request.Asker?.Name,
        OomWaiter waiter => $"{waiter.Member?.Name} ({waiter.Signal})",
        MemoryMember member => member.Name,
        MemorySpace space => space.Owner?.Name,
        UsageCounter counter => counter.Group.Path,
        _ => null,
    };

    private bool MayTick() => EarlyTicks > 0 && Time.ArmedTimers > 0;

    private void FireNext()
    {
        EarlyTicks--;
        Time.FireNext();
    }

    private bool WhenQuiet()
    {
        _scheduler.Log?.Invoke("quiet");
        _checks.WhenQuiet();
        bool isOver = Askings.TrueForAll(static asking => asking.IsOver)
            && Others.TrueForAll(static other => other is { IsCompleted: true }) && _checks.VictimsAreSettled();
        if (isOver || Time.ArmedTimers == 0)
        {
            return false;
        }

        Assert.True(++_quietTicks < 1000, "time passes, and nobody gets any further");
        Actor(() => Time.FireNext());
        return true;
    }

    // One charge of one actor, and how it ended.
    internal sealed class Asking(MemoryMember member, long bytes, ChargeFlags flags, CancellationToken cancel)
    {
        private Task? _task;

        public MemoryMember Member => member;

        public long Bytes => bytes;

        public ChargeFlags Flags => flags;

        public bool IsOver => _task is { IsCompleted: true };

        public bool IsGranted { get; private set; }

        public bool IsCancelled => cancel.IsCancellationRequested;

        public Exception? Error => _task?.Exception?.InnerException
            ?? (_task is { IsCanceled: true } ? new OperationCanceledException() : null);

        public void Begin(ScheduledCase scheduled, bool keeps)
        {
            try
            {
                _task = UseAsync(scheduled, keeps);
            }
            catch (Exception error)
            {
                _task = Task.FromException(error);
            }
        }

        private async Task UseAsync(ScheduledCase scheduled, bool keeps)
        {
            await member.ChargeAsync(bytes, flags, cancel).ConfigureAwait(false);
            IsGranted = true;
            if (!keeps)
            {
                scheduled.GiveWay();
                member.Uncharge(bytes);
            }
        }
    }
}
