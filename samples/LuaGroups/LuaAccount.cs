// The books of one Lua state, and the allocator that keeps them. Lua tells the old size of each block, so no block
// needs a header: what is charged is what the C allocator makes of the size.
//
// A block is charged by TryCharge alone, from inside the engine, where nothing may wait; what does not fit is a null
// pointer, for which Lua collects garbage, asks once more, and then raises "not enough memory" in the script. So that a
// script does not lose to whoever fills the group faster, waiting is done at another place: every thousand instructions
// a hook looks whether a little is charged ahead (the credit), and if not, charges it in full earnest, with reclaim,
// OOM protocol and wait. There Lua holds nothing, and the script's own thread may wait.
//
// Must stay true: charged to the member = in use + credit, after each call of the allocator; only whoever is alone with
// the state touches an account; outside of a protected call nothing is refused; once stopped, a script gets nothing.

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemoryGroups;

namespace LuaGroups;

internal sealed unsafe class LuaAccount(MemoryMember member)
{
    // Small against any sensible limit, and enough for what a thousand instructions usually take.
    internal const long AheadBytes = 64 * 1024;

    // glibc's and musl's own word in front of a block, its granule and its smallest block.
    private const int AllocatorWord = 8;
    private const int Granule = 16;
    private const int LeastBlock = 32;

    private long _inUse;
    private long _credit;
    private bool _isDenied;

    // Ends a wait for memory: a script that waits does not look whether it is stopped.
    private CancellationToken _stop;

    internal MemoryMember Member { get; } = member;

    internal long InUse => Volatile.Read(ref _inUse);

    // True while Lua can report a refusal: inside a protected call.
    internal bool MayRefuse { get; set; }

    // The largest request that was refused since the script began.
    internal long Refused { get; private set; }

    // Set from any thread: the script is to end.
    internal bool IsStopped
    {
        get => Volatile.Read(ref field);
        set => Volatile.Write(ref field, value);
    }

    internal static delegate* unmanaged[Cdecl]<void*, void*, nuint, nuint, void*> Allocator => &OnAllocate;

    internal static long ChargeFor(nuint size) =>
        size == 0 ? 0 : Math.Max(LeastBlock, ((long)size + AllocatorWord + Granule - 1) / Granule * Granule);

    internal void BeginScript(CancellationToken stop = default)
    {
        Refused = 0;
        _isDenied = false;
        _stop = stop;
    }

    internal void DropCredit()
    {
        Member.Uncharge(_credit);
        _credit = 0;
    }

    // Between two instructions of the script, on its own thread. Never throws.
    internal void KeepAhead()
    {
        if (_credit >= AheadBytes / 2 || _isDenied) return;
        long more = AheadBytes - _credit;
        try
        {
            if (!Member.TryCharge(more))
                Member.ChargeAsync(more, ChargeFlags.NoReserve, _stop).AsTask().GetAwaiter().GetResult();
            _credit += more;
        }
        catch (MemoryLimitExceededException)
        {
            // Asked once per script: from here on what does not fit is refused.
            _isDenied = true;
        }
        catch (Exception error) when (
            error is OomKilledException or ObjectDisposedException or OperationCanceledException)
        {
            IsStopped = true;
        }
    }

    internal void* Resize(void* block, nuint oldSize, nuint newSize)
    {
        // Without a block the old size is a kind of object.
        long had = block is null ? 0 : ChargeFor(oldSize);
        long needs = ChargeFor(newSize);
        if (newSize == 0)
        {
            NativeMemory.Free(block);
            Return(had);
            return null;
        }

        if (needs > had && !TryCharge(needs - had)) return null;

        void* moved = TryResize(block, newSize);
        if (moved is null)
        {
            Return(Math.Max(0, needs - had));

            // Lua relies on it that a block can be made smaller.
            return needs <= had ? block : null;
        }

        Return(Math.Max(0, had - needs));
        return moved;
    }

    private bool TryCharge(long bytes)
    {
        if (MayRefuse && IsStopped) return false;
        long covered = Math.Min(_credit, bytes);
        if (covered < bytes && !TryPay(bytes - covered))
        {
            Refused = Math.Max(Refused, bytes);
            return false;
        }

        _credit -= covered;
        _inUse += bytes;
        return true;
    }

    private bool TryPay(long bytes)
    {
        if (MayRefuse) return !Member.IsKilled && Member.TryCharge(bytes);
        try
        {
            Member.Charge(bytes, ChargeFlags.NoFail | ChargeFlags.NoWait);
        }
        catch (ObjectDisposedException)
        {
            // The group was closed. Lua would end the process; returning the bytes later is harmless.
        }

        return true;
    }

    private void Return(long bytes)
    {
        _inUse -= bytes;
        Member.Uncharge(bytes);
    }

    private static void* TryResize(void* block, nuint bytes)
    {
        try
        {
            return NativeMemory.Realloc(block, bytes);
        }
        catch (OutOfMemoryException)
        {
            return null;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* OnAllocate(void* account, void* block, nuint oldSize, nuint newSize)
    {
        try
        {
            return ((LuaAccount)GCHandle.FromIntPtr((nint)account).Target!).Resize(block, oldSize, newSize);
        }
        catch (ObjectDisposedException)
        {
            // The member has exited, its group was closed: refused like anything that does not fit. Freeing does not
            // throw.
            return null;
        }
    }
}
