// Chooses one victim and kills it: the order in which that happens, and what must be true at each point.
//
// Before the kill lock, because user code runs there: the handler's window, and a custom policy's ranking. Under it: is
// the killer on, does the request fit by now (B10), is the asker itself about to free its memory, is a victim already
// on its way out (then nobody else dies, S003-11); only then a choice. The margin is looked at again under the lock
// because the memory may have come back while we waited for it.
//
// Must stay true: a space becomes a victim at most once, and only here (B36); victims in flight are counted per space,
// from the choice until the last member sharing the space has exited (I7); while disabled nobody becomes a victim.
// Follows mm/oom_kill.c.
namespace MemoryGroups;

/// <summary>The switch and the manual trigger of the OOM killer; see <see cref="MemoryRoot.OomKiller"/>.</summary>
/// <remarks>Thread safety: all members may be used from any thread.</remarks>
public sealed class OomKiller
{
    /// <summary>How long disabling waits for victims when nobody says otherwise: 20 seconds.</summary>
    public static readonly TimeSpan DefaultDisableTimeout = TimeSpan.FromSeconds(20);

    private readonly MemoryRoot _root;

    // Guarded by the root's guard.
    private readonly List<MemorySpace> _inFlight = [];
    private int _inFlightCount;
    private List<OomWaiter>? _disablers;
    private bool _disabled;

    internal OomKiller(MemoryRoot root) => _root = root;

    /// <summary>True while nobody may be killed: full groups and a full root then refuse.</summary>
    public bool IsDisabled => Volatile.Read(ref _disabled);

    /// <summary>Killed members (spaces) that have not exited yet.</summary>
    public int VictimsInFlight
    {
        get
        {
            using (_root.EnterGuard())
            {
                return _inFlight.Count;
            }
        }
    }

    internal KillLock KillLock => _root.KillLock;

    /// <summary>
    /// Stops all killing, and waits until every victim has exited, at most for <see cref="DefaultDisableTimeout"/>.
    /// While it is off, a full group or root refuses charges.
    /// </summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>
    /// True when the killer is off and no victim is left. False on timeout or cancellation: the killer is on again.
    /// </returns>
    public ValueTask<bool> DisableAsync(CancellationToken cancellationToken = default) =>
        DisableAsync(DefaultDisableTimeout, cancellationToken);

    /// <summary>
    /// Stops all killing, and waits until every victim has exited. While it is off, a full group or root refuses
    /// charges.
    /// </summary>
    /// <param name="timeout">How long to wait for victims: 0 to 49 days.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>
    /// True when the killer is off and no victim is left. False on timeout or cancellation: the killer is on again.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is out of range.</exception>
    public async ValueTask<bool> DisableAsync(TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero);
        MemoryGroupOptions.CheckedTimeout(timeout, nameof(timeout));
        var request = new OomRequest(_root, null, 0, ChargeFlags.None, timeout) { Cancel = cancellationToken };

        // With the kill lock, so that no kill is half done when we return true.
        if (await KillLock.AcquireAsync(request).ConfigureAwait(false) != WakeReason.Hint)
        {
            return false;
        }

        OomWaiter waiter;
        bool gone;
        try
        {
            waiter = request.NewWaiter(_root);
            using (_root.EnterGuard())
            {
                (_disablers ??= []).Add(waiter);
                Volatile.Write(ref _disabled, true);
                gone = _inFlight.Count == 0;
            }
        }
        finally
        {
            KillLock.Release();
        }

        if (!gone)
        {
            await waiter.SleepAsync(request.TimeLeft, cancellationToken).ConfigureAwait(false);
        }

        // Whatever ended the wait, what holds now counts: somebody else may have enabled the killer meanwhile, or given
        // up; and who gives up in the moment in which the last victim goes must not undo what others are told.
        bool isOff;
        using (_root.EnterGuard())
        {
            _disablers!.Remove(waiter);
            isOff = _disabled && _inFlight.Count == 0;
            if (!isOff)
            {
                Volatile.Write(ref _disabled, false);
            }
        }

        if (!isOff)
        {
            _root.WaitQueue.WakeAll(_root);
        }

        return isOff;
    }

    /// <summary>Allows killing again; requests that wait look again at once.</summary>
    public void Enable()
    {
        Volatile.Write(ref _disabled, false);
        _root.WaitQueue.WakeAll(_root);
    }

    /// <summary>
    /// Kills the member with the highest score in the whole root, whether or not memory is short and whether or not
    /// another victim is on its way out. Runs no reclaimers, handlers or policies.
    /// </summary>
    /// <param name="cancellationToken">Gives up waiting for another kill in progress.</param>
    /// <returns>The report; null when nobody is eligible, the killer is disabled, or the wait was given up.</returns>
    public ValueTask<OomReport?> KillNowAsync(CancellationToken cancellationToken = default) =>
        KillOneAsync(
            _root,
            "asked for by an administrator",
            kill => VictimSearch.Worst(_root, kill.ScaleBytes),
            cancellationToken);

    // Without an OOM: nobody waits for this victim's memory. Who it is, is decided under the kill lock.
    internal async ValueTask<OomReport?> KillOneAsync(
        MemoryGroup group, string why, Func<OomKill, OomCandidate?> choose, CancellationToken cancellationToken)
    {
        var request = new OomRequest(_root, null, 0, ChargeFlags.None, _root.WaitTimeout)
        {
            Cancel = cancellationToken,
        };
        if (await KillLock.AcquireAsync(request).ConfigureAwait(false) != WakeReason.Hint)
        {
            return null;
        }

        OomKill? kill = null;
        OomCandidate? chosen = null;
        bool killed = false;
        try
        {
            kill = new OomKill(request, group, why);
            chosen = IsDisabled ? null : choose(kill);
            killed = chosen is { } found && kill.Execute(found);
        }
        finally
        {
            KillLock.Release();
            kill?.Publish();
        }

        return killed ? chosen!.Value.Member.Space.Report : null;
    }

    // For the holder of the group's OOM lock, who is neither queued nor marked.
    internal async ValueTask<OomVerdict> KillForGroupAsync(OomRequest request, MemoryGroup group)
    {
        string why = group.Parent is null ? "less room was left than is in use" : "the limit of its group was reached";
        var kill = new OomKill(request, group, why);
        try
        {
            (OomVerdict? settled, IReadOnlyList<OomCandidate>? ranking) = await AskAsync(kill).ConfigureAwait(false);
            if (settled is { } verdict)
            {
                return verdict;
            }

            Probe.At(_root, ProbePoint.BeforeKillLock, request);
            WakeReason reason = await KillLock.AcquireAsync(request).ConfigureAwait(false);
            switch (reason)
            {
                case WakeReason.Hint:
                    break;
                case WakeReason.Cancelled:
                    return OomVerdict.Cancelled;
                case WakeReason.TimedOut:
                    return OomVerdict.TimedOut;
                default:
                    // Killed while waiting: probably by whoever holds it. Progress, without a kill (M17).
                    return OomVerdict.Retry;
            }

            try
            {
                return request.FitsIn(group) ? OomVerdict.Retry : ChooseAndKill(kill, ranking);
            }
            finally
            {
                KillLock.Release();
            }
        }
        finally
        {
            kill?.Publish();
        }
    }

    // Handler and custom policy: user code, so before the kill lock.
    internal async ValueTask<(OomVerdict? Settled, IReadOnlyList<OomCandidate>? Ranking)> AskAsync(OomKill kill)
    {
        OomRequest request = kill.Request;
        TimeSpan deadline = _root.HandlerDeadline;
        if (OomControl.HandlerFor(kill.Group) is { } handler)
        {
            UserCallResult<OomDecision> answer = await UserCall<OomDecision>.RunAsync(
                request, kill.Group, deadline, token => handler.OnOomAsync(kill.Scene, token)).ConfigureAwait(false);
            request.Note(new ReclaimStep("OOM handler", request.Bytes, 0, answer.Outcome));
            if (answer.Value is { HasFreed: true } && request.FitsIn(kill.Group))
            {
                return (OomVerdict.Retry, null);
            }

            if (answer.Value?.Victim is { } named)
            {
                return (null, [new OomCandidate(named, kill.Score(named), "named by the group's OOM handler")]);
            }
        }

        if (OomControl.PolicyFor(kill.Group) is { } policy)
        {
            UserCallResult<IReadOnlyList<OomCandidate>> ranked = await UserCall<IReadOnlyList<OomCandidate>>.RunAsync(
                request, kill.Group, deadline, _ => ValueTask.FromResult(CopyOf(policy.Rank(kill.Scene))))
                .ConfigureAwait(false);
            request.Note(new ReclaimStep("OOM policy", 0, 0, ranked.Outcome));
            return (null, ranked.Value);
        }

        return (null, null);
    }

    // The list is the policy's: it may be user code to read it, and the policy may change it for the next OOM.
    private static IReadOnlyList<OomCandidate> CopyOf(IReadOnlyList<OomCandidate> ranking) =>
        ranking is null ? null! : [.. ranking];

    // With the kill lock held.
    internal OomVerdict ChooseAndKill(OomKill kill, IReadOnlyList<OomCandidate>? ranking)
    {
        // Given up while a handler or policy was asked: nobody dies for a request that nobody makes any more.
        if (kill.Request.IsOver)
        {
            return OomVerdict.Cancelled;
        }

        if (IsDisabled)
        {
            return OomVerdict.KillerDisabled;
        }

        MemoryMember? asker = kill.Request.Asker;
        if (asker is not null && IsAboutToFree(asker))
        {
            // It only needs the reserve to finish; no kill is counted (M20, M21).
            kill.LetFinish(asker);
            return OomVerdict.Retry;
        }

        // Only for the root: in a group such a request would retry for ever where nobody else reclaims (B12).
        if (kill.Scene.IsGlobal && _root.LeavesReclaimToOthers(kill.Request))
        {
            return OomVerdict.Unsettled;
        }

        kill.StopSystemIfTold();
        if (HasVictimInFlight(kill.Group))
        {
            return OomVerdict.Retry;
        }

        Guarantee? guarantee = Guarantee.For(kill);
        if (kill.Scene.IsGlobal && _root.KillAllocatingMember && asker is not null && OomCandidates.IsEligible(asker)
            && guarantee?.Covers(asker) is not true)
        {
            kill.Execute(new OomCandidate(asker, kill.Score(asker), "it made the request (KillAllocatingMember)"));
            return OomVerdict.Retry;
        }

        foreach (OomCandidate candidate in ranking ?? [])
        {
            if (candidate.Member is { } member && member.Group.IsWithin(kill.Group) && OomCandidates.IsEligible(member)
                && guarantee?.Covers(member) is not true && kill.Execute(candidate))
            {
                return OomVerdict.Retry;
            }
        }

        // A policy that ranked and found nobody has spoken; a handler that named somebody unfit has not.
        bool policySpoke = ranking is not null && OomControl.PolicyFor(kill.Group) is not null;
        while (!policySpoke && VictimSearch.Worst(kill.Group, kill.ScaleBytes, guarantee) is { } worst)
        {
            if (kill.Execute(worst))
            {
                return OomVerdict.Retry;
            }
        }

        if (kill.Request.FitsIn(kill.Group))
        {
            return OomVerdict.Retry;
        }

        return OomCandidates.HasBytesOnTheWay(kill.Group) ? OomVerdict.Unsettled : OomVerdict.NoVictim;
    }

    // A victim below this group that has neither exited nor been given up on: its memory is still to come.
    internal bool HasVictimInFlight(MemoryGroup group)
    {
        // Nearly always; who is chosen at this moment is found under the kill lock.
        if (Volatile.Read(ref _inFlightCount) == 0)
        {
            return false;
        }

        MemorySpace[] inFlight;
        using (_root.EnterGuard())
        {
            inFlight = [.. _inFlight];
        }

        foreach (MemorySpace space in inFlight)
        {
            if (!space.IsHidden && space.HasMemberIn(group))
            {
                return true;
            }
        }

        return false;
    }

    internal void AddInFlightLocked(MemorySpace space)
    {
        _inFlight.Add(space);
        Volatile.Write(ref _inFlightCount, _inFlight.Count);
    }

    // The last member of the space has exited.
    internal void SpaceGone(MemorySpace space, MemoryGroup group)
    {
        bool wasVictim;
        OomWaiter[] disablers = [];
        using (_root.EnterGuard(group))
        {
            // Not hidden unless it was killed: a member may join it later, and must not be immune then.
            wasVictim = _inFlight.Remove(space);
            Volatile.Write(ref _inFlightCount, _inFlight.Count);
            if (wasVictim)
            {
                space.HideLocked();
            }

            if (_inFlight.Count == 0 && _disablers is { Count: > 0 } waiting)
            {
                disablers = [.. waiting.Where(waiter => waiter.TrySignalLocked(WakeReason.Hint))];
            }
        }

        foreach (OomWaiter disabler in disablers)
        {
            disabler.Complete();
        }

        if (wasVictim)
        {
            _root.Reports.Conclude(space, OomOutcome.Exited);
            _root.WaitQueue.WakeAll(group);
        }
    }

    // Dying, not being dumped, not given up on, and everybody who shares the memory likewise.
    private static bool IsAboutToFree(MemoryMember asker) =>
        !asker.Space.IsHidden && asker.Space.IsDying
        && Array.TrueForAll(asker.Space.Members(), static member => !member.IsDumping);
}
