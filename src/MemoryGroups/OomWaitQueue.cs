// Who sleeps because a group is full, and who is woken by what.
//
// Waiters hang at the group that refused them. An event at E concerns the waiters at E, above E and below E, nobody
// else (S000-20); groups remember which children have waiters below, so no stranger is looked at. Kinds of events:
//   - a counter fell: those are woken whose bytes fit into the room there is now, oldest first. A small request passes
//     a large one that does not fit. Each pass is counted, and one that was passed often and for long is aged: nobody
//     younger is woken past it, and younger requests queue behind it (see OomRequest).
//   - an OOM lock was released: the oldest contender of each related group that can be locked now is woken. It has the
//     turn to try the lock, and hands it on if it ends, or sleeps for something else, before it has tried.
//   - something else changed (a killer enabled, a victim gone or hidden): everybody related is woken.
//   - a limit was cut: those whom it can never admit now are woken, to be refused.
// A wake is a hint: the woken looks again. One who was woken and leaves without its bytes hands the hint on.
//
// Must stay true: a group's counter knows the number of its waiters before they look at the room for the last time, and
// whoever lowers a counter reads that number afterwards, so no waiter sleeps while its bytes fit (I3). Everything here
// is decided under the root's guard and completed after it.
using System.Diagnostics.CodeAnalysis;

namespace MemoryGroups;

internal sealed class OomWaitQueue(MemoryRoot root)
{
    // Before all tickets.
    private const long NoTicket = 0;

    // Guarded by the root's guard, and empty outside of it.
    private readonly Stack<MemoryGroup> _toVisit = new();
    private long _lastTicket;
    private int _length;

    internal int Length => Volatile.Read(ref _length);

    internal long NextTicket() => Interlocked.Increment(ref _lastTicket);

    // Into the group's queue, and to its member, so that a kill or an exit ends it whatever it waits for.
    internal void Enter(OomWaiter waiter)
    {
        bool signalled;
        using (root.EnterGuard(waiter.Group))
        {
            waiter.RestartLocked();
            TryAttachLocked(waiter, out signalled);
            (waiter.Group.Waiters ??= new GroupQueue()).Add(waiter);
            waiter.IsQueued = true;
            waiter.Group.Counter.AddWaiterLocked(1);
            _length++;
            for (MemoryGroup at = waiter.Group; at.Parent is { } parent; at = parent)
            {
                if (!(parent.WaitingChildren ??= []).Add(at))
                {
                    break;
                }
            }
        }

        if (signalled)
        {
            waiter.Complete();
        }
    }

    internal void LeaveLocked(OomWaiter waiter)
    {
        waiter.IsQueued = false;
        waiter.Group.Waiters!.Remove(waiter);
        waiter.Group.Counter.AddWaiterLocked(-1);
        waiter.Member?.Waiters?.Remove(waiter);
        _length--;
        for (MemoryGroup at = waiter.Group; at.Parent is { } parent && !HasWaitersLocked(at); at = parent)
        {
            parent.WaitingChildren!.Remove(at);
        }
    }

    // What waits in no group's queue belongs to its member as well. False when the member is already dead or gone, in
    // which case the waiter is signalled and will not sleep.
    internal bool AttachToMember(OomWaiter waiter)
    {
        bool attached;
        bool signalled;
        using (root.EnterGuard())
        {
            attached = TryAttachLocked(waiter, out signalled);
        }

        if (signalled)
        {
            waiter.Complete();
        }

        return attached;
    }

    internal void DetachFromMember(OomWaiter waiter)
    {
        using (root.EnterGuard())
        {
            waiter.Member?.Waiters?.Remove(waiter);
        }
    }

    // Everything this member waits for is over.
    internal void EndAllOf(MemoryMember member, WakeReason reason) => SignalOwn(member, reason, static _ => true);

    // This member may use more of the reserve than before: those of its sleepers that fit by now look again, be it over
    // the limit of a full group. Not what it waits for in user code, to which a hint would be the answer.
    internal void WakeOwn(MemoryMember member) => SignalOwn(
        member,
        WakeReason.Hint,
        static waiter => waiter.IsQueued
            && (waiter.Request.FitsIn(waiter.Group) || waiter.Request.FitsInReserve));

    // A counter fell at E and above.
    internal void WakeFitting(MemoryGroup at) => WakeFitting(at, countPasses: true);

    // Something other than a counter changed at E: everybody related has to look again.
    internal void WakeAll(MemoryGroup at) => WakeRelated(at, static _ => true);

    // The OOM lock of E was released at this moment: in each related group that could be locked now the oldest in its
    // contest tries next. One for each group is enough, because whoever wins gives the turn again, and whoever does not
    // try passes it on. The others wait for bytes, or for a victim: those events tell them.
    internal void GiveTurnsLocked(MemoryGroup at, ref WokenWaiters woken)
    {
        for (MemoryGroup? above = at.Parent; above is not null; above = above.Parent)
        {
            GiveTurnLocked(above, NoTicket, ref woken);
        }

        _toVisit.Push(at);
        while (TryVisitLocked(out MemoryGroup? group))
        {
            GiveTurnLocked(group, NoTicket, ref woken);
        }
    }

    // To somebody younger: who is older has tried since, or is about to. So a turn comes to its end, even if each of
    // them passes it on and then sleeps again.
    internal void PassTurnOn(OomRequest request)
    {
        if (request.TurnAt is not { } group)
        {
            return;
        }

        WokenWaiters woken = default;
        request.TurnAt = null;
        using (root.EnterGuard(group))
        {
            GiveTurnLocked(group, request.Ticket, ref woken);
        }

        woken.Complete();
    }

    // A limit was cut at E.
    internal void WakeImpossible(MemoryGroup at) => WakeRelated(at, static waiter => waiter.Request.IsImpossible);

    // The request is over, granted or not. Its age no longer holds anybody back, and a hint it did not use is handed
    // on.
    internal void Finish(OomRequest request, bool granted)
    {
        // Without the guard: it has left all queues, and only in one does it age.
        if (request.AgedIn is { } aged)
        {
            EndAge(request, aged);
        }

        PassTurnOn(request);
        PassHintOn(request, granted);
    }

    private void EndAge(OomRequest request, MemoryGroup aged)
    {
        using (root.EnterGuard())
        {
            request.AgedIn = null;
            if (aged.AgedRequest != request)
            {
                return;
            }

            aged.AgedRequest = null;
        }

        // All of them, not only who fits: those behind it have neither reclaimed nor entered an OOM yet.
        WakeAll(aged);
    }

    internal void PassHintOn(OomRequest request, bool granted)
    {
        MemoryGroup? from = request.HintFrom;
        request.HintFrom = null;
        if (from is not null && !granted)
        {
            // The bytes came back earlier and were counted then: who is not woken now has not been passed again.
            WakeFitting(from, countPasses: false);
        }
    }

    // False when its member is dead or gone.
    private static bool TryAttachLocked(OomWaiter waiter, out bool signalled)
    {
        signalled = false;
        if (waiter.Member is not { } member)
        {
            return true;
        }

        WakeReason death = member.DeathLocked;
        if (death == WakeReason.None)
        {
            (member.Waiters ??= new WaiterList(ofMember: true)).Add(waiter);
            return true;
        }

        signalled = waiter.TrySignalLocked(death);
        return false;
    }

    private void SignalOwn(MemoryMember member, WakeReason reason, Func<OomWaiter, bool> concerns)
    {
        WokenWaiters signalled = default;
        using (root.EnterGuard())
        {
            WaiterList? own = member.Waiters;
            for (OomWaiter? waiter = own?.First; waiter is not null; waiter = own!.NextOf(waiter))
            {
                if (concerns(waiter) && waiter.TrySignalLocked(reason))
                {
                    signalled.Add(waiter);
                }
            }
        }

        signalled.Complete();
    }

    private void WakeFitting(MemoryGroup at, bool countPasses)
    {
        WokenWaiters woken = default;
        using (root.EnterGuard(at))
        {
            for (MemoryGroup? group = at; group is not null; group = group.Parent)
            {
                if (group.Waiters is { Count: > 0 } queue)
                {
                    SignalFittingLocked(group, queue, countPasses, ref woken);
                }
            }
        }

        woken.Complete();
    }

    private void WakeRelated(MemoryGroup at, Func<OomWaiter, bool> concerns)
    {
        WokenWaiters woken = default;
        using (root.EnterGuard(at))
        {
            for (MemoryGroup? above = at.Parent; above is not null; above = above.Parent)
            {
                SignalLocked(above, concerns, ref woken);
            }

            _toVisit.Push(at);
            while (TryVisitLocked(out MemoryGroup? group))
            {
                SignalLocked(group, concerns, ref woken);
            }
        }

        woken.Complete();
    }

    private static void SignalFittingLocked(
        MemoryGroup group, GroupQueue queue, bool countPasses, ref WokenWaiters woken)
    {
        long room = queue.RoomForSleepers(group.Counter.Room(rootFloor: 0));
        bool counted = !countPasses;
        OomWaiter? next = queue.Sleepers.First;
        while (next is { } waiter && (room >= queue.SmallestBytes || !counted))
        {
            next = queue.Sleepers.NextOf(waiter);
            if (group.AgedRequest is { } aged && waiter.Request.YieldsTo(aged))
            {
                // Wherever the aged one is at this moment: the woken would only queue again, and be woken again.
                continue;
            }

            // At the root each request has a floor of its own; a high one must not sleep below somebody else's.
            if (waiter.Bytes <= room - (group.Parent is null ? waiter.Request.RootFloor : 0))
            {
                room -= waiter.Bytes;
                waiter.TrySignalLocked(WakeReason.Hint);
                woken.Add(waiter);
            }
            else if (!counted)
            {
                // The oldest that gets nothing is passed over, by the younger or by who never queues. Those behind it
                // are behind it.
                counted = true;
                if (waiter.Request.AgesByPassLocked())
                {
                    HoldBackYoungerLocked(group, waiter.Request);
                    return;
                }
            }
        }
    }

    // In one group at a time, the highest that passed it over: that covers the ones below, and Finish undoes one.
    private static void HoldBackYoungerLocked(MemoryGroup group, OomRequest request)
    {
        if (group.AgedRequest is null && request.AgedIn?.IsWithin(group) != false)
        {
            if (request.AgedIn is { } below)
            {
                below.AgedRequest = null;
            }

            group.AgedRequest = request.Keep();
            request.AgedIn = group;
        }
    }

    private static void SignalLocked(MemoryGroup group, Func<OomWaiter, bool> concerns, ref WokenWaiters woken)
    {
        OomWaiter? next = group.Waiters?.Sleepers.First;
        while (next is { } waiter)
        {
            next = group.Waiters!.Sleepers.NextOf(waiter);
            if (concerns(waiter))
            {
                waiter.TrySignalLocked(WakeReason.Hint);
                woken.Add(waiter);
            }
        }
    }

    // Not while the lock cannot be had: then whoever is in the way gives the turn when it releases.
    private static void GiveTurnLocked(MemoryGroup group, long after, ref WokenWaiters woken)
    {
        bool contended = group.OomMarks > 0 && OomLock.MayBeAcquiredLocked(group);
        OomWaiter? next = contended ? group.Waiters!.Sleepers.First : null;
        while (next is not null && (!next.IsMarked || next.Ticket <= after))
        {
            next = group.Waiters!.Sleepers.NextOf(next);
        }

        if (next is not null)
        {
            next.HasTurn = true;
            next.TrySignalLocked(WakeReason.Hint);
            woken.Add(next);
        }
    }

    // Down the subtree that was pushed, as far as somebody waits there.
    private bool TryVisitLocked([NotNullWhen(true)] out MemoryGroup? group)
    {
        if (!_toVisit.TryPop(out group))
        {
            return false;
        }

        if (group.WaitingChildren is { } children)
        {
            foreach (MemoryGroup child in children)
            {
                _toVisit.Push(child);
            }
        }

        return true;
    }

    private static bool HasWaitersLocked(MemoryGroup group) =>
        group.Waiters is { Count: > 0 } || group.WaitingChildren is { Count: > 0 };
}
