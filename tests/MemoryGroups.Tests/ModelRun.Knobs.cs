// The second half of the operations: leases that change hands, accounts, and every knob.
namespace MemoryGroups.Tests;

internal sealed partial class ModelRun
{
    // A place that is taken is emptied first: its lease goes back.
    private void Keep(int place, MemberTwin owner, MemoryCharge real, ModelLease model)
    {
        GiveBack(place);
        _leases[place] = new LeaseTwin(real, model, owner);
    }

    private void GiveBack(int place)
    {
        if (_leases[place] is { } old)
        {
            old.Real.Dispose();
            old.Model.Shrink(_model, old.Model.Bytes);
            _leases[place] = null;
            _world.Run();
            _model.Run();
        }
    }

    // While it grows nobody else touches it: its place is free, and taken again at the end.
    private bool Grow(int place, LeaseTwin lease, ModelOperation one)
    {
        bool begun = BeginCharge(
            one,
            lease.Owner,
            cancel => Granted(lease.Real.GrowAsync(one.Bytes, one.Flags, cancel)),
            books => lease.Model.Add(books, one.Bytes),
            () =>
            {
                GiveBack(place);
                _leases[place] = lease;
            });
        _leases[place] = begun ? null : lease;
        return begun;
    }

    private bool Transfer(int place, LeaseTwin lease, MemberTwin to)
    {
        MemoryCharge? moved = lease.Real.TransferTo(to.Real);
        ModelLease? expected = lease.Model.Transfer(_model, to.Model.Books);
        Agree(expected is not null, moved is not null, "transferring a lease");
        _leases[place] = moved is null ? null : new LeaseTwin(moved, expected!, to);
        return true;
    }

    private bool Account(ModelOperation one)
    {
        if (one.Verb is < ModelVerb.AccountTryGrow or > ModelVerb.AccountClose
            || WorkerAt(one.A) is not { AccountBusy: false } member)
        {
            return false;
        }

        (MemoryAccount real, ModelAccount model) = member.Account
            ??= (member.Real.OpenAccount(), new ModelAccount(member.Model));
        switch (one.Verb)
        {
            case ModelVerb.AccountTryGrow:
                model.FollowMember();
                model.Grow(TryCharge(member, one.Bytes, () => real.TryGrow(one.Bytes)) ? one.Bytes : 0);
                return true;
            case ModelVerb.AccountGrowAsync:
                return GrowAccount(one, member, real, model);
            case ModelVerb.AccountShrink:
                long part = Math.Min(one.Bytes, model.Used);
                real.Shrink(part);
                model.Shrink(_model, part);
                return true;
            default:
                real.Dispose();
                model.Close(_model);
                member.Account = null;
                return true;
        }
    }

    // Tries what fits now first, as it is said to.
    private bool GrowAccount(ModelOperation one, MemberTwin member, MemoryAccount real, ModelAccount model)
    {
        ModelRequest request = _model.NewRequest(member.Model, one.Bytes, one.Flags, member.Model.Group.Timeout);
        member.AccountBusy = Begin(
            one,
            request,
            cancel => Granted(real.GrowAsync(one.Bytes, one.Flags, cancel)),
            () => GrowFlow(request, model),
            () => model.Grow(one.Bytes),
            () => member.AccountBusy = false);
        return member.AccountBusy;
    }

    private IEnumerable<ModelSleep> GrowFlow(ModelRequest request, ModelAccount account)
    {
        account.FollowMember();
        request.Granted = !request.Member!.Exited && _model.TryCharge(request.Member, request.Bytes);
        request.Outcome = request.Granted ? "granted" : null;
        return request.Granted ? [] : _model.ChargeAsync(request);
    }

    private bool Tune(ModelOperation one)
    {
        long bytes = one.C % 5 == 0 ? long.MaxValue : (one.C % 3 * 100 * _model.Setup.Scale) + (one.Bytes * 3);
        switch (one.Verb)
        {
            case ModelVerb.SetMax when InnerAt(one.A) is { } group:
                group.Real.Max = bytes;
                _model.SetMax(group.Model, bytes);
                return true;
            case ModelVerb.SetMaxAsync when InnerAt(one.A) is { } group:
                ModelRequest change = _model.NewRequest(null, 0, 0, group.Model.Timeout);
                return Begin(
                    one, change, cancel => Said(group.Real.SetMaxAsync(bytes, cancel)),
                    () => _model.SetMax(change, group.Model, bytes));
            case ModelVerb.TrySetMax when InnerAt(one.A) is { } group:
                ModelRequest attempt = _model.NewRequest(null, 0, 0, group.Model.Timeout);
                return Begin(
                    one, attempt, cancel => Said(group.Real.TrySetMaxAsync(bytes, cancel)),
                    () => _model.TrySetMax(attempt, group.Model, bytes));
            case ModelVerb.SetHigh when InnerAt(one.A) is { } group:
                group.Real.High = bytes;
                _model.SetHigh(group.Model, bytes);
                return true;
            case ModelVerb.SetMin when InnerAt(one.A) is { } group:
                group.Real.Min = group.Model.Min = one.Bytes;
                return true;
            case ModelVerb.SetLow when InnerAt(one.A) is { } group:
                group.Real.Low = group.Model.Low = one.Bytes;
                return true;
            case ModelVerb.SetSoftLimit when InnerAt(one.A) is { } group:
                group.Real.SoftLimit = group.Model.SoftLimit = one.Bytes;
                return true;
            case ModelVerb.SetTimeout when GroupAt(one.A) is { } group:
                group.Model.Timeout = Timeouts[one.C % Timeouts.Length];
                group.Real.WaitTimeout = TimeSpan.FromMilliseconds(group.Model.Timeout);
                return true;
            case ModelVerb.SetCapacity:
                long capacity = (100 * _model.Setup.Scale) + (one.Bytes * 8);
                _root.Capacity = capacity;
                _model.SetCapacity(capacity);
                return true;
            case ModelVerb.SetCostly:
                _root.CostlyChargeBytes = _model.Costly = bytes;
                _model.CostlyIsSet = true;
                return true;
            case ModelVerb.SetAdjustment when WorkerAt(one.A) is { } member:
                member.Real.OomScoreAdjustment = member.Model.Adjustment = Adjustments[one.C % Adjustments.Length];
                return true;
            default:
                return false;
        }
    }

    private bool Switch(ModelOperation one)
    {
        bool on = one.C % 3 == 0;
        int signal = one.B % SignalPlaces;
        switch (one.Verb)
        {
            case ModelVerb.SetKillDisabled when InnerAt(one.A) is { } group:
                group.Real.Oom.KillDisabled = on;
                _model.SetKillDisabled(group.Model, on);
                return true;
            case ModelVerb.SetKillWhole when GroupAt(one.A) is { } group:
                group.Real.Oom.KillWholeGroup = group.Model.KillWhole = on;
                return true;
            case ModelVerb.Suspend:
                _root.StorageSuspended = _model.StorageSuspended = on;
                return true;
            case ModelVerb.Disable:
                long timeout = one.Bytes * 10;
                ModelRequest disable = _model.NewRequest(null, 0, 0, timeout);
                return Begin(
                    one, disable,
                    cancel => Said(_root.OomKiller.DisableAsync(TimeSpan.FromMilliseconds(timeout), cancel)),
                    () => _model.DisableKiller(disable));
            case ModelVerb.Enable:
                _root.OomKiller.Enable();
                _model.EnableKiller();
                return true;
            case ModelVerb.KillNow:
                Agree(true, _root.OomKiller.KillNowAsync().AsTask().IsCompleted, "KillNow");
                _model.KillNow();
                return true;
            case ModelVerb.Reclaim when GroupAt(one.A) is { } group:
                ModelRequest reclaim = _model.NewRequest(null, 0, 0, group.Model.Timeout);
                return Begin(
                    one, reclaim, cancel => Said(group.Real.ReclaimAsync(one.Bytes, cancel)),
                    () => _model.ReclaimOnRequest(reclaim, group.Model, one.Bytes));
            case ModelVerb.ResetPeak when GroupAt(one.A) is { } group:
                group.Real.ResetPeak();
                group.Model.Peak = group.Model.Usage;
                return true;
            case ModelVerb.Register when GroupAt(one.A) is { } group:
                group.Real.Oom.Register(_signals[signal]);
                _model.Register(group.Model, signal);
                return true;
            case ModelVerb.Unregister when GroupAt(one.A) is { } group:
                group.Real.Oom.Unregister(_signals[signal]);
                group.Model.Registered.RemoveAll(registered => registered == signal);
                return true;
            case ModelVerb.Cancel when Array.Find(_requests, static one => one is not null) is { } request:
                request.Cancel.Cancel();
                _model.Cancel(request.Model);
                return true;
            case ModelVerb.Tick:
                long milliseconds = one.Bytes * (one.C % 8 == 0 ? 100 : 2);
                _world.Advance(TimeSpan.FromMilliseconds(milliseconds));
                _model.Run();
                _model.Advance(milliseconds);
                return true;
            default:
                return false;
        }
    }
}
