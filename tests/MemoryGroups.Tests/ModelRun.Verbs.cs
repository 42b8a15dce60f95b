// What each operation does to the real tree and to the model, side by side. False: there is nothing to do it to.
namespace MemoryGroups.Tests;

internal sealed partial class ModelRun
{
    private static readonly int[] Adjustments = [0, 0, 0, 0, -1000, -500, 300, 1000];

    private static readonly long[] Timeouts = [0, 60, 400, 3000, 30_000, Timeout.Infinite];

    private GroupTwin? GroupAt(int place) => _groups[place % GroupPlaces];

    // Not the root, which has no limits of its own.
    private GroupTwin? InnerAt(int place) => _groups[1 + (place % (GroupPlaces - 1))];

    private MemberTwin? MemberAt(int place) => _members[place % MemberPlaces];

    // Seldom one that has exited: there is not much that it can do.
    private MemberTwin? WorkerAt(int place) =>
        MemberAt(place) is { IsCache: false } member && (!member.Model.Exited || place >= 56) ? member : null;

    private MemberTwin? FirstFrom(int place, Func<MemberTwin, bool> fits)
    {
        for (int i = 0; i < MemberPlaces; i++)
        {
            if (MemberAt(place + i) is { Model.Exited: false } member && fits(member))
            {
                return member;
            }
        }

        return null;
    }

    private LeaseTwin? LeaseAt(int place) => _leases[place % LeasePlaces];

    private bool Prepare(ModelOperation one)
    {
        switch (one.Verb)
        {
            case ModelVerb.CreateGroup:
                return CreateGroup(one);
            case ModelVerb.CloseGroup when InnerAt(one.A) is { } group:
                group.Real.Dispose();
                _model.Close(group.Model);
                return true;
            case ModelVerb.CreateMember or ModelVerb.CreateCache when GroupAt(one.B) is { } group:
                return CreateMember(one, group);
            case ModelVerb.Move when MemberAt(one.A) is { } member && GroupAt(one.B) is { } group:
                Move(member, group);
                return true;
            case ModelVerb.Exit when FirstFrom(one.A, static one => one.Model.Killed) is { } member:
                member.Real.Dispose();
                _model.Exit(member.Model);
                return true;
            case ModelVerb.Exit when MemberAt(one.A) is { } member:
                member.Real.Dispose();
                _model.Exit(member.Model);
                return true;
            case ModelVerb.Kill when MemberAt(one.A) is { } member:
                member.Real.Kill("by hand");
                _model.KillByHand(member.Model);
                return true;
            case ModelVerb.KillGroup when InnerAt(one.A) is { } group:
                group.Real.Kill("by hand");
                group.Model.MembersByLevel().ForEach(_model.KillByHand);
                return true;
            case ModelVerb.Freeze when MemberAt(one.A) is { } member:
                member.Real.Freeze();
                member.Model.Frozen |= !member.Model.Killed && !member.Model.Exited
                    && !(member.Model.IsDying && member.Model.Space.Victim);
                return true;
            case ModelVerb.Thaw when MemberAt(one.A) is { } member:
                member.Real.Thaw();
                member.Model.Frozen = false;
                return true;
            case ModelVerb.BeginExit when MemberAt(one.A) is { } member:
                member.Real.BeginExit();
                member.Model.Exiting = true;
                return true;
            case ModelVerb.Dump when MemberAt(one.A) is { } member:
                member.Dumps.Push(member.Real.BeginDump());
                member.Model.Dumps++;
                return true;
            case ModelVerb.EndDump when MemberAt(one.A) is { Dumps.Count: > 0 } member:
                member.Dumps.Pop().Dispose();
                member.Model.Dumps--;
                return true;
            default:
                return false;
        }
    }

    private bool CreateGroup(ModelOperation one)
    {
        int place = 1 + (one.A % (GroupPlaces - 1));
        if (_groups[place] is not null || GroupAt(one.B) is not { } parent || parent.Model.Upwards().Count > 3)
        {
            return false;
        }

        string name = $"g{_names++}";
        long max = one.C % 4 == 0 ? long.MaxValue : (300 * _model.Setup.Scale) + (one.Bytes * 3);
        bool? disabled = one.C % 5 == 0 ? true : null;
        long? batch = _model.Setup.HasStocks ? null : 1;
        var options = new MemoryGroupOptions { Max = max, KillDisabled = disabled, BatchBytes = batch };
        var model = new ModelGroup(parent.Model.Path + "/" + name, parent.Model)
        {
            Max = max,
            KillDisabled = disabled ?? parent.Model.KillDisabled,
            Timeout = parent.Model.Timeout,
        };
        parent.Model.Children.Add(model);
        _groups[place] = new GroupTwin(parent.Real.CreateGroup(name, options), model);
        return true;
    }

    private bool CreateMember(ModelOperation one, GroupTwin group)
    {
        int place = one.A % MemberPlaces;
        if (_members[place] is { Model.Exited: false })
        {
            return false;
        }

        string name = $"m{_names++}";
        bool cache = one.Verb == ModelVerb.CreateCache;
        MemberTwin? sharer = !cache && one.C >= 56 ? WorkerAt(one.C) : null;
        sharer = sharer is { Model.Exited: false } ? sharer : null;
        int adjustment = cache ? one.C % 4 == 0 ? 0 : -1000 : Adjustments[one.C % Adjustments.Length];
        var options = new MemoryMemberOptions { OomScoreAdjustment = adjustment, Space = sharer?.Real.Space };
        var twin = new MemberTwin(
            group.Real.CreateMember(name, options), _model.Join(group.Model, name, adjustment, sharer?.Model.Space))
        {
            IsCache = cache,
        };
        _members[place] = twin;
        if (cache)
        {
            // Registered here, or at the group above.
            bool above = one.C % 3 == 0 && group.Model.Parent is { Parent: not null };
            MemoryGroup real = above ? group.Real.Parent! : group.Real;
            ModelGroup model = above ? group.Model.Parent! : group.Model;
            real.AddReclaimer(new ModelReclaimer(twin.Real, _names));
            model.Caches.Add(new ModelCache(model, twin.Model, _names));
        }

        return true;
    }

    private void Move(MemberTwin member, GroupTwin group)
    {
        bool done = false;
        string ending = EndingOf(() => done = member.Real.MoveTo(group.Real));
        Agree(member.Model.Exited ? "closed" : "granted", ending, "moving a member");
        if (!member.Model.Exited)
        {
            Statistics.Add("moved while it waits", member.Model.Sleeps.Count > 0 && done ? 1 : 0);
            Agree(_model.Move(member.Model, group.Model), done, "moving a member");
            Statistics.Add(done ? "moved" : "stays because it dies", 1);
            Statistics.Add("bytes in groups that were left", member.Model.Left.Count > 0 ? 1 : 0);
            Statistics.Add("bytes in three groups", member.Model.Left.Count > 1 ? 1 : 0);
        }
    }

    private bool Charge(ModelOperation one)
    {
        switch (one.Verb)
        {
            case ModelVerb.Fill when FirstFrom(one.A, static one => one.IsCache) is { } cache:
                cache.Raw += TryCharge(cache, one.Bytes, () => cache.Real.TryCharge(one.Bytes)) ? one.Bytes : 0;
                return true;
            case ModelVerb.TryCharge when WorkerAt(one.A) is { } member:
                member.Raw += TryCharge(member, one.Bytes, () => member.Real.TryCharge(one.Bytes)) ? one.Bytes : 0;
                return true;
            case ModelVerb.Churn when FirstFrom(one.A, static one => SomebodyWaitsFor(one)) is { } member:
                for (int i = 0; i < one.C; i++)
                {
                    if (TryCharge(member, 1, () => member.Real.TryCharge(1)))
                    {
                        member.Real.Uncharge(1);
                        _model.Uncharge(member.Model, 1);
                    }
                }

                return true;
            case ModelVerb.Charge when WorkerAt(one.A) is { } member:
                ChargeNow(member, one);
                return true;
            case ModelVerb.ChargeAsync when WorkerAt(one.A) is { } member:
                return BeginCharge(
                    one, member, cancel => Granted(member.Real.ChargeAsync(one.Bytes, one.Flags, cancel)),
                    _ => member.Raw += one.Bytes);
            case ModelVerb.Uncharge when MemberAt(one.A) is { Raw: > 0 } member:
                long bytes = Math.Min(member.Raw, one.Bytes * 4);
                bytes = member.IsCache ? Math.Min(bytes, member.Model.Usage) : bytes;
                member.Real.Uncharge(bytes);
                _model.Uncharge(member.Model, bytes);
                member.Raw -= bytes;
                return true;
            case ModelVerb.MoveBytes when WorkerAt(one.A) is { Raw: > 0 } from && WorkerAt(one.B) is { } to
                && from.Model.Group == to.Model.Group:
                long moved = Math.Min(from.Raw, one.Bytes);
                bool done = from.Real.TryMoveTo(to.Real, moved);
                Agree(ReferenceModel.MoveBytes(from.Model.Books, to.Model.Books, moved), done, "moving bytes");
                from.Raw -= done ? moved : 0;
                to.Raw += done ? moved : 0;
                return true;
            default:
                return false;
        }
    }

    private static bool SomebodyWaitsFor(MemberTwin member) =>
        member.Model.Group.Upwards().Exists(static group => group.Queue.Count > 0);

    private bool TryCharge(MemberTwin member, long bytes, Func<bool> real)
    {
        bool granted = false;
        string ending = EndingOf(() => granted = real());
        bool expected = !member.Model.Exited && _model.TryCharge(member.Model, bytes);
        Agree(member.Model.Exited ? "closed" : "granted", ending, "TryCharge");
        Agree(expected, granted, "TryCharge");
        Statistics.Add(granted ? "TryCharge: true" : "TryCharge: false", 1);
        return granted;
    }

    private void ChargeNow(MemberTwin member, ModelOperation one)
    {
        string ending = EndingOf(() => member.Real.Charge(one.Bytes, one.Flags));
        ModelRequest request = _model.NewRequest(member.Model, one.Bytes, one.Flags);
        if (member.Model.Exited)
        {
            request.Outcome = "closed";
        }
        else
        {
            _model.Charge(request);
        }

        Agree(request.Outcome ?? "granted", ending, "Charge");
        Statistics.Add("Charge: " + ending.Split(" at ")[0], 1);
        member.Raw += request.Granted ? one.Bytes : 0;
    }

    // What was granted, it is told in which books.
    private bool BeginCharge(
        ModelOperation one,
        MemberTwin member,
        Func<CancellationToken, ValueTask<string>> real,
        Action<ModelBooks> granted,
        Action? over = null)
    {
        ModelRequest request = _model.NewRequest(member.Model, one.Bytes, one.Flags, member.Model.Group.Timeout);
        return Begin(one, request, real, () => _model.ChargeAsync(request), () => granted(request.Books!), over);
    }

    private bool Begin(
        ModelOperation one,
        ModelRequest request,
        Func<CancellationToken, ValueTask<string>> real,
        Func<IEnumerable<ModelSleep>> flow,
        Action? granted = null,
        Action? over = null)
    {
        int place = one.B % RequestPlaces;
        if (_requests[place] is not null)
        {
            return false;
        }

        var cancel = new CancellationTokenSource();
        _requests[place] = new RequestTwin(EndingOf(() => real(cancel.Token)), request, cancel)
        {
            Granted = granted,
            Over = over,
        };
        _model.Start(flow());
        return true;
    }

    private bool Lease(ModelOperation one)
    {
        int place = one.C % LeasePlaces;
        switch (one.Verb)
        {
            case ModelVerb.LeaseAsync when WorkerAt(one.A) is { } member:
                MemoryCharge? made = null;
                return BeginCharge(
                    one,
                    member,
                    async cancel =>
                    {
                        made = await member.Real.LeaseAsync(one.Bytes, one.Flags, cancel).ConfigureAwait(false);
                        return "granted";
                    },
                    books => Keep(place, member, made!, new ModelLease(books, one.Bytes)));
            case ModelVerb.TryLease when WorkerAt(one.A) is { } member:
                MemoryCharge? lease = null;
                if (TryCharge(member, one.Bytes, () => (lease = member.Real.TryLease(one.Bytes)) is not null))
                {
                    Keep(place, member, lease!, new ModelLease(member.Model.Books, one.Bytes));
                }

                return true;
            case ModelVerb.GrowAsync when LeaseAt(one.C) is { } growing:
                return Grow(place, growing, one);
            case ModelVerb.TryGrow when LeaseAt(one.C) is { } growing:
                if (TryCharge(growing.Owner, one.Bytes, () => growing.Real.TryGrow(one.Bytes)))
                {
                    growing.Model.Add(growing.Owner.Model.Books, one.Bytes);
                    Statistics.Add("a lease of two groups", growing.Model.Groups > 1 ? 1 : 0);
                }

                return true;
            case ModelVerb.Shrink when LeaseAt(one.C) is { } shrinking:
                shrinking.Real.Shrink(one.Bytes);
                shrinking.Model.Shrink(_model, one.Bytes);
                return true;
            case ModelVerb.Split when LeaseAt(one.C) is { } split:
                long part = Math.Min(one.Bytes, split.Model.Bytes);
                Keep(one.B % LeasePlaces, split.Owner, split.Real.Split(part), split.Model.Split(part));
                return true;
            case ModelVerb.Transfer when LeaseAt(one.C) is { } given && WorkerAt(one.A) is { } to
                && given.Model.IsChargedTo(to.Model.Group):
                return Transfer(place, given, to);
            case ModelVerb.Return when LeaseAt(one.C) is not null:
                GiveBack(place);
                return true;
            default:
                return false;
        }
    }
}

// Gives back what one member holds.
internal sealed class ModelReclaimer(MemoryMember member, int cost) : MemoryReclaimer(member.Name)
{
    public override int Cost => cost;

    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
    {
        long gives = Math.Min(request.Bytes, member.Usage);
        member.Uncharge(gives);
        return ValueTask.FromResult(gives);
    }
}
