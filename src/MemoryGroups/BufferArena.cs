// The native memory of one member's buffers: slabs for the small ones, pages of their own for the large ones.
//
// One lease charges all of it, so a buffer costs no object for its charge, and the reaper takes all of it in one step.
// Once taken, by the reaper or by the member's exit, the pages belong to the operating system again; the address space
// stays until the last buffer is disposed, because code of the victim may still read.
//
// Must stay true: the lease holds the sum of what is out; memory is taken once, whoever comes first (B21); nothing is
// unmapped while a buffer is out or while pages are being released; freeing never throws. The gate is a leaf: no call
// into the protocol, no system call that releases pages, under it.
namespace MemoryGroups;

internal sealed class BufferArena : ReapableMemory
{
    private const int NotTaken = 0;
    private const int ByReaper = 1;
    private const int ByExit = 2;

    private readonly Lock _gate = new();
    private readonly MemoryMember _member;
    private readonly List<BufferSlab>?[] _withRoom = new List<BufferSlab>?[BufferSlab.Classes];
    private readonly HashSet<BufferSlab> _slabs = [];
    private readonly Dictionary<nint, PageRange> _pages = [];
    private readonly BufferQuarantine? _quarantine;
    private int _taken;
    private int _out;
    private bool _releasing;

    internal BufferArena(MemoryMember member)
        : base(new MemoryCharge(member.Books, 0))
    {
        _member = member;
        _quarantine = member.Root.ChecksBuffers ? new BufferQuarantine() : null;
    }

    internal MemoryMember Member => _member;

    internal bool IsTaken => Volatile.Read(ref _taken) != NotTaken;

    // What a buffer of this size occupies, and is charged for.
    internal static long GivenFor(long bytes, long alignment) =>
        IsSmall(bytes, alignment)
            ? BufferSlab.SizeOf(BufferSlab.ClassFor(bytes, alignment))
            : PageMemory.RoundUp(bytes);

    internal void ThrowIfTaken()
    {
        switch (Volatile.Read(ref _taken))
        {
            case ByReaper:
                throw OomKilledException.For(_member);
            case ByExit:
                throw new ObjectDisposedException(_member.Path, "The member has exited; its buffers went with it.");
        }
    }

    // With the lease grown by GivenFor already. All zeros, or not known to be.
    internal nint Rent(long bytes, long alignment, out BufferSlab? slab, out bool isZero)
    {
        slab = null;
        isZero = true;
        if (IsSmall(bytes, alignment))
        {
            return RentBlock(BufferSlab.ClassFor(bytes, alignment), out slab, out isZero);
        }

        PageRange range = PageMemory.Map(PageMemory.RoundUp(bytes), alignment);
        lock (_gate)
        {
            if (!IsTaken)
            {
                _pages.Add(range.Address, range);
                _out++;
                return range.Address;
            }
        }

        PageMemory.Unmap(range);
        ThrowIfTaken();
        return 0;
    }

    // A buffer is over, and nobody has it pinned. The memory first: bytes that are uncharged are there for others.
    internal void Return(MemoryBuffer buffer)
    {
        if (!IsHeldBack(buffer))
        {
            Free(buffer.Block);
        }

        while (TryEndHold(out HeldBuffer held))
        {
            if (held.IsDamaged)
            {
                _member.Root.BufferFaults.NoteWriteAfterDispose(held.Origin);
            }

            Free(held.Block);
        }

        Charge.Shrink(buffer.ChargedBytes);
    }

    internal void Free(BufferBlock block)
    {
        PageRange range = default;
        nint emptySlab = 0;
        bool wasLast;
        lock (_gate)
        {
            _out--;
            wasLast = IsTaken && _out == 0 && !_releasing;
            if (!IsTaken && block.Slab is null)
            {
                _pages.Remove(block.Address, out range);
            }
            else if (!IsTaken)
            {
                emptySlab = ReturnBlock(block.Slab!, block.Address);
            }
        }

        if (wasLast)
        {
            GiveUpAddresses();
        }

        if (range.Base != 0)
        {
            RetiredPages.Add(range);
        }

        if (emptySlab != 0)
        {
            SlabStore.Return(emptySlab);
        }
    }

    // The member exits. What was not disposed is given back with the rest.
    internal void Close()
    {
        _member.Space.RemoveReapable(this);
        Take(ByExit);
    }

    protected internal override bool TryFree() => Take(ByReaper);

    private static bool IsSmall(long bytes, long alignment) =>
        bytes <= BufferSlab.LargestBlock && alignment <= 4096;

    private nint RentBlock(int sizeClass, out BufferSlab slab, out bool isZero)
    {
        lock (_gate)
        {
            ThrowIfTaken();
            List<BufferSlab> withRoom = _withRoom[sizeClass] ??= [];
            if (withRoom.Count == 0)
            {
                slab = new BufferSlab(SlabStore.Take(), sizeClass) { IsListed = true };
                withRoom.Add(slab);
                _slabs.Add(slab);
            }

            slab = withRoom[^1];
            nint block = slab.Take(out isZero);
            _out++;
            if (slab.IsFull)
            {
                slab.IsListed = false;
                withRoom.RemoveAt(withRoom.Count - 1);
            }

            return block;
        }
    }

    private bool IsHeldBack(MemoryBuffer buffer)
    {
        if (_quarantine is null)
        {
            return false;
        }

        lock (_gate)
        {
            if (IsTaken)
            {
                return false;
            }

            _quarantine.Add(buffer.Block, buffer.Origin);
            return true;
        }
    }

    private bool TryEndHold(out HeldBuffer held)
    {
        held = default;
        if (_quarantine is null)
        {
            return false;
        }

        lock (_gate)
        {
            return _quarantine.TryTake(out held);
        }
    }

    // Answers a slab that is not needed any more. The last one of a class stays: who rents and returns one buffer at a
    // time would else go to the store each time.
    private nint ReturnBlock(BufferSlab slab, nint block)
    {
        slab.Return(block);
        List<BufferSlab> withRoom = _withRoom[slab.SizeClass]!;
        if (!slab.IsListed)
        {
            slab.IsListed = true;
            withRoom.Add(slab);
        }

        if (!slab.IsEmpty || withRoom.Count == 1)
        {
            return 0;
        }

        slab.IsListed = false;
        withRoom.Remove(slab);
        _slabs.Remove(slab);
        return slab.Address;
    }

    private bool Take(int by)
    {
        lock (_gate)
        {
            if (IsTaken)
            {
                return false;
            }

            // Before the first page goes: whoever reads zeros sees afterwards why.
            Volatile.Write(ref _taken, by);
            _releasing = true;
        }

        Interlocked.MemoryBarrier();
        foreach (BufferSlab slab in _slabs)
        {
            PageMemory.Release(slab.Address, SlabStore.SlabBytes);
        }

        foreach (PageRange range in _pages.Values)
        {
            PageMemory.Release(range.Address, range.Bytes);
        }

        bool nobodyLeft;
        lock (_gate)
        {
            _releasing = false;
            _out -= _quarantine?.Clear() ?? 0;
            nobodyLeft = _out == 0;
        }

        if (nobodyLeft)
        {
            GiveUpAddresses();
        }

        return true;
    }

    // Taken, and the last buffer is disposed: both collections are quiet.
    private void GiveUpAddresses()
    {
        BufferSlab[] slabs;
        PageRange[] pages;
        lock (_gate)
        {
            slabs = [.. _slabs];
            pages = [.. _pages.Values];
            _slabs.Clear();
            _pages.Clear();
        }

        foreach (BufferSlab slab in slabs)
        {
            SlabStore.Return(slab.Address);
        }

        foreach (PageRange range in pages)
        {
            RetiredPages.Add(range);
        }
    }
}

// Where a buffer lies. Without a slab it has pages of its own.
internal readonly record struct BufferBlock(nint Address, long Bytes, BufferSlab? Slab);
