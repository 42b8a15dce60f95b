// One epoch of the soak: a root, its groups, the workers, the trouble; and at the end books that balance exactly.
//
// The driver is a thread of its own, so that the starved thread pool of the epoch cannot starve it: it moves the clock,
// makes the trouble and watches for progress. Everything is drawn from the epoch's seed, the order of threads is not.
using System.Collections.Concurrent;
using System.Text;

namespace MemoryGroups.Tests;

internal sealed class SoakEpoch : IDisposable
{
    private const long Capacity = 256L << 20;
    private const int Tenants = 4;
    private const int Sessions = 3;

    // The longest wait of a charge is far shorter than this much elapsed time without any progress.
    public const int StillTicks = 3000;

    private static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(10);
    private static readonly ManualResetEventSlim Never = new();

    private readonly int _seed;
    private readonly SoakTime _time;
    private readonly CancellationTokenSource _ended = new();
    private readonly TaskCompletionSource _endedTask = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly MemoryGroup?[] _tenants = new MemoryGroup?[Tenants];
    private readonly MemoryGroup?[] _sessions = new MemoryGroup?[Tenants * Sessions];
    private readonly ConcurrentDictionary<MemoryMember, bool> _members = new();
    private readonly ConcurrentDictionary<CancellationTokenSource, MemoryMember> _asking = new();
    private readonly ConcurrentBag<(MemoryMember Member, ConcurrentBag<SoakBytes> Bag)> _stuck = [];
    private readonly Lock _growing = new();
    private readonly Random _faults;
    private long _lastProgress;
    private int _still;

    public SoakEpoch(int seed, SoakTally tally, bool isNative)
    {
        _seed = seed;
        _faults = new Random(seed);
        _time = new SoakTime(seed) { FailuresInThousand = 3 };
        Tally = tally;
        IsNative = isNative;
        Root = new MemoryRoot(new MemoryRootOptions
        {
            CapacityBytes = Capacity,
            CostlyChargeBytes = Capacity / 8,
            WaitTimeout = TimeSpan.FromSeconds(5),
            ReclaimDeadline = TimeSpan.FromMilliseconds(100),
            HandlerDeadline = TimeSpan.FromMilliseconds(100),
            TimeProvider = _time,
        });
        Root.ProbeHook = OnProbe;
    }

    public MemoryRoot Root { get; }

    public SoakTally Tally { get; }

    public bool IsNative { get; }

    public int Workers { get; init; } = 4 * Environment.ProcessorCount;

    // Between two ticks of elapsed time.
    public Action Pause { get; init; } = static () => Never.Wait(1);

    public SoakTime Time => _time;

    public CancellationToken Ended => _ended.Token;

    public Task EndedAsync => _endedTask.Task;

    public bool IsOver => _ended.IsCancellationRequested;

    public IEnumerable<MemoryMember> Members => _members.Keys;

    public IEnumerable<CancellationTokenSource> Asking => _asking.Keys;

    // Runs for this long of real time, then brings everything to rest and checks it.
    public void Run(TimeSpan duration)
    {
        TimeProvider real = TimeProvider.System;
        long start = real.GetTimestamp();
        var trouble = new SoakTrouble(this, new Random(_seed));
        Task work = Task.WhenAll(Enumerable.Range(0, Workers).Select(i =>
            Task.Run(() => new SoakWorker(this, new Random(unchecked((_seed * 31) + i))).RunAsync())));
        while (IsOn(real.GetElapsedTime(start), duration) && Tally.Findings.Count == 0 && !work.IsFaulted)
        {
            Step();
            trouble.Tick();
        }

        trouble.Stop();
        _ended.Cancel();
        _endedTask.TrySetResult();
        Root.OomKiller.Enable();
        _time.FailuresInThousand = 0;
        while (!work.IsCompleted && Tally.Findings.Count == 0)
        {
            Step();
        }

        CheckFindings();
        work.GetAwaiter().GetResult();
        Quiesce();
        CheckFindings();
        CheckBooks();
        Root.Dispose();
        Check(Root.Usage == 0 && Root.OomReserveUsed == 0, $"{Root.Usage} bytes, {Root.OomReserveUsed} of the reserve");
    }

    public void Dispose() => _ended.Dispose();

    // Longer when the other tests have all threads of the pool and no worker has begun.
    private bool IsOn(TimeSpan elapsed, TimeSpan duration) =>
        elapsed < duration || (Workers > 0 && Tally.Progress == 0 && elapsed < duration + LongestStart);

    // Closed groups are made again; workers meet closed ones all the same.
    public MemoryGroup PickGroup(Random random)
    {
        int session = random.Next(_sessions.Length);
        lock (_growing)
        {
            if (_sessions[session] is { IsClosed: false } known)
            {
                return known;
            }

            int tenant = session / Sessions;
            if (_tenants[tenant] is not { IsClosed: false } above)
            {
                above = _tenants[tenant] = Root.CreateGroup($"tenant{tenant}", new MemoryGroupOptions
                {
                    Max = (50L + random.Next(80)) << 20,
                    KillDisabled = random.Next(6) == 0,
                });
            }

            return _sessions[session] = above.CreateGroup($"session{session}", new MemoryGroupOptions
            {
                Max = (16L + random.Next(60)) << 20,
                High = random.Next(5) == 0 ? 24L << 20 : long.MaxValue,
                Low = random.Next(5) == 0 ? 4L << 20 : 0,
                KillWholeGroup = random.Next(6) == 0,
            });
        }
    }

    public MemorySpace? SomeSpace() =>
        _members.Keys.FirstOrDefault(static member => !member.Space.IsHidden)?.Space;

    public void Enter(MemoryMember member) => _members[member] = true;

    public void Leave(MemoryMember member) => _members.TryRemove(member, out _);

    public void AddStuck(MemoryMember member, ConcurrentBag<SoakBytes> bag) => _stuck.Add((member, bag));

    public IDisposable Ask(MemoryMember member, CancellationTokenSource cancel)
    {
        _asking[cancel] = member;
        return new Registration(() => _asking.TryRemove(cancel, out _));
    }

    // One tick of elapsed time; when nothing ends for long although somebody waits, who waits for what.
    public void Step()
    {
        Pause();
        _time.Advance(Tick);
        long progress = Tally.Progress;
        _still = progress == _lastProgress && Root.WaitingCharges > 0 ? _still + 1 : 0;
        _lastProgress = progress;
        if (_still == StillTicks)
        {
            Tally.Find($"no charge ended for {StillTicks} ticks although somebody waits\n{Describe()}");
        }
    }

    // Who ignored its death goes now, and everything that was under way ends.
    private void Quiesce()
    {
        foreach ((MemoryMember member, ConcurrentBag<SoakBytes> bag) in _stuck)
        {
            SoakWorker.Empty(bag, int.MaxValue);
            member.Dispose();
        }

        for (int i = 0; i < 100_000 && Tally.Findings.Count == 0 && (i < 1000 || !IsAtRest()); i++)
        {
            Step();
        }
    }

    private bool IsAtRest() =>
        Root.WaitingCharges == 0 && Root.OomKiller.VictimsInFlight == 0 && !Root.KillLock.IsHeld
        && Root.Usage <= Root.Stocks.HeldIn(Root);

    private void CheckFindings() =>
        Check(Tally.Findings.Count == 0, string.Join('\n', Tally.Findings));

    private void CheckBooks()
    {
        Check(Root.BooksErrorCount == 0, $"I2, I5: {Root.FirstBooksError}");
        Check(Root.WaitingCharges == 0, $"I10: {Describe()}");
        Check(!Root.KillLock.IsHeld, "the kill lock is held");
        Check(Root.OomKiller.VictimsInFlight == 0, "I7: a victim is in flight, and all have gone");
        Root.Stocks.Drain(Root);
        var stack = new Stack<MemoryGroup>([Root]);
        while (stack.TryPop(out MemoryGroup? group))
        {
            long below = group.Children.Sum(static child => child.Usage) + group.Members.Sum(static one => one.Usage);
            Check(group.Usage == below, $"I1: {group.Path} uses {group.Usage}, all below it {below}");
            Check(
                group.OomMarks == 0 && group.OomLock.Holder is null && group.OomLock.HeldBelow == 0
                && group.AgedRequest is null && group.Counter.Waiters == 0,
                $"I9: something of an OOM is left at {group.Path}");
            group.Children.ToList().ForEach(stack.Push);
        }

        Check(Root.OomReserveUsed == 0, $"I8: {Root.OomReserveUsed} of the reserve");
        Check(Root.Usage == 0, $"{Root.Usage} bytes are left although everybody has gone");
    }

    private void Check(bool holds, string what) => Assert.True(holds, $"seed {_seed}: {what}");

    // The graph of who waits where, for whom, and what might wake it.
    private string Describe()
    {
        var text = new StringBuilder();
        var stack = new Stack<MemoryGroup>([Root]);
        using (Root.EnterGuard())
        {
            while (stack.TryPop(out MemoryGroup? group))
            {
                text.AppendLine($"{group.Path}: {group.Usage} of {group.Counter.Limit}, marks {group.OomMarks}, holder "
                    + $"{group.OomLock.Holder}, {group.OomLock.HeldBelow} held below, "
                    + $"aged {group.AgedRequest?.Ticket}");
                foreach (OomWaiter waiter in Sleepers.AndLeaving(group))
                {
                    text.AppendLine($"  {waiter.Member?.Path ?? "an administrator"} (ticket {waiter.Ticket}) wants "
                        + $"{waiter.Bytes}, was told {waiter.Signal}, has {waiter.Request.TimeLeft} left");
                }

                foreach (MemoryGroup? child in group.ChildRoster.Read())
                {
                    if (child is not null)
                    {
                        stack.Push(child);
                    }
                }
            }
        }

        return text.ToString();
    }

    // No memory where an asker's own flow allocates. Not where a wake is delivered or a lock was just let go: nothing
    // is allocated there in a build without probes.
    private void OnProbe(ProbePoint point, object? subject)
    {
        if (point == ProbePoint.VictimChosen)
        {
            Tally.Note("victims");
        }

        if (IsOver || point is not (ProbePoint.ChargeRefused or ProbePoint.Queued or ProbePoint.Marked
            or ProbePoint.BeforeNotify or ProbePoint.BeforeSleep or ProbePoint.BeforeKillLock))
        {
            return;
        }

        bool fail;
        lock (_faults)
        {
            fail = _faults.Next(300) == 0;
        }

        if (fail)
        {
            throw new InsufficientMemoryException($"no memory at {point}");
        }
    }
}
