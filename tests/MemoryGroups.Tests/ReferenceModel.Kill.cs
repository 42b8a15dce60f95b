// The third part of the model: who dies, what a death gives back, and what administrators change.
namespace MemoryGroups.Tests;

internal sealed partial class ReferenceModel
{
    private const long ReapDelay = 2000;

    // ---- killing

    private IEnumerable<ModelSleep> GlobalOom(ModelRequest request)
    {
        PassTurnOn(request);
        ModelMember member = request.Member!;
        if (Refuser(request.Books!, request.Bytes, Math.Max(Floor(request), HighWatermark)) is null)
        {
            request.Granted = true;
            yield break;
        }

        if (member.Dumps > 0 || request.Has(ChargeFlags.Confined) || StorageSuspended)
        {
            Refuse(request, ChargeRefusal.Gate);
            yield break;
        }

        bool fits = FitsIn(request, Root);
        request.Verdict = fits ? OomVerdict.Retry : ChooseAndKill(request, Root);
        if (!fits && request.Verdict == OomVerdict.Retry && request.Has(ChargeFlags.NoFail)
            && Refuser(request.Books!, request.Bytes, 0) is null)
        {
            // All of the reserve, once somebody was killed (M35).
            request.Granted = true;
            yield break;
        }

        if (request.Verdict == OomVerdict.Unsettled)
        {
            foreach (ModelSleep sleep in Pause(request, Root, 10, () => !FitsIn(request, Root)))
            {
                yield return sleep;
            }
        }
        else if (request.Verdict == OomVerdict.Retry && HasVictim(Root))
        {
            foreach (ModelSleep sleep in Pause(
                request, Root, null, () => !FitsIn(request, Root) && !IsImpossible(request)
                    && HasVictim(Root) && !member.MayUseReserve))
            {
                yield return sleep;
            }
        }

        Obey(request);
    }

    private OomVerdict ChooseAndKill(ModelRequest request, ModelGroup group)
    {
        if (KillerDisabled)
        {
            return OomVerdict.KillerDisabled;
        }

        // It only needs the reserve to finish (M21).
        if (request.Member is { Space: { Hidden: false } space }
            && space.Members.TrueForAll(static member => member.IsDying && member.Dumps == 0))
        {
            if (!space.Victim)
            {
                BecomeVictim(space);
                space.Reserve = true;
                space.Members.ForEach(static member => member.Frozen = false);
                ReapLater(space);
            }

            return OomVerdict.Retry;
        }

        if (group.Parent is null && LeavesReclaimToOthers(request))
        {
            return OomVerdict.Unsettled;
        }

        if (HasVictim(group))
        {
            return OomVerdict.Retry;
        }

        if (group.Parent is null && Setup.KillAsker && request.Member is { IsEligible: true } asker)
        {
            Kill(asker, group);
            return OomVerdict.Retry;
        }

        if (Worst(group) is { } worst)
        {
            Kill(worst, group);
            return OomVerdict.Retry;
        }

        return FitsIn(request, group) ? OomVerdict.Retry : OomVerdict.NoVictim;
    }

    private bool HasVictim(ModelGroup group) => _inFlight.Exists(
        space => !space.Hidden && space.Members.Exists(member => member.Group.IsIn(group)));

    // The highest score, level by level in order of creation; of equals the later (M24).
    private ModelMember? Worst(ModelGroup group)
    {
        long scale = Math.Max(1, group.Max == long.MaxValue ? group.Usage : group.Max);
        ModelMember? worst = null;
        long highest = 0;
        foreach (ModelMember member in group.MembersByLevel())
        {
            long score = member.Space.Usage + (member.Adjustment * (scale / 1000));
            bool later = score > highest || (score == highest && Setup.Mistake != ModelMistake.OfEqualsTheEarlierDies);
            if (member.IsEligible && (worst is null || later))
            {
                (worst, highest) = (member, score);
            }
        }

        return worst;
    }

    private void Kill(ModelMember victim, ModelGroup group)
    {
        ModelGroup? whole = null;
        for (ModelGroup? at = victim.Group; at is not null && at.IsIn(group); at = at.Parent)
        {
            whole = at.KillWhole ? at : whole;
        }

        Send(victim);
        if (whole is not null)
        {
            whole.Raise(MemoryEvent.OomGroupKill);
            foreach (ModelMember member in whole.MembersByLevel())
            {
                if (member.Adjustment > -1000 && !member.Space.Victim && !member.Space.Hidden)
                {
                    Send(member);
                }
            }
        }
    }

    // Counted once, where the space's oldest member is; the reserve only after the kill (M27).
    private void Send(ModelMember victim)
    {
        ModelSpace space = victim.Space;
        BecomeVictim(space);
        Victims.Add(victim.Name);
        space.Members[0].Group.Raise(MemoryEvent.OomKill);
        ReceiveKill(victim);
        space.Reserve = true;
        foreach (ModelMember sharer in space.Members.Where(static one => one.Adjustment > -1000))
        {
            ReceiveKill(sharer);
        }

        space.Members.ForEach(static member => member.Frozen = false);
        if (space.Members.Exists(static one => one.Adjustment == -1000))
        {
            Hide(space);
        }
        else
        {
            ReapLater(space);
        }
    }

    private void BecomeVictim(ModelSpace space)
    {
        space.Victim = true;
        _inFlight.Add(space);
    }

    private void ReceiveKill(ModelMember member)
    {
        if (!member.Killed && !member.Exited)
        {
            member.Killed = true;
            member.Sleeps.ToList().ForEach(sleep => Signal(sleep, WakeReason.Killed));
        }
    }

    private void ReapLater(ModelSpace space) => Start(Reap(space));

    private IEnumerable<ModelSleep> Reap(ModelSpace space)
    {
        yield return NewSleep(NewRequest(null, 0), ReapDelay);
        Hide(space);
    }

    private void Hide(ModelSpace space)
    {
        if (!space.Hidden)
        {
            space.Hidden = true;
            space.Members.ForEach(member => WakeAll(member.Group));
        }
    }

    public void KillByHand(ModelMember member)
    {
        if (member.Adjustment > -1000)
        {
            ReceiveKill(member);
            member.Frozen = false;
        }
    }

    public void KillNow()
    {
        if (!KillerDisabled && Worst(Root) is { } worst)
        {
            Kill(worst, Root);
        }
    }

    public IEnumerable<ModelSleep> DisableKiller(ModelRequest request)
    {
        KillerDisabled = true;
        request.Outcome = "True";
        if (_inFlight.Count > 0)
        {
            ModelSleep sleep = NewSleep(request, request.Timeout);
            _disablers.Add(sleep);
            request.Outcome = null;
            yield return sleep;
            _disablers.Remove(sleep);
            bool isOff = KillerDisabled && _inFlight.Count == 0;
            request.Outcome = isOff ? "True" : "False";
            if (!isOff)
            {
                EnableKiller();
            }
        }
    }

    public void EnableKiller()
    {
        KillerDisabled = false;
        WakeAll(Root);
    }

    // ---- coming and going

    public ModelMember Join(ModelGroup group, string name, int adjustment, ModelSpace? space)
    {
        var member = new ModelMember(group, name, space ?? new ModelSpace()) { Adjustment = adjustment };
        group.Members.Add(member);
        member.Space.Members.Add(member);
        if (member.Space.Victim)
        {
            ReceiveKill(member);
        }

        return member;
    }

    public void Exit(ModelMember member)
    {
        if (member.Exited)
        {
            return;
        }

        member.Group.Members.Remove(member);
        member.Frozen = false;
        member.Sleeps.ToList().ForEach(sleep => Signal(sleep, WakeReason.Closed));
        LeftAtExit += member.Usage;
        foreach (ModelBooks books in (ModelBooks[])[member.Books, .. member.Left])
        {
            GiveBack(books, books.Usage, wakes: Setup.Mistake != ModelMistake.AnExitWakesNobody);
        }

        member.Exited = true;
        ModelSpace space = member.Space;
        space.Members.Remove(member);
        if (space.Members.Count > 0)
        {
            if (space.Victim)
            {
                WakeAll(member.Group);
            }

            return;
        }

        bool wasVictim = _inFlight.Remove(space);
        space.Hidden |= wasVictim;
        if (_inFlight.Count == 0)
        {
            _disablers.ForEach(sleep => Signal(sleep, WakeReason.Hint));
        }

        if (wasVictim)
        {
            WakeAll(member.Group);
        }
    }

    public void Close(ModelGroup group)
    {
        group.Closed = true;
        List<int> registered = [.. group.Registered];
        group.Registered.Clear();
        group.Caches.Clear();
        group.Children.ToList().ForEach(Close);
        group.Members.ToList().ForEach(Exit);
        registered.ForEach(signal => Signals[signal]++);
        WakeAll(group);
        group.Parent!.Children.Remove(group);
        _closed.Add(group);
    }

    // ---- knobs

    public void SetMax(ModelGroup group, long bytes)
    {
        bool raised = bytes > group.Max;
        group.Max = bytes;
        if (raised)
        {
            WakeAll(group);
        }
        else
        {
            Wake(RelatedGroups(group).SelectMany(static one => one.Queue).Where(sleep => IsImpossible(sleep.Request)));
        }
    }

    // Without options the watermarks and the reserve follow the capacity.
    public void SetCapacity(long bytes)
    {
        MinWatermark = Setup.HasStocks ? 0 : bytes / 128;
        LowWatermark = MinWatermark + (MinWatermark / 4);
        HighWatermark = MinWatermark + (MinWatermark / 2);
        ReserveSize = Setup.Reserve;
        SetMax(Root, bytes);
    }

    public void SetKillDisabled(ModelGroup group, bool value)
    {
        group.KillDisabled = value;
        if (!value)
        {
            WakeAll(group);
        }
    }

    public void Register(ModelGroup group, int signal)
    {
        group.Registered.Add(signal);
        if (group.Parent is not null && group.UnderOom)
        {
            Signals[signal]++;
        }
    }

    public void Cancel(ModelRequest request)
    {
        request.Cancelled = true;
        if (request.Sleep is { IsDelivered: false } sleep)
        {
            Signal(sleep, WakeReason.Cancelled);
        }
    }

    public ModelRequest NewRequest(ModelMember? member, long bytes, ChargeFlags flags = 0, long? timeout = null) =>
        new(member, bytes, flags, timeout ?? Timeout.Infinite, ++_tickets, Now);
}
