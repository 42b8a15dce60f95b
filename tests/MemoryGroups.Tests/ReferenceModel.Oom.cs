// The second half of the model: refusing, waiting and waking, killing and dying.
namespace MemoryGroups.Tests;

internal sealed partial class ReferenceModel
{
    private readonly List<ModelSpace> _inFlight = [];
    private readonly List<ModelSleep> _disablers = [];

    // Requests may still sleep there, if their members have moved away.
    private readonly List<ModelGroup> _closed = [];

    public bool KillerDisabled { get; private set; }

    public int AgedRequests { get; private set; }

    public int InFlight => _inFlight.Count;

    private long CostlyNow => CostlyIsSet ? Costly : Root.Max == long.MaxValue ? long.MaxValue : Root.Max / 4;

    // ---- how a request ends

    private bool TryFit(ModelRequest request)
    {
        request.Refusing = Refuser(request.Books!, request.Bytes, Floor(request));
        request.Granted = request.Refusing is null;
        if (request.Granted)
        {
            StartBackground();
        }

        return request.Granted;
    }

    // A victim leaves with what the reserve has; what can never fit, or may not wait, is decided at once.
    private bool LeaveEarly(ModelRequest request)
    {
        ModelMember member = request.Member!;
        long floor = Floor(request);
        if (member.MayUseReserve)
        {
            if (!request.Has(ChargeFlags.NoReserve) && request.Bytes <= ReserveSize - ReserveUsed
                && Force(request.Books!, request.Bytes, floor))
            {
                request.Books!.Overdraft += request.Bytes;
                ReserveUsed += request.Bytes;
                request.Granted = true;
            }
            else
            {
                Refuse(request, null);
            }

            return true;
        }

        for (ModelGroup? at = request.Refusing; at is not null; at = at.Parent)
        {
            if (request.Bytes > at.Room(floor) + at.Usage)
            {
                request.Refusing = at;
                Refuse(request, ChargeRefusal.Impossible);
                return true;
            }
        }

        if (request.Has(ChargeFlags.FromReclaim | ChargeFlags.NoWait))
        {
            Refuse(request, ChargeRefusal.DoesNotFit);
            return true;
        }

        return false;
    }

    private bool Force(ModelBooks books, long bytes, long? floor)
    {
        if (floor is { } keep && bytes > Root.Room(keep))
        {
            Root.Refusals++;
            return false;
        }

        Add(books, bytes);
        return true;
    }

    // No reason: because it is dying. Some requests are charged over the limit instead (M9).
    private void Refuse(ModelRequest request, ChargeRefusal? reason)
    {
        bool noFail = request.Has(ChargeFlags.NoFail);
        if (noFail || (reason is not null && request.Has(ChargeFlags.HighPriority | ChargeFlags.FromReclaim)))
        {
            if (!request.CountedMax)
            {
                CountMax(request);
            }

            request.Granted = Force(request.Books!, request.Bytes, noFail ? null : Floor(request));
        }

        if (!request.Granted)
        {
            request.Outcome = reason is null ? "killed" : $"{reason} at {request.Refusing!.Path}";
        }
    }

    private static void CountMax(ModelRequest request)
    {
        request.CountedMax = true;
        request.Refusing!.Raise(MemoryEvent.Max);
    }

    private long TimeLeft(ModelRequest request) => request.Timeout == Timeout.Infinite
        ? Timeout.Infinite
        : Math.Max(0, request.Timeout - (Now - request.StartedAt));

    private void Obey(ModelRequest request)
    {
        switch (request.Verdict)
        {
            case OomVerdict.Killed when request.Member!.MayUseReserve:
            case OomVerdict.Retry:
                break;
            case OomVerdict.Killed:
                Refuse(request, null);
                break;
            case OomVerdict.TimedOut:
                Refuse(request, ChargeRefusal.TimedOut);
                break;
            case OomVerdict.KillerDisabled:
                Refuse(request, ChargeRefusal.KillerDisabled);
                break;
            case OomVerdict.NoVictim:
                Refuse(request, ChargeRefusal.NoVictim);
                break;
            default:
                request.Outcome = request.Verdict == OomVerdict.Closed ? "closed" : "cancelled";
                break;
        }
    }

    // ---- waiting

    private static IEnumerable<ModelSleep> None(ModelRequest request)
    {
        request.Gave = 0;
        return [];
    }

    // Behind an older request that was passed over too often.
    private static ModelGroup? HeldBack(ModelRequest request)
    {
        if (request.Has(OomRequest.NeverHeldBack) || request.Member!.IsDying)
        {
            return null;
        }

        ModelGroup? at = request.Books!.Group;
        while (at is not null && (at.Aged is null || at.Aged.Ticket >= request.Ticket))
        {
            at = at.Parent;
        }

        return at;
    }

    private ModelSleep Enter(ModelRequest request, ModelGroup group)
    {
        ModelSleep sleep = NewSleep(request, 0);
        sleep.Group = group;
        group.Queue.Insert(group.Queue.FindLastIndex(other => other.Request.Ticket < request.Ticket) + 1, sleep);
        PassHintOn(request);
        return sleep;
    }

    private static void Leave(ModelRequest request, ModelSleep sleep)
    {
        if (sleep.Group is { } group)
        {
            group.Queue.Remove(sleep);
            group.Marks -= sleep.IsMarked ? 1 : 0;
            sleep.Group = null;
            request.TurnAt = sleep.HasTurn ? group : request.TurnAt;
            if (sleep.Why == WakeReason.Hint)
            {
                request.HintFrom = group;
            }
        }

        request.Member?.Sleeps.Remove(sleep);
    }

    private IEnumerable<ModelSleep> Pause(ModelRequest request, ModelGroup group, long? atMost, Func<bool> stillWaits)
    {
        ModelSleep sleep = Enter(request, group);
        PassTurnOn(request);
        request.Verdict = OomVerdict.Retry;
        if (stillWaits())
        {
            foreach (ModelSleep one in SleepOn(request, sleep, atMost))
            {
                yield return one;
            }
        }

        Leave(request, sleep);
    }

    private IEnumerable<ModelSleep> SleepOn(ModelRequest request, ModelSleep sleep, long? atMost)
    {
        long left = TimeLeft(request);
        if (left == 0)
        {
            request.Verdict = OomVerdict.TimedOut;
            yield break;
        }

        bool brief = atMost is { } most && (left == Timeout.Infinite || most < left);
        sleep.AtMost = brief ? atMost!.Value : left;
        yield return sleep;
        request.Verdict = sleep.Why switch
        {
            WakeReason.Hint => OomVerdict.Retry,
            WakeReason.Killed => OomVerdict.Killed,
            WakeReason.Cancelled => OomVerdict.Cancelled,
            WakeReason.TimedOut => brief ? OomVerdict.Retry : OomVerdict.TimedOut,
            _ => OomVerdict.Closed,
        };
    }

    // Queue, mark, look again, trylock; the winner notifies and kills, others sleep (S000-9).
    private IEnumerable<ModelSleep> GroupOom(ModelRequest request, ModelGroup group)
    {
        ModelSleep sleep = Enter(request, group);
        if (request.TurnAt != group)
        {
            PassTurnOn(request);
        }

        group.Marks++;
        sleep.IsMarked = true;
        bool won = false;
        request.Verdict = OomVerdict.Retry;
        if (!FitsIn(request, group) && !IsImpossible(request))
        {
            if (!HasVictim(group))
            {
                won = MayLock(group);
                request.TurnAt = null;
            }

            if (won)
            {
                _held.Add((group, request));
                group.Raise(MemoryEvent.Oom);
                group.Tree().ForEach(Notify);
            }

            if (won && !group.KillDisabled)
            {
                Leave(request, sleep);
                request.Verdict = FitsIn(request, group) ? OomVerdict.Retry : ChooseAndKill(request, group);
            }
            else
            {
                group.Raise(MemoryEvent.Wait);
                foreach (ModelSleep one in SleepOn(request, sleep, null))
                {
                    yield return one;
                }
            }
        }

        Leave(request, sleep);
        if (won)
        {
            _held.Remove((group, request));
            GiveTurns(RelatedGroups(group));
        }

        request.Rounds = request.Verdict == OomVerdict.Retry ? 0 : request.Rounds;
        Obey(request);
    }
}
