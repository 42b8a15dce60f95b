// THE story: what happens to a charge that its member's stock could not serve.
//
//   fit      a batch, then exactly the bytes, then the same after taking back all stock of the refusing subtree (M8
//            1-3, 9)
//   leave    who is a victim gets what the reserve has and goes; who may not wait is refused, or forced if its flags
//            say so
//   reclaim  the refusing group's subtree gives back what it can; if the bytes fit now, or something was given, start
//            over
//   OOM      group: the contest for the subtree (OomContest). Root: the global path (GlobalOom). Then start over.
// Stocks are taken back before anybody is refused, reclaimed or killed: idle bytes are no reason for any of it. A
// request that no limit on its path could ever admit is refused before anything is tried, and hurts nobody. What a
// reclaimer claims is believed as long as the group's usage falls; the rounds in which it does not are bounded, and all
// is bounded by the deadline.
//
// Must stay true: one attempt ends exactly once, granted or by an exception that says who refused and why; whatever it
// was woken for and did not use is handed on (OomWaitQueue.Finish). Follows try_charge_memcg in mm/memcontrol.c.
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal sealed partial class ChargeAttempt
{
    internal const int MaxRounds = 16;

    private OomRequest? _request;
    private UsageCounter? _refused;
    private int _rounds;
    private bool _throughOom;
    private bool _granted;
    private bool _countedMax;

    private OomRequest Request => _request ?? MakeRequest(default);

    // The member may have moved since: what was begun in this group is charged, or refused, in this group.
    private MemoryGroup Charged => _books.Group;

    private MemoryGroup Refusing => _refused!.Group;

    // TryCharge: fits now, or not.
    internal static bool Try(MemberBooks books, long bytes) =>
        TryFit(books, bytes, ChargeFlags.NoWait, out _);

    // Charge: may reclaim on this thread; never waits, never kills.
    internal static void Run(MemberBooks books, long bytes, ChargeFlags flags)
    {
        if (TryFit(books, bytes, flags, out UsageCounter? refused))
        {
            return;
        }

        ChargeAttempt attempt = Begin(books, bytes, flags);
        attempt._refused = refused;
        if (!attempt.TryLeaveEarly())
        {
            try
            {
                attempt.ReclaimHere();
            }
            finally
            {
                attempt.EndStall();
            }
        }

        attempt.GiveBack();
    }

    internal static ValueTask RunAsync(MemberBooks books, long bytes, ChargeFlags flags, CancellationToken cancel)
    {
        if (cancel.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancel);
        }

        // Most slow paths end here: a refill, or room after a drain. Nothing is made for them.
        bool granted = !MustQueueBehindAged(books, flags, null, out _) && TryFit(books, bytes, flags, out _);
        if (granted && !MustSlowDown(books, flags))
        {
            return ValueTask.CompletedTask;
        }

        ChargeAttempt attempt = Begin(books, bytes, flags);
        attempt._granted = granted;
        return attempt.RunAsync(cancel);
    }

    [AsyncMethodBuilder(typeof(PooledValueTaskBuilder))]
    private async ValueTask RunAsync(CancellationToken cancel)
    {
        // Already granted, and only to be slowed down: _refused was never set.
        bool granted = _granted;
        OomRequest request = MakeRequest(cancel);
        try
        {
            while (!granted)
            {
                // Awaited here: every method around the sleep would be one more to suspend and to resume.
                if (await StepAsync().ConfigureAwait(false))
                {
                    OomVerdict verdict;
                    OomContest contest = request.Contest.Begin(Refusing);
                    try
                    {
                        verdict = contest.Compete() switch
                        {
                            OomContest.Next.LookAgain => OomVerdict.Retry,
                            OomContest.Next.Kill => await contest.KillAsync().ConfigureAwait(false),
                            _ => contest.VerdictOn(await contest.SleepAsync(null).ConfigureAwait(false)),
                        };
                    }
                    finally
                    {
                        contest.Leave();
                    }

                    await ObeyContestAsync(verdict).ConfigureAwait(false);
                }

                granted = _granted;
            }
        }
        finally
        {
            _root.WaitQueue.Finish(request, granted);
            EndStall();
        }

        if (MustSlowDown(_books, _flags))
        {
            BeginStall();
            try
            {
                await HighThrottle.ApplyAsync(request, Charged).ConfigureAwait(false);
            }
            catch (OutOfMemoryException)
            {
                // The bytes are charged, and an exception would say that they are not.
            }
            finally
            {
                EndStall();
            }
        }

        GiveBack();
    }

    // One round up to the OOM of a group. True when that comes next; false when granted, or to start over; every other
    // end is an exception.
    [AsyncMethodBuilder(typeof(PooledValueTaskBuilder<>))]
    private async ValueTask<bool> StepAsync()
    {
        Request.Cancel.ThrowIfCancellationRequested();

        // A member that is still there has moved: its group was closed under a charge that it had begun there.
        Gone.ThrowIf(Request.HasLostItsGroup, Charged);
        if (MustQueueBehindAged(_books, _flags, _request, out MemoryGroup? aged) && !Request.IsImpossible)
        {
            await QueueBehindAgedAsync(aged!).ConfigureAwait(false);
            return false;
        }

        if (TryFit() || TryLeaveEarly())
        {
            return false;
        }

        // What it was woken for did not do for it; it may do for somebody else while this one reclaims.
        _root.WaitQueue.PassHintOn(Request, granted: false);
        BeginStall();
        CountMax();
        if (await ReclaimAsync().ConfigureAwait(false))
        {
            // Granted only when it was forced, at the deadline; a second round would charge it again.
            return false;
        }

        ChargeRefusal? refusal = Has(ChargeFlags.NoRetry) || Has(ChargeFlags.RetryMayFail) ? ChargeRefusal.DoesNotFit
            : _bytes > _root.CostlyChargeBytes ? ChargeRefusal.Costly
            : null;
        if (refusal is { } reason)
        {
            return !ForceOrThrow(reason);
        }

        if (_throughOom && _member.IsDying && !_member.MayUseReserve)
        {
            return !ForceOrThrowKilled();
        }

        _throughOom = true;
        if (_refused!.IsRoot)
        {
            await GlobalOomAsync().ConfigureAwait(false);
            return false;
        }

        return true;
    }

    private async ValueTask QueueBehindAgedAsync(MemoryGroup aged)
    {
        _refused = aged.Counter;
        BeginStall();
        Obey(await OomContest.WaitAsync(
            Request,
            aged,
            null,
            () => MustQueueBehindAged(_books, _flags, _request, out _) && !Request.IsImpossible).ConfigureAwait(false));
    }

    private async ValueTask GlobalOomAsync()
    {
        _root.WaitQueue.PassTurnOn(Request);
        bool trustChain = _rounds < MaxRounds;
        GlobalOom.Result result = await GlobalOom.RunAsync(Request, _books, trustChain).ConfigureAwait(false);
        if (result.Granted)
        {
            _granted = true;
        }
        else if (result.GateRefused)
        {
            ForceOrThrow(ChargeRefusal.Gate);
        }
        else
        {
            await ObeyOomAsync(result.Verdict).ConfigureAwait(false);
        }
    }

    private ValueTask ObeyContestAsync(OomVerdict verdict)
    {
        if (verdict == OomVerdict.Retry)
        {
            // Reclaim gets all its rounds again before anybody else is killed. Not at the root, where they bound how
            // long the last-resort chain is believed.
            _rounds = 0;
            return ValueTask.CompletedTask;
        }

        return ObeyOomAsync(verdict);
    }

    private async ValueTask ObeyOomAsync(OomVerdict verdict) =>
        Obey(verdict == OomVerdict.Unsettled
            ? await OomContest.PauseAsync(Request, Refusing).ConfigureAwait(false)
            : verdict);

    private void Obey(OomVerdict verdict)
    {
        switch (verdict)
        {
            case OomVerdict.Retry:
                return;
            case OomVerdict.Killed when _member.MayUseReserve:
                return;
            case OomVerdict.Killed:
                ForceOrThrowKilled();
                return;
            case OomVerdict.Cancelled:
                Request.Cancel.ThrowIfCancellationRequested();
                return;
            case OomVerdict.TimedOut:
                ForceOrThrow(ChargeRefusal.TimedOut);
                return;
            case OomVerdict.Closed:
                throw Gone.Exited(_member);
            case OomVerdict.KillerDisabled:
                ForceOrThrow(ChargeRefusal.KillerDisabled);
                return;
            default:
                ForceOrThrow(ChargeRefusal.NoVictim);
                return;
        }
    }

    // True when granted in a way that needs no reclaim. Throws when this is the end.
    private bool TryLeaveEarly()
    {
        long floor = _root.FloorFor(_flags, _member.MayUseReserve);
        if (_member.MayUseReserve)
        {
            bool overdrawn = !Has(ChargeFlags.NoReserve) && _books.TryOverdraw(_bytes, floor);
            return overdrawn ? _granted = true : ForceOrThrowKilled();
        }

        if (Refusing.Counter.NeverAdmits(_bytes, floor) is { } never)
        {
            _refused = never;
            return ForceOrThrow(ChargeRefusal.Impossible);
        }

        if (Has(ChargeFlags.FromReclaim) || Has(ChargeFlags.NoWait))
        {
            return ForceOrThrow(ChargeRefusal.DoesNotFit);
        }

        // Inside a reclaimer or handler that works for this very memory: waiting would be waiting for ourselves.
        return Reentry.Concerns(Refusing) && ForceOrThrow(ChargeRefusal.Reentrant);
    }

    // Who may not wait is not slowed down, nor is who is dying or frees the very memory that the others wait for.
    private static bool MustSlowDown(MemberBooks books, ChargeFlags flags) =>
        (flags & (ChargeFlags.NoWait | ChargeFlags.FromReclaim)) == 0 && !books.Member.IsDying
        && HighThrottle.IsOver(books.Group) && !Reentry.Concerns(books.Group);

    // The end for who is dying; what must not fail is charged all the same.
    private bool ForceOrThrowKilled() =>
        Has(ChargeFlags.NoFail) ? ForceOrThrow(ChargeRefusal.DoesNotFit) : throw OomKilledException.For(_member);

    // Refused, unless the flags say that it must not be (M9). A forced charge counts at least one Max event.
    private bool ForceOrThrow(ChargeRefusal reason)
    {
        const ChargeFlags forcing = ChargeFlags.NoFail | ChargeFlags.HighPriority | ChargeFlags.FromReclaim;
        if ((_flags & forcing) != 0)
        {
            if (!_countedMax)
            {
                CountMax();
            }

            long floor = _root.FloorFor(_flags, _member.MayUseReserve);
            if (_books.TryForce(_bytes, floor, evenAtRoot: Has(ChargeFlags.NoFail)))
            {
                return _granted = true;
            }

            Gone.ThrowIf(_books.IsClosed, _member);
        }

        throw MemoryLimitExceededException.For(_member, Refusing, _bytes, _flags, reason, _request);
    }

    // An older request that was passed over too often holds younger ones back, so that the bytes it needs can add up.
    private static bool MustQueueBehindAged(
        MemberBooks books, ChargeFlags flags, OomRequest? request, out MemoryGroup? group)
    {
        const ChargeFlags exempt = OomRequest.NeverHeldBack;
        for (group = books.Group; group is not null && (flags & exempt) == 0; group = group.Parent)
        {
            if (Volatile.Read(ref group.AgedRequest) is { } aged && aged != request
                && (request is null || request.Ticket > aged.Ticket))
            {
                return !books.Member.IsDying && !Reentry.Concerns(group);
            }
        }

        return false;
    }

    private bool Has(ChargeFlags flag) => (_flags & flag) != 0;
}
