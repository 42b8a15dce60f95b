// Lists of waiters that are linked through the waiters themselves: to queue and to leave allocates nothing.
//
// A waiter is in two lists at most: in the queue of what it waits for (a group, or the kill lock), and in that of its
// member. GroupQueue is the queue of a group. It keeps those who sleep, oldest first, apart from those who were
// signalled and have not left yet, and knows how many bytes the latter are on their way to: whoever hands out room
// looks at the sleepers alone, and at no more of them than there is room for. Ten thousand who were woken by ten
// thousand small decreases would else be walked over by each of these.
//
// Must stay true: all under the root's guard; a waiter is among the sleepers exactly as long as it has no signal; no
// sleeper wants less than SmallestBytes.
namespace MemoryGroups;

internal struct WaiterLinks
{
    internal OomWaiter? Next;
    internal OomWaiter? Previous;
    internal bool IsLinked;
}

internal sealed class WaiterList(bool ofMember = false)
{
    internal OomWaiter? First { get; private set; }

    internal OomWaiter? Last { get; private set; }

    internal int Count { get; private set; }

    internal OomWaiter? NextOf(OomWaiter waiter) => LinksOf(waiter).Next;

    internal void Add(OomWaiter waiter) => InsertAfter(Last, waiter);

    // Behind all that are older. Who comes is mostly the youngest, and who comes back mostly among the oldest, so both
    // ends are looked at in turn.
    internal void AddByTicket(OomWaiter waiter)
    {
        OomWaiter? after = Last;
        OomWaiter? before = First;
        while (after is not null && after.Ticket > waiter.Ticket)
        {
            if (before!.Ticket > waiter.Ticket)
            {
                after = LinksOf(before).Previous;
                break;
            }

            after = LinksOf(after).Previous;
            before = LinksOf(before).Next;
        }

        InsertAfter(after, waiter);
    }

    // False when it is in no such list.
    internal bool Remove(OomWaiter waiter)
    {
        ref WaiterLinks own = ref LinksOf(waiter);
        if (!own.IsLinked)
        {
            return false;
        }

        if (own.Previous is null)
        {
            First = own.Next;
        }
        else
        {
            LinksOf(own.Previous).Next = own.Next;
        }

        if (own.Next is null)
        {
            Last = own.Previous;
        }
        else
        {
            LinksOf(own.Next).Previous = own.Previous;
        }

        own = default;
        Count--;
        return true;
    }

    private void InsertAfter(OomWaiter? after, OomWaiter waiter)
    {
        ref WaiterLinks own = ref LinksOf(waiter);
        own.IsLinked = true;
        own.Previous = after;
        own.Next = after is null ? First : LinksOf(after).Next;
        if (own.Next is null)
        {
            Last = waiter;
        }
        else
        {
            LinksOf(own.Next).Previous = waiter;
        }

        if (after is null)
        {
            First = waiter;
        }
        else
        {
            LinksOf(after).Next = waiter;
        }

        Count++;
    }

    private ref WaiterLinks LinksOf(OomWaiter waiter) =>
        ref ofMember ? ref waiter.MemberLinks : ref waiter.QueueLinks;
}

internal sealed class GroupQueue
{
    private Int128 _onTheirWay;

    internal WaiterList Sleepers { get; } = new();

    internal WaiterList Leaving { get; } = new();

    internal int Count => Sleepers.Count + Leaving.Count;

    // The least that a sleeper wants, or less: found anew only when nobody sleeps.
    internal long SmallestBytes { get; private set; } = long.MaxValue;

    // What is left of so much room for those who sleep. Who was told to look again is on its way to its bytes; if it
    // does not take them it hands them on (OomWaitQueue.PassHintOn).
    internal long RoomForSleepers(long room) => (long)Int128.Max(long.MinValue, room - _onTheirWay);

    internal void Add(OomWaiter waiter)
    {
        if (waiter.Signal == WakeReason.None)
        {
            Sleepers.AddByTicket(waiter);
            SmallestBytes = Math.Min(SmallestBytes, waiter.Bytes);
        }
        else
        {
            AddToLeaving(waiter);
        }
    }

    internal void Remove(OomWaiter waiter)
    {
        if (waiter.Signal == WakeReason.None)
        {
            RemoveFromSleepers(waiter);
            return;
        }

        Leaving.Remove(waiter);
        if (waiter.Signal == WakeReason.Hint)
        {
            _onTheirWay -= waiter.Bytes;
        }
    }

    // Its signal was set at this moment.
    internal void MoveToLeaving(OomWaiter waiter)
    {
        RemoveFromSleepers(waiter);
        AddToLeaving(waiter);
    }

    private void AddToLeaving(OomWaiter waiter)
    {
        Leaving.Add(waiter);
        if (waiter.Signal == WakeReason.Hint)
        {
            _onTheirWay += waiter.Bytes;
        }
    }

    private void RemoveFromSleepers(OomWaiter waiter)
    {
        Sleepers.Remove(waiter);
        if (Sleepers.Count == 0)
        {
            SmallestBytes = long.MaxValue;
        }
    }
}
