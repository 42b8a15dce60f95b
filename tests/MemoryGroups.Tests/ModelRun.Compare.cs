// What must agree after every operation, exactly: bytes, peaks, refusals, events, who waits where and in which order,
// who was killed in which order, how requests ended, signals, the reserve.
using System.Globalization;

namespace MemoryGroups.Tests;

internal sealed partial class ModelRun
{
    private static void Agree<T>(T expected, T actual, string what)
    {
        if (!EqualityComparer<T>.Default.Equals(expected, actual))
        {
            Assert.Fail(string.Create(
                CultureInfo.InvariantCulture, $"{what}: the model says {expected}, the tree says {actual}"));
        }
    }

    private void Compare()
    {
        Agree(null, _root.FirstBooksError, "errors in the books");
        foreach (GroupTwin? group in _groups)
        {
            if (group is { Model.Closed: false })
            {
                Compare(group.Real, group.Model);
            }
        }

        foreach (MemberTwin? member in _members)
        {
            if (member is not null)
            {
                Compare(member);
            }
        }

        for (int i = 0; i < SignalPlaces; i++)
        {
            Agree(_model.Signals[i], _signals[i].Total, $"signal {i}");
        }

        Agree(_model.ReserveUsed, _root.OomReserveUsed, "reserve in use");
        Agree(_model.InFlight, _root.OomKiller.VictimsInFlight, "victims in flight");
        Agree(_model.KillerDisabled, _root.OomKiller.IsDisabled, "the killer's switch");
        Agree(_model.LeftAtExit, _root.BytesLeftAtExit, "bytes left at exit");
        CompareVictims();
    }

    private void CompareVictims()
    {
        for (int i = 0; i < Math.Max(_victims.Count, _model.Victims.Count); i++)
        {
            Agree(_model.Victims.ElementAtOrDefault(i), _victims.ElementAtOrDefault(i), $"victim {i}");
        }

        Statistics.Add("OOM kills", _victims.Count);
        _victims.Clear();
        _model.Victims.Clear();
    }

    private void CompareRequests()
    {
        for (int i = 0; i < RequestPlaces; i++)
        {
            if (_requests[i] is { } request)
            {
                string real = request.Real.IsCompleted ? request.Real.Result : "waits";
                if ((request.Model.Outcome ?? "waits") != real)
                {
                    Agree(request.Model.Outcome ?? "waits", real, $"request {i}");
                }
            }
        }
    }

    private void Compare(MemoryGroup real, ModelGroup model)
    {
        if (_model.Setup.HasStocks)
        {
            CompareWithin(real, model);
        }
        else
        {
            Same(model, "usage", model.Usage, real.Usage);
            Same(model, "peak", model.Peak, real.PeakUsage);
            Same(model, "refusals", model.Refusals, real.RefusalCount);
        }

        Same(model, "Max", model.Max, real.Counter.Limit);
        Same(model, "marks", model.Marks, real.OomMarks);
        Same(model, "under OOM", model.UnderOom ? 1 : 0, real.Oom.UnderOom ? 1 : 0);
        Compare(model, "local events", model.Local, real.Events.Local);
        Compare(model, "events", model.Total, real.Events.Current);
        Same(model, "aged request", model.Aged?.Bytes ?? 0, real.AgedRequest?.Bytes ?? 0);
        Same(model, "waiters", model.Queue.Count, real.Waiters?.Count ?? 0);
        if (model.Queue.Count > 0)
        {
            using List<ModelSleep>.Enumerator expected = model.Queue.GetEnumerator();
            foreach (OomWaiter waiter in Sleepers.Of(real))
            {
                expected.MoveNext();
                ModelRequest request = expected.Current.Request;
                Agree(request.Member?.Name, waiter.Member?.Name, $"who waits at {model.Path}");
                Same(model, "bytes that wait", request.Bytes, waiter.Bytes);
            }
        }
    }

    // I12: stock is charged but not used, by no more than UsageLower promises; a batch that is refused counts as well.
    private void CompareWithin(MemoryGroup real, ModelGroup model)
    {
        (long lower, long upper) = (real.UsageLower, real.UsageUpper);
        long bound = model.Usage / 8;
        foreach (MemoryGroup group in _world.AllGroups())
        {
            bound += group.IsWithin(real) ? 3 * GroupStock.Slots * group.BatchBytes : 0;
        }

        bool within = lower <= model.Usage && model.Usage <= upper && upper - lower <= bound
            && real.PeakUsage >= model.Peak && real.RefusalCount >= model.Refusals;
        Statistics.Add("idle stock seen", upper > lower ? 1 : 0);
        if (!within)
        {
            Agree(
                $"usage {model.Usage}, the gap at most {bound}, peak {model.Peak}, refusals {model.Refusals}",
                $"{lower} to {upper}, peak {real.PeakUsage}, refusals {real.RefusalCount}",
                model.Path);
        }
    }

    private static void Compare(ModelGroup group, string what, long[] expected, MemoryEventCounts actual)
    {
        Same(group, what, expected[(int)MemoryEvent.Low], actual.Low, nameof(MemoryEvent.Low));
        Same(group, what, expected[(int)MemoryEvent.High], actual.High, nameof(MemoryEvent.High));
        Same(group, what, expected[(int)MemoryEvent.Max], actual.Max, nameof(MemoryEvent.Max));
        Same(group, what, expected[(int)MemoryEvent.Oom], actual.Oom, nameof(MemoryEvent.Oom));
        Same(group, what, expected[(int)MemoryEvent.OomKill], actual.OomKill, nameof(MemoryEvent.OomKill));
        Same(group, what, expected[(int)MemoryEvent.OomGroupKill], actual.OomGroupKill, nameof(actual.OomGroupKill));
        Same(group, what, expected[(int)MemoryEvent.Wait], actual.Waits, nameof(MemoryEvent.Wait));
    }

    private static void Same(ModelGroup group, string what, long expected, long actual, string kind = "")
    {
        if (expected != actual)
        {
            Agree(expected, actual, $"{what} {kind} of {group.Path}");
        }
    }

    private static void Compare(MemberTwin twin)
    {
        (MemoryMember real, ModelMember model) = (twin.Real, twin.Model);
        bool same = model.Usage == real.Usage
            && model.Killed == real.IsKilled
            && model.Exited == real.IsExited
            && model.Frozen == real.IsFrozen
            && model.Books.Overdraft == real.Books.Overdraft
            && model.Space.Victim == real.Space.IsVictim
            && model.Space.Hidden == real.Space.IsHidden
            && (twin.Account?.Model.Used ?? 0) == (twin.Account?.Real.Used ?? 0);
        if (!same)
        {
            Agree(
                $"usage {model.Usage} killed {model.Killed} exited {model.Exited} frozen {model.Frozen} "
                + $"overdraft {model.Books.Overdraft} victim {model.Space.Victim} hidden {model.Space.Hidden} "
                + $"account {twin.Account?.Model.Used}",
                $"usage {real.Usage} killed {real.IsKilled} exited {real.IsExited} frozen {real.IsFrozen} "
                + $"overdraft {real.Books.Overdraft} victim {real.Space.IsVictim} hidden {real.Space.IsHidden} "
                + $"account {twin.Account?.Real.Used}",
                model.Name);
        }

        if (model.Left.Count > 0 || real.HasLeftBooks)
        {
            CompareBooks(real, model);
        }
    }

    // Which group is charged for what, and in which order the groups were left.
    private static void CompareBooks(MemoryMember real, ModelMember model)
    {
        Agree(
            string.Join(", ", model.Left.Append(model.Books).Select(
                static one => $"{one.Group.Path} {one.Usage} {one.Overdraft}")),
            string.Join(", ", real.LeftBooks.ToArray().Append(real.Books).Select(
                static one => $"{one.Group.Path} {one.Usage} {one.Overdraft}")),
            $"what {model.Name} holds, by group");
    }
}
