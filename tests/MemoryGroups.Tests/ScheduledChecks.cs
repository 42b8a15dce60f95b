// What must be true of a scheduled case, and where it is looked at.
//
//   whenever an actor gives way or ends   I2, I4, I6, I7 (one victim a group), I8 (never more than the reserve), I13,
//                                         usage within the limits; Invariants on entry of every guarded region
//   at single observation points          K5 the winner is marked (S000-9), K10 nobody dies for what fits (B10)
//   when nobody can run                   I1, I3, I9 (kill lock), I11, I12; who sleeps has a cause; who registered
//                                         during an OOM was told
//   at the end                            I5, I9, I10, I14, I7 (nobody in flight), I8 (nothing overdrawn)
// The baton makes reading without the guard exact: nobody else runs.
namespace MemoryGroups.Tests;

internal sealed class ScheduledChecks(ScheduledCase scheduled)
{
    private readonly Dictionary<MemoryGroup, MemoryEventCounts> _events = [];

    private MemoryRoot Root => scheduled.Root;

    public void AtEachStep()
    {
        if (Root.Guard.IsHeldByCurrentThread)
        {
            Assert.Fail("I6: an actor gives way with the guard");
        }

        if (Root.BooksErrorCount != 0)
        {
            Assert.Fail($"I2: {Root.FirstBooksError}");
        }

        long overdrawn = Root.OomReserveUsed;
        if (overdrawn < 0 || overdrawn > Root.OomReserveBytes)
        {
            Assert.Fail($"I8: {overdrawn} of {Root.OomReserveBytes} overdrawn");
        }

        CheckSubtree(Root);
    }

    public void At(ProbePoint point, object? subject)
    {
        if (point == ProbePoint.BeforeNotify && !AnyMarkedHolder(Root))
        {
            Assert.Fail("S000-9: the winner notifies and is not marked");
        }

        if (point == ProbePoint.VictimChosen && !scheduled.KillsFreely && !IsAnybodyShort())
        {
            Assert.Fail($"B10: {((MemoryMember)subject!).Path} dies although every charge fits");
        }
    }

    public void WhenQuiet()
    {
        Assert.False(Root.KillLock.IsHeld, "I9: the kill lock is held and nobody runs");
        Visit(Root, static (checks, group) => checks.CheckBooks(group));
        Visit(Root, static (checks, group) => checks.CheckWaiters(group));
        Visit(Root, static (checks, group) => checks.CheckProtection(group));
        foreach ((MemoryGroup group, MemorySignal signal) in scheduled.Registered)
        {
            bool isMissed = signal.Total == 0 && SleepsWithLock(group);
            Assert.False(isMissed, $"S004-5: {group.Path} is in OOM and nobody was told");
        }
    }

    public bool VictimsAreSettled() => Root.OomKiller.VictimsInFlight == 0 || !Root.OomKiller.HasVictimInFlight(Root);

    public void AtEnd()
    {
        foreach (ScheduledCase.Asking asking in scheduled.Askings)
        {
            Assert.True(asking.IsOver, $"I10: lost wake-up: '{asking.Member.Name}' sleeps and nobody will wake it");
            CheckOutcome(asking);
        }

        foreach (Task? other in scheduled.Others)
        {
            Assert.True(other is { IsCompletedSuccessfully: true }, $"I10: did not end well: {other?.Exception}");
        }

        Visit(Root, static (_, group) =>
        {
            bool isClean = group.OomMarks == 0 && group.OomLock is { Holder: null, HeldBelow: 0 }
                && group.Counter.Waiters == 0 && group.AgedRequest is null;
            Assert.True(isClean, $"I9: something of an OOM is left at {group.Path}");
        });
        Root.ProbeHook = null;
        Root.Dispose();
        Assert.Equal(
            (0L, 0L, 0, 0L),
            (Root.Usage, Root.OomReserveUsed, Root.OomKiller.VictimsInFlight, Root.BooksErrorCount));
    }

    private void CheckOutcome(ScheduledCase.Asking asking)
    {
        bool isAllowed = asking.Error switch
        {
            null => true,
            OomKilledException => asking.Member.IsKilled || asking.Member.IsDying,
            ObjectDisposedException => asking.Member.IsExited,
            OperationCanceledException => asking.IsCancelled,
            MemoryLimitExceededException refused => IsAllowed(refused.Reason, asking.Flags),
            _ => false,
        };
        Assert.True(isAllowed, $"'{asking.Member.Name}' ended with {asking.Error}");
    }

    private bool IsAllowed(ChargeRefusal reason, ChargeFlags flags) => reason switch
    {
        ChargeRefusal.TimedOut or ChargeRefusal.KillerDisabled => scheduled.MayTimeOut,
        ChargeRefusal.NoVictim or ChargeRefusal.Impossible => true,
        ChargeRefusal.DoesNotFit or ChargeRefusal.Gate => flags != ChargeFlags.None,
        _ => false,
    };

    // Answers how many hold an OOM lock in the subtree.
    private int CheckSubtree(MemoryGroup group)
    {
        int below = 0;
        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            below += child is null ? 0 : CheckSubtree(child);
        }

        bool held = group.OomLock.Holder is not null;
        if ((held && below > 0) || group.OomLock.HeldBelow < below)
        {
            Assert.Fail($"I4: {group.Path} is held: {held}, counts {group.OomLock.HeldBelow} of {below} below it");
        }

        long usage = group.Usage;
        if (usage < 0 || (!scheduled.MayExceed && usage - Root.OomReserveUsed > group.Counter.Limit))
        {
            Assert.Fail($"I2: {group.Path} uses {usage} of {group.Counter.Limit}");
        }

        CheckEvents(group);
        CheckVictims(group);
        return below + (held ? 1 : 0);
    }

    private void CheckEvents(MemoryGroup group)
    {
        MemoryEventCounts local = group.Events.Local;
        MemoryEventCounts total = group.Events.Current;
        ref MemoryEventCounts last = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(
            _events, group, out _);
        if (!AtLeast(total, local) || !AtLeast(total, last))
        {
            Assert.Fail($"I13: {group.Path} has {total} events, {local} local, {last} before");
        }

        last = total;
    }

    private void CheckVictims(MemoryGroup group)
    {
        if (scheduled.KillsFreely)
        {
            return;
        }

        // Without a report it was not killed: it was dying by itself and only got the reserve to finish.
        int victims = 0;
        foreach (MemoryMember? member in group.MemberRoster.Read())
        {
            victims += member?.Space is { IsVictim: true, IsHidden: false, Report: not null } ? 1 : 0;
        }

        if (victims > 1)
        {
            Assert.Fail($"I7: {victims} victims in flight in {group.Path}");
        }
    }

    private static bool AtLeast(in MemoryEventCounts a, in MemoryEventCounts b) =>
        a.Low >= b.Low && a.High >= b.High && a.Max >= b.Max && a.Oom >= b.Oom && a.OomKill >= b.OomKill
        && a.OomGroupKill >= b.OomGroupKill && a.Waits >= b.Waits && a.BudgetKill >= b.BudgetKill;

    private static bool AnyMarkedHolder(MemoryGroup group)
    {
        if (group.OomLock.Holder is not null && group.OomMarks > 0)
        {
            return true;
        }

        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            if (child is not null && AnyMarkedHolder(child))
            {
                return true;
            }
        }

        return false;
    }

    // Somebody is asking and would be refused at this moment.
    private bool IsAnybodyShort()
    {
        foreach (ScheduledCase.Asking asking in scheduled.Askings)
        {
            for (MemoryGroup? at = asking.Member.Group; at is not null && !asking.IsOver; at = at.Parent)
            {
                if (!asking.IsGranted && asking.Bytes > at.Counter.Room(0))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private void Visit(MemoryGroup group, Action<ScheduledChecks, MemoryGroup> visit)
    {
        visit(this, group);
        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            if (child is not null)
            {
                Visit(child, visit);
            }
        }
    }

    private void CheckBooks(MemoryGroup group)
    {
        long below = group.Stock.Held;
        long used = 0;
        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            below += child?.Usage ?? 0;
        }

        foreach (MemoryMember? member in group.MemberRoster.Read())
        {
            used += member?.Usage ?? 0;
            below += member is null ? 0 : member.Usage + member.Books.Held;
        }

        Assert.True(group.Usage == below, $"I1: {group.Path} uses {group.Usage}, all below it {below}");
        Assert.True(group.UsageLower <= group.Usage && used <= group.UsageUpper, $"I12: {group.Path}");
    }

    private void CheckProtection(MemoryGroup group)
    {
        if (group.Parent is { } parent && (parent.Min > 0 || parent.Low > 0 || group.Min > 0 || group.Low > 0))
        {
            EffectiveProtection keep = new MemoryProtection(Root).Of(group);
            bool isSound = keep.Min >= 0 && keep.Min <= group.Usage && keep.Low <= group.Usage;
            Assert.True(isSound, $"I11: {group.Path} keeps {keep} of {group.Usage}");
        }
    }

    private void CheckWaiters(MemoryGroup group)
    {
        Assert.True(
            (group.Waiters?.Count ?? 0) == Sleepers.Of(group).Count,
            $"I9: somebody was woken and is still queued at {group.Path}");
        foreach (OomWaiter waiter in Sleepers.Of(group))
        {
            long room = group.Counter.Room(waiter.Request.RootFloor) + Root.Stocks.HeldIn(group);
            bool isBehind = IsHeldBack(waiter);
            string who = waiter.Member?.Path ?? "a limit change";
            Assert.True(
                isBehind || waiter.Bytes > room, $"I3: {waiter.Bytes} bytes of {who} sleep although {room} are free");
            Assert.False(waiter.Member is { IsKilled: true }, $"S000-15: {who} was killed and sleeps");
            bool hasCause = isBehind || waiter.Request.SawBusy || IsHeldForGood(group)
                || Root.OomKiller.HasVictimInFlight(group)
                || scheduled.Time.NextDueIn <= Root.PauseTick;
            Assert.True(hasCause, $"lost wake-up: {who} sleeps at {group.Path} and nothing is under way");
        }
    }

    // The winner of this OOM, here or above, notified while it was marked and has been asleep since.
    private static bool SleepsWithLock(MemoryGroup group)
    {
        for (MemoryGroup? at = group; at is not null; at = at.Parent)
        {
            if (at.OomLock.Holder is not null)
            {
                return at.Oom.KillDisabled && at.OomMarks > 0 && OomControl.HandlerFor(at) is null;
            }
        }

        return false;
    }

    // Somebody above or below holds the OOM lock and has reason to: its killer is disabled, or user code is asked.
    private static bool IsHeldForGood(MemoryGroup group)
    {
        for (MemoryGroup? at = group.Parent; at is not null; at = at.Parent)
        {
            if (HoldsForGood(at))
            {
                return true;
            }
        }

        return AnyBelowHoldsForGood(group);
    }

    private static bool AnyBelowHoldsForGood(MemoryGroup group)
    {
        bool any = HoldsForGood(group);
        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            any |= child is not null && AnyBelowHoldsForGood(child);
        }

        return any;
    }

    private static bool HoldsForGood(MemoryGroup group) => group.OomLock.Holder is not null
        && (group.Oom.KillDisabled || OomControl.HandlerFor(group) is not null);

    private static bool IsHeldBack(OomWaiter waiter)
    {
        for (MemoryGroup? at = waiter.Member?.Group ?? waiter.Group; at is not null; at = at.Parent)
        {
            if (at.AgedRequest is { } aged && aged != waiter.Request && waiter.Request.YieldsTo(aged))
            {
                return true;
            }
        }

        return false;
    }
}
