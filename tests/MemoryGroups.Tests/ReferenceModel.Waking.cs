// Who is woken by what: the third part of the model.
namespace MemoryGroups.Tests;

internal sealed partial class ReferenceModel
{
    // A counter fell: oldest first, who fits into what the others leave; above as well. Passing over makes old.
    private void WakeFitting(ModelGroup from, bool countPasses)
    {
        var woken = new List<ModelSleep>();
        for (ModelGroup? at = from; at is not null; at = at.Parent)
        {
            // Those who were told already are on their way to their bytes.
            long room = at.Room(0) - at.Queue.Where(static one => one.Why == WakeReason.Hint)
                .Sum(static one => one.Request.Bytes);
            bool passes = countPasses;
            foreach (ModelSleep sleep in at.Queue)
            {
                ModelRequest request = sleep.Request;
                bool leaves = sleep.Why != WakeReason.None;
                bool yields = at.Aged is { } aged && request.Ticket > aged.Ticket
                    && !request.Has(OomRequest.NeverHeldBack);
                if (leaves || yields)
                {
                    continue;
                }

                if (request.Bytes <= room - (at.Parent is null ? Floor(request) : 0))
                {
                    room -= request.Bytes;
                    woken.Add(sleep);
                }
                else if (passes)
                {
                    // The oldest that gets nothing is passed; those behind it are behind it.
                    passes = false;
                    if (Ages(request))
                    {
                        Age(request, at);
                        break;
                    }
                }
            }
        }

        Wake(woken);
    }

    private bool Ages(ModelRequest request)
    {
        long patience = request.Timeout == Timeout.Infinite ? 30_000 : request.Timeout;
        return ++request.Passed > 64 && (Now - request.StartedAt) * 4 >= patience;
    }

    private void Age(ModelRequest request, ModelGroup at)
    {
        if (at.Aged is null && request.AgedIn?.IsIn(at) != false)
        {
            request.AgedIn?.Aged = null;
            request.AgedIn = at;
            AgedRequests++;
            at.Aged = request;
        }
    }

    // Something else changed: everybody at the group, above it and below it (S000-20).
    private void WakeAll(ModelGroup at) => Wake(RelatedGroups(at).SelectMany(static group => group.Queue));

    // An OOM lock is free: the oldest contender of each group tries that could win now.
    private void GiveTurns(IEnumerable<ModelGroup> groups, long after = -1)
    {
        var next = groups.Where(MayLock)
            .Select(group => group.Queue.Find(
                one => one.IsMarked && one.Why == WakeReason.None && one.Request.Ticket > after))
            .OfType<ModelSleep>().ToList();
        next.ForEach(static sleep => sleep.HasTurn = true);
        Wake(next);
    }

    private bool MayLock(ModelGroup group) =>
        _held.TrueForAll(one => !one.Group.IsIn(group) && !group.IsIn(one.Group));

    private IEnumerable<ModelGroup> RelatedGroups(ModelGroup at) => Root.Tree().Concat(_closed)
        .Where(group => group.IsIn(at) || at.IsIn(group));

    private void Wake(IEnumerable<ModelSleep> woken)
    {
        int order = Setup.Mistake == ModelMistake.TheYoungestIsWokenFirst ? -1 : 1;
        foreach (ModelSleep sleep in woken.OrderBy(one => one.Request.Ticket * order).ToArray())
        {
            Signal(sleep, WakeReason.Hint);
        }
    }

    private void PassTurnOn(ModelRequest request)
    {
        ModelGroup? at = request.TurnAt;
        request.TurnAt = null;
        if (at is not null)
        {
            GiveTurns([at], request.Ticket);
        }
    }

    private void PassHintOn(ModelRequest request)
    {
        ModelGroup? from = request.HintFrom;
        request.HintFrom = null;
        if (from is not null)
        {
            WakeFitting(from, countPasses: false);
        }
    }

    private void Finish(ModelRequest request)
    {
        if (request.AgedIn is { } group)
        {
            request.AgedIn = null;
            group.Aged = null;
            WakeAll(group);
        }

        PassTurnOn(request);
        if (!request.Granted)
        {
            PassHintOn(request);
        }
    }

    private void Notify(ModelGroup group) => group.Registered.ForEach(signal => Signals[signal]++);
}
