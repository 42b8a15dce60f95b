// Who was signalled under the guard and has to be completed after it, oldest first, whichever groups they wait at.
//
// Most events wake nobody or one: that one needs no array. Larger numbers borrow theirs, so waking allocates nothing.
// Must stay true: Complete is called once, after the guard; nobody is looked at after its own completion.
using System.Buffers;

namespace MemoryGroups;

internal struct WokenWaiters
{
    private OomWaiter? _only;
    private OomWaiter[]? _all;
    private int _count;

    internal void Add(OomWaiter waiter)
    {
        if (_count == 0)
        {
            _only = waiter;
        }
        else
        {
            if (_all is null || _count == _all.Length)
            {
                Grow();
            }

            _all![_count] = waiter;
        }

        _count++;
    }

    internal readonly void Complete()
    {
        if (_all is null)
        {
            _only?.Complete();
            return;
        }

        Span<OomWaiter> woken = _all.AsSpan(0, _count);
        woken.Sort(static (a, b) => a.Ticket.CompareTo(b.Ticket));
        foreach (OomWaiter waiter in woken)
        {
            waiter.Complete();
        }

        woken.Clear();
        ArrayPool<OomWaiter>.Shared.Return(_all);
    }

    private void Grow()
    {
        OomWaiter[] larger = ArrayPool<OomWaiter>.Shared.Rent(Math.Max(16, 2 * _count));
        if (_all is null)
        {
            larger[0] = _only!;
        }
        else
        {
            Span<OomWaiter> old = _all.AsSpan(0, _count);
            old.CopyTo(larger);
            old.Clear();
            ArrayPool<OomWaiter>.Shared.Return(_all);
        }

        _all = larger;
    }
}
