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

    internal void ThrowIfTaken()
    {
        switch (Volatile.Read(ref _taken))
        {
            case ByReaper:
                throw OomKilledException.For(_member);
            case ByExit:
                throw new ObjectDisposedException(
                    _member.Path, $"The member '{_member.Path}' has exited; its buffers went with it.");
        }
    }

    // With the lease grown by what the plan gives already. All zeros, or not known to be.
    internal BufferBlock Rent(BufferPlan plan, out bool isZero)
    {
        if (plan.SizeClass is { } sizeClass)
        {
            return RentBlock(sizeClass, out isZero);
        }

        isZero = true;
        PageRange range = PageMemory.Map(plan.Given, plan.Alignment);
        lock (_gate)
        {
            if (!IsTaken)
            {
                _pages.Add(range.Address, range);
                _out++;
                return new BufferBlock(range.Address, plan.Given, Slab: null);
            }
        }

        PageMemory.Unmap(range);
        ThrowIfTaken();
        return default;
    }

    // A buffer is over, and nobody has it pinned. The memory first: bytes that are uncharged are there for others.
    internal void Return(MemoryBuffer buffer)
    {
        if (_quarantine is null)
        {
            Free(buffer.Block);
        }
        else
        {
            HoldBack(buffer, _quarantine);
        }

        Charge.Shrink(buffer.ChargedBytes);
    }

    internal void Free(BufferBlock block)
    {
        PageRange range = default;
        nint emptySlab = 0;
        bool wasLast = false;
        lock (_gate)
        {
            _out--;
            if (IsTaken)
            {
                wasLast = _out == 0 && !_releasing;
            }
            else if (block.Slab is null)
            {
                _pages.Remove(block.Address, out range);
            }
            else
            {
                emptySlab = ReturnBlock(block.Slab, block.Address);
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

    private BufferBlock RentBlock(int sizeClass, out bool isZero)
    {
        lock (_gate)
        {
            ThrowIfTaken();
            List<BufferSlab> withRoom = _withRoom[sizeClass] ??= [];
            if (withRoom.Count == 0)
            {
                var fresh = new BufferSlab(SlabStore.Take(), sizeClass) { IsListed = true };
                withRoom.Add(fresh);
                _slabs.Add(fresh);
            }

            BufferSlab slab = withRoom[^1];
            var block = new BufferBlock(slab.Take(out isZero), slab.BlockBytes, slab);
            _out++;
            if (slab.IsFull)
            {
                slab.IsListed = false;
                withRoom.RemoveAt(withRoom.Count - 1);
            }

            return block;
        }
    }

    // Held back for a while, to see who still writes to it; what was held for long is freed in its place. In one step:
    // what is looked at after all was taken reads as zeros, which nobody wrote.
    private void HoldBack(MemoryBuffer buffer, BufferQuarantine quarantine)
    {
        List<HeldBuffer> over = [];
        lock (_gate)
        {
            if (IsTaken)
            {
                over.Add(new HeldBuffer(buffer.Block, buffer.Origin, IsDamaged: false));
            }
            else
            {
                quarantine.Add(buffer.Block, buffer.Origin);
                while (quarantine.TryTake(out HeldBuffer held))
                {
                    over.Add(held);
                }
            }
        }

        foreach (HeldBuffer held in over)
        {
            if (held.IsDamaged)
            {
                _member.Root.BufferFaults.NoteWriteAfterDispose(held.Origin);
            }

            Free(held.Block);
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
internal readonly record struct BufferBlock(nint Address, long Bytes, BufferSlab? Slab)
{
    internal unsafe Span<byte> Memory => new((void*)Address, checked((int)Bytes));
}

// What a buffer of this size and alignment occupies and is charged for; without a class it gets pages of its own.
internal readonly record struct BufferPlan(long Given, int Alignment, int? SizeClass)
{
    internal static BufferPlan For(long bytes, int alignment)
    {
        if (bytes > BufferSlab.LargestBlock || alignment > 4096)
        {
            return new BufferPlan(PageMemory.RoundUp(bytes), alignment, SizeClass: null);
        }

        int sizeClass = BufferSlab.ClassFor(bytes, alignment);
        return new BufferPlan(BufferSlab.SizeOf(sizeClass), alignment, sizeClass);
    }
}
