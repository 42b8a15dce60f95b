// What a lease grew by after its member had moved: charged to the new group, by a lease of its own for each of the
// member's books, which this one carries and which ends with it.
//
// A carried lease that holds nothing is ended as soon as another one is needed: a lease that lives as long as its
// member (that of its buffers, or of a pool) would else know every group that the member ever was in, and go through
// all of them at each call. So as many are carried as there are groups in which it holds something, and one.
//
// Must stay true: a carried lease carries none itself; one that was ended held nothing, and who was about to add to it
// finds that out and looks again; the list is replaced as a whole.
namespace MemoryGroups;

public sealed partial class MemoryCharge
{
    private ReadOnlySpan<MemoryCharge> Later => Volatile.Read(ref _later);

    private long LaterBytes
    {
        get
        {
            long bytes = 0;
            foreach (MemoryCharge later in Later)
            {
                bytes += later.Bytes;
            }

            return bytes;
        }
    }

    private void DisposeLater()
    {
        foreach (MemoryCharge later in Later)
        {
            later.Dispose();
        }
    }

    // Once is enough unless others grow and shrink at the same time: what they took here they have left elsewhere,
    // perhaps where we have looked already.
    private void ShrinkLater(long bytes)
    {
        for (int tries = 0; bytes > 0 && tries < 8 && Later.Length > 0; tries++)
        {
            foreach (MemoryCharge later in Later)
            {
                bytes -= later.ShrinkOwn(bytes);
            }

            bytes -= ShrinkOwn(bytes);
        }
    }

    private MemoryCharge? TrySplit(long bytes)
    {
        long part = Take(bytes);
        var split = new MemoryCharge(_books, part);
        foreach (MemoryCharge later in Later)
        {
            long laterPart = later.Take(bytes - part);
            if (laterPart > 0)
            {
                split._later = [.. split.Later, new MemoryCharge(later._books, laterPart)];
            }

            part += laterPart;
        }

        if (part == bytes)
        {
            return split;
        }

        // Back to where it was.
        foreach (MemoryCharge taken in split.Later)
        {
            Keep(taken._books, taken._bytes);
        }

        Keep(_books, split._bytes);
        return null;
    }

    // One without bytes may be of another group.
    private bool IsChargedTo(MemoryGroup group)
    {
        bool holds = false;
        foreach (MemoryCharge later in Later)
        {
            if (later.Bytes > 0)
            {
                holds = true;
                if (later._books.Group != group)
                {
                    return false;
                }
            }
        }

        return _books.Group == group || (holds && Volatile.Read(ref _bytes) == 0);
    }

    private MemoryCharge? TryTransfer(MemberBooks to)
    {
        long bytes = TakeAll();
        if (bytes < 0)
        {
            return null;
        }

        // Without bytes of its own it may be of another group than the later ones.
        bool isWhole = bytes == 0 || TryHandOver(bytes, to);
        long moved = isWhole ? bytes : 0;
        foreach (MemoryCharge later in Later)
        {
            bytes = later.TakeAll();
            if (bytes > 0 && later.TryHandOver(bytes, to))
            {
                moved += bytes;
            }
            else
            {
                isWhole &= bytes <= 0;
            }
        }

        // Nothing that could be moved: it goes over to who is still there, like any other. The books would not say:
        // those that were left are put away when they are empty, and the later ones may be of another group.
        if (moved == 0)
        {
            isWhole &= !to.IsClosed && !Member.IsExited;
        }

        if (isWhole)
        {
            return new MemoryCharge(to, moved);
        }

        // One of the two exited in the middle of it.
        to.Uncharge(moved);
        return null;
    }

    private bool TryHandOver(long bytes, MemberBooks to)
    {
        if (_books.TryMoveTo(to, bytes))
        {
            return true;
        }

        Return(bytes);
        return false;
    }

    // Charged after the member moved. What was found may be ended before we add to it: it held nothing, and somebody
    // needed another one, or this lease is disposed, which the look at the end finds: whoever disposes this lease looks
    // for the later ones after it has written that, and we look whether it is written after the later one can be seen.
    private bool KeepLater(MemberBooks books, long bytes)
    {
        MemoryCharge later;
        do
        {
            later = LaterFor(books);
        }
        while (!later.TryAdd(bytes));

        if (IsDisposed)
        {
            later.Dispose();
            return false;
        }

        return true;
    }

    // One that was ended for a list that lost is left out of the next.
    private MemoryCharge LaterFor(MemberBooks books)
    {
        while (true)
        {
            MemoryCharge[]? all = Volatile.Read(ref _later);
            foreach (MemoryCharge later in all ?? [])
            {
                if (later._books == books && !later.IsDisposed)
                {
                    return later;
                }
            }

            var fresh = new MemoryCharge(books, 0);
            MemoryCharge[] next = [.. (all ?? []).Where(static later => !later.TryEnd()), fresh];
            if (Interlocked.CompareExchange(ref _later, next, all) == all)
            {
                return fresh;
            }
        }
    }

    // True when it holds nothing, and never will again.
    private bool TryEnd() => Volatile.Read(ref _bytes) < 0 || Interlocked.CompareExchange(ref _bytes, Disposed, 0) == 0;
}
