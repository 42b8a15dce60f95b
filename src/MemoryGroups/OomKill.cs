// One kill: what was decided for whom, carried out in the order that keeps it safe, and its report.
//
//   choose    under the guard the space becomes a victim and is counted in flight; from here nobody else chooses it
//   count     the event, once, on the group of the space's owner, which may be below the group that was full
//   send      Killed is cancelled (on a work item of its own: registrations are user code) and every wait of the victim
//             ends
//   reserve   only after the kill was sent, so that the victim cannot spend the reserve on work that will be thrown
//             away
//   sharers   every other member of the same space is killed too; one that may not be killed makes the space unreapable
//   reaper    queued last
// All of it under the kill lock, none of it user code. The report is built afterwards, outside every lock; only what
// the kill is about to change is noted before it (OomReportBuilder).
namespace MemoryGroups;

internal sealed class OomKill(OomRequest request, MemoryGroup group, string why)
{
    private readonly List<string> _killed = [];
    private readonly List<MemorySpace> _decided = [];
    private readonly MemoryRoot _root = group.Root;

    internal OomRequest Request { get; } = request.Keep();

    internal MemoryGroup Group { get; } = group;

    internal long ScaleBytes { get; } = Scale(group);

    internal OomScene Scene => field ??= new OomScene(Group, Request, ScaleBytes);

    internal long Score(MemoryMember member) => OomPolicy.LinearScore(member, ScaleBytes);

    // False when the candidate cannot be a victim any more.
    internal bool Execute(OomCandidate candidate)
    {
        MemoryMember victim = candidate.Member;
        OomReportBuilder builder = OomReportBuilder.Before(this, candidate, why);
        if (!TrySend(candidate, Group, space => space.Draft(_root, builder)))
        {
            return false;
        }

        _decided.Add(victim.Space);
        if (WholeGroupToKill(victim) is { } whole)
        {
            // Before the others go, too: the report tells of the moment of the decision.
            OomReport report = victim.Space.Report!;
            int before = _killed.Count;
            whole.Events.Raise(MemoryEvent.OomGroupKill);
            OomCandidates.Walk(whole, member =>
            {
                if (member.OomScoreAdjustment > MemoryMember.NeverKill)
                {
                    var also = new OomCandidate(member, Score(member), $"'{whole.Path}' is killed as a whole");
                    TrySend(also, whole, space => space.Report = report with { Outcome = OomOutcome.InFlight });
                }
            });
            string[] all = [victim.Path, .. _killed.Skip(before)];
            _root.Reports.Amend(victim.Space, known => known with { Killed = all });
        }

        return true;
    }

    // After every lock: reports wake people.
    internal void Publish()
    {
        foreach (MemorySpace victim in _decided)
        {
            _root.Reports.Add(victim);
        }
    }

    // The asker is dying and frees its memory as soon as it can: it gets what a victim gets, without being killed for
    // it.
    internal void LetFinish(MemoryMember asker)
    {
        using (_root.EnterGuard())
        {
            if (!asker.Space.TryMakeVictimLocked())
            {
                return;
            }

            _root.OomKiller.AddInFlightLocked(asker.Space);
        }

        GrantReserve(asker.Space);
        ThawAll(asker.Space);
        _root.Reaper.Queue(asker.Space);
    }

    internal void StopSystemIfTold()
    {
        OomPanic panic = _root.PanicOnOom;
        bool stops = panic == OomPanic.Always || (panic == OomPanic.CapacityOnly && Scene.IsGlobal);
        if (stops && !Request.HasPanicked)
        {
            Request.HasPanicked = true;

            // Its own work item: user code, and it usually does not return.
            string what = $"out of memory in '{Group.Path}' ({Group.Usage} of {Group.OwnLimit} bytes)";
            _root.Post(new PanicCall(_root, what));
        }
    }

    private bool TrySend(OomCandidate candidate, MemoryGroup within, Action<MemorySpace> setReport)
    {
        MemorySpace space = candidate.Member.Space;
        using (_root.EnterGuard())
        {
            // It may have moved away since it was looked at; once it is a victim, it stays.
            if (!candidate.Member.Group.IsWithin(within) || !space.TryMakeVictimLocked())
            {
                return false;
            }

            _root.OomKiller.AddInFlightLocked(space);
        }

        // Before the kill is sent: the victim's exception carries it.
        space.ReportedAt = _root.TimeProvider.GetTimestamp();
        setReport(space);
        _killed.Add(candidate.Member.Path);
        Probe.At(_root, ProbePoint.VictimChosen, candidate.Member);
        (space.Owner ?? candidate.Member).Group.Events.Raise(MemoryEvent.OomKill);

        candidate.Member.ReceiveKill(candidate.Reason);
        Probe.At(_root, ProbePoint.KillSent, candidate.Member);
        GrantReserve(space);

        bool reapable = true;
        foreach (MemoryMember sharer in space.Members())
        {
            if (sharer.OomScoreAdjustment == MemoryMember.NeverKill)
            {
                reapable = false;
            }
            else if (sharer != candidate.Member)
            {
                sharer.ReceiveKill("it shares the memory of " + candidate.Member.Path);
            }
        }

        ThawAll(space);
        if (reapable)
        {
            _root.Reaper.Queue(space);
        }
        else
        {
            OomReaper.Hide(_root, space, OomOutcome.NotReapable);
        }

        return true;
    }

    // From here on every byte that one of them returns repays what it has overdrawn: no cell may keep it.
    private void GrantReserve(MemorySpace space)
    {
        space.GrantReserve();
        foreach (MemoryMember member in space.Members())
        {
            _root.Stocks.Remove(member.Books);
            _root.WaitQueue.WakeOwn(member);
        }
    }

    // Nobody may sleep in a pause while the others wait for its memory (S003-10).
    private static void ThawAll(MemorySpace space)
    {
        foreach (MemoryMember member in space.Members())
        {
            member.Thaw();
        }
    }

    // The topmost group with the switch set, from the victim's up to the refusing one; switches above that do not
    // count, nor any when the victim is no longer below it (M28).
    private MemoryGroup? WholeGroupToKill(MemoryMember victim)
    {
        MemoryGroup? whole = null;
        if (victim.Group.IsWithin(Group))
        {
            for (MemoryGroup? at = victim.Group; at is not null; at = at == Group ? null : at.Parent)
            {
                if (at.Oom.KillWholeGroup)
                {
                    whole = at;
                }
            }
        }

        return whole;
    }

    // Against what adjustments count: the limit, and without one the usage.
    internal static long Scale(MemoryGroup group)
    {
        long limit = group.OwnLimit;
        return Math.Max(1, limit == long.MaxValue ? group.Usage : limit);
    }

    private sealed class PanicCall(MemoryRoot root, string message) : IThreadPoolWorkItem
    {
        public void Execute() => root.Panic(message);
    }
}
