// What the system must do, without threads, stocks and locks: a tree of numbers and a list of who sleeps where.
//
// Written from the requirements, to be compared with the real tree after every operation (ModelRun). A request is a
// flow that yields its sleeps; who is woken continues in the order of waking. Everything is exact to the byte and
// decided in one place each: what fits, who sleeps at which group, who is woken, who dies, who may exceed a limit.
//
// Must stay true: nothing here looks at the real tree, and nothing depends on time other than the model's own clock.
namespace MemoryGroups.Tests;

internal sealed partial class ReferenceModel
{
    private readonly Queue<Action> _ready = new();
    private readonly List<ModelSleep> _alarms = [];
    private readonly List<(ModelGroup Group, ModelRequest By)> _held = [];
    private long _tickets;

    public ReferenceModel(ModelSetup setup)
    {
        Setup = setup;
        Root.Timeout = setup.WaitTimeout;
        SetCapacity(setup.Capacity);
    }

    public ModelSetup Setup { get; }

    public ModelGroup Root { get; } = new("root", null);

    public List<string> Victims { get; } = [];

    public long[] Signals { get; } = new long[8];

    public long Now { get; private set; }

    public long Costly { get; set; }

    public bool CostlyIsSet { get; set; }

    public bool StorageSuspended { get; set; }

    public long MinWatermark { get; private set; }

    public long LowWatermark { get; private set; }

    public long HighWatermark { get; private set; }

    public long ReserveSize { get; private set; }

    public long ReserveUsed { get; private set; }

    public long LeftAtExit { get; private set; }

    public int Sleeping => Root.Tree().Sum(static group => group.Queue.Count);

    // ---- the clock, and who goes next

    public void Run()
    {
        while (_ready.TryDequeue(out Action? next))
        {
            next();
        }
    }

    public void Advance(long milliseconds)
    {
        long end = Now + milliseconds;
        while (_alarms.Where(alarm => alarm.Due <= end).MinBy(static alarm => alarm.Due) is { } first)
        {
            _alarms.Remove(first);
            Now = first.Due;
            Signal(first, WakeReason.TimedOut);
            Run();
        }

        Now = end;
    }

    public void Start(IEnumerable<ModelSleep> flow) => Continue(flow.GetEnumerator());

    private void Continue(IEnumerator<ModelSleep> flow)
    {
        while (flow.MoveNext())
        {
            ModelSleep sleep = flow.Current;
            if (sleep.IsDelivered)
            {
                continue;
            }

            sleep.Flow = flow;
            if (sleep.AtMost != Timeout.Infinite)
            {
                sleep.Due = Now + sleep.AtMost;
                _alarms.Add(sleep);
            }

            if (sleep.Request.Cancelled)
            {
                Signal(sleep, WakeReason.Cancelled);
            }

            return;
        }
    }

    private void Signal(ModelSleep sleep, WakeReason why)
    {
        if (sleep.Why == WakeReason.None)
        {
            sleep.Why = why;
            _ready.Enqueue(() =>
            {
                _alarms.Remove(sleep);
                sleep.IsDelivered = true;
                if (sleep.Flow is { } flow)
                {
                    Continue(flow);
                }
            });
        }
    }

    // A sleep belongs to its member: a death ends it, and who is dead does not fall asleep.
    private ModelSleep NewSleep(ModelRequest request, long atMost)
    {
        var sleep = new ModelSleep(request) { AtMost = atMost };
        request.Sleep = sleep;
        if (request.Member is { } member)
        {
            member.Sleeps.Add(sleep);
            if (member.Exited || member.Killed)
            {
                Signal(sleep, member.Exited ? WakeReason.Closed : WakeReason.Killed);
            }
        }

        return sleep;
    }

    // ---- what fits

    // What stays free at the root: M36.
    private long Floor(ChargeFlags flags, bool victim)
    {
        long floor = (flags & ChargeFlags.FromReclaim) != 0 ? 0 : MinWatermark;
        if ((flags & ChargeFlags.NoReserve) != 0)
        {
            return MinWatermark;
        }

        if ((flags & ChargeFlags.HighPriority) != 0)
        {
            floor -= floor / 2;
            floor -= (flags & ChargeFlags.NoWait) != 0 ? floor / 4 : 0;
        }

        return floor - (victim ? floor / 2 : 0);
    }

    private long Floor(ModelRequest request) => Floor(request.Flags, request.Member is { MayUseReserve: true });

    private bool FitsIn(ModelRequest request, ModelGroup group) => request.Bytes <= group.Room(Floor(request));

    // Its limits have been cut below what it asks for.
    private bool IsImpossible(ModelRequest request)
    {
        long floor = Floor(request);
        return request.Books is { } books
            && books.Group.Upwards().Exists(at => request.Bytes > at.Room(floor) + at.Usage);
    }

    // ---- the three verbs

    public bool TryCharge(ModelMember member, long bytes)
    {
        bool fits = Refuser(member.Books, bytes, Floor(ChargeFlags.NoWait, member.MayUseReserve)) is null;
        if (fits)
        {
            StartBackground();
        }

        return fits;
    }

    public void Charge(ModelRequest request)
    {
        if (!TryFit(request) && !LeaveEarly(request))
        {
            CountMax(request);
            for (int round = 0; round < 16 && !request.Has(ChargeFlags.NoReclaim); round++)
            {
                ReclaimHere(request, request.Refusing!, Wanted(request));
                if (TryFit(request))
                {
                    return;
                }

                if (request.Gave == 0 || request.Has(ChargeFlags.NoRetry))
                {
                    break;
                }
            }

            Refuse(request, request.Member!.IsDying ? null : ChargeRefusal.DoesNotFit);
        }
    }

    public IEnumerable<ModelSleep> ChargeAsync(ModelRequest request)
    {
        if (request.Member!.Exited || HeldBack(request) is not null || !TryFit(request))
        {
            foreach (ModelSleep sleep in Struggle(request))
            {
                yield return sleep;
            }

            Finish(request);
        }

        if (request.Granted && !request.Has(ChargeFlags.NoWait | ChargeFlags.FromReclaim))
        {
            foreach (ModelSleep sleep in SlowDown(request))
            {
                yield return sleep;
            }
        }

        request.Outcome ??= "granted";
        request.Ended?.Invoke();
    }

    // M8, from the first refusal on, until granted or refused.
    private IEnumerable<ModelSleep> Struggle(ModelRequest request)
    {
        while (!request.IsDecided)
        {
            if (request.Member!.Exited || request.IsLeftBehind)
            {
                request.Outcome = "closed";
                yield break;
            }

            if (HeldBack(request) is { } aged && !IsImpossible(request))
            {
                request.Refusing = aged;
                foreach (ModelSleep sleep in Pause(
                    request, aged, null, () => HeldBack(request) is not null && !IsImpossible(request)))
                {
                    yield return sleep;
                }

                Obey(request);
                continue;
            }

            if (TryFit(request) || LeaveEarly(request))
            {
                yield break;
            }

            PassHintOn(request);
            CountMax(request);
            ModelGroup group = request.Refusing!;
            long before = group.Usage;
            request.SawBusy = false;
            foreach (ModelSleep sleep in request.Has(ChargeFlags.NoReclaim)
                ? None(request) : ReclaimForCharge(request, group))
            {
                yield return sleep;
            }

            if (FitsIn(request, group) || IsImpossible(request))
            {
                continue;
            }

            request.Rounds = group.Usage < before ? 0 : request.Rounds + 1;
            bool again = request.Rounds < 16 && !request.Has(ChargeFlags.NoRetry);
            if (TimeLeft(request) == 0)
            {
                Refuse(request, ChargeRefusal.TimedOut);
            }
            else if (again && request.Gave == 0 && request.SawBusy)
            {
                foreach (ModelSleep sleep in Pause(request, group, 10, () => !FitsIn(request, group)))
                {
                    yield return sleep;
                }

                Obey(request);
            }
            else if (!again || request.Gave == 0)
            {
                foreach (ModelSleep sleep in GiveUpOrOom(request, group))
                {
                    yield return sleep;
                }
            }
        }
    }

    private IEnumerable<ModelSleep> GiveUpOrOom(ModelRequest request, ModelGroup group)
    {
        ModelMember member = request.Member!;
        if (request.Has(ChargeFlags.NoRetry | ChargeFlags.RetryMayFail))
        {
            Refuse(request, ChargeRefusal.DoesNotFit);
            return None(request);
        }

        if (request.Bytes > CostlyNow)
        {
            Refuse(request, ChargeRefusal.Costly);
            return None(request);
        }

        if (request.ThroughOom && member.IsDying && !member.MayUseReserve)
        {
            Refuse(request, null);
            return None(request);
        }

        request.ThroughOom = true;
        return group.Parent is null ? GlobalOom(request) : GroupOom(request, group);
    }
}
