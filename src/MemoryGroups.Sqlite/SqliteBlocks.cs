// The allocator that SQLite calls: memory of the C allocator with a header in front that says who is charged.
//
//   | guard 8 | account 4 | size 4 | what SQLite gets, 16-aligned ...
//
// An allocation is charged to the account that is current on its thread, else to the unattributed one; a free goes to
// the account in the header, on whatever thread it happens. SQLite holds its locks here, so nothing here waits,
// reclaims or runs user code: what does not fit is refused by a null pointer, which SQLite turns into SQLITE_NOMEM, and
// what can be done about it is done when SQLite has unwound (SqliteRun). The charge is made before the memory is taken
// and returned after the memory is.
//
// Must stay true: no exception leaves a callback; no callback allocates managed memory, unless a charge leaves its fast
// path.
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemoryGroups.Sqlite;

internal static unsafe class SqliteBlocks
{
    private const int HeaderBytes = 16;

    // glibc's and musl's own word in front of a block; also what others round to is covered by it.
    private const int AllocatorWord = 8;
    private const int PageBytes = 4096;
    private const int MappedFrom = 128 * 1024;
    private const long Guard = 0x5A1173B10C4EAD;

    [ThreadStatic]
    private static SqliteAccount? _current;

    private static SqliteAccount? _unattributed;

    // Who is charged on this thread; null: the unattributed account.
    internal static SqliteAccount? Current
    {
        get => _current;
        set
        {
            Debug.Assert(value is not { IsHandedOver: true }, "a handed-over account takes no new blocks");
            _current = value;
        }
    }

    internal static SqliteAccount? Unattributed
    {
        get => Volatile.Read(ref _unattributed);
        set => Volatile.Write(ref _unattributed, value);
    }

    internal static SqliteMemoryMethods Methods => new()
    {
        Malloc = &OnMalloc,
        Free = &OnFree,
        Realloc = &OnRealloc,
        Size = &OnSize,
        Roundup = &OnRoundup,
        Init = &OnInit,
        Shutdown = &OnShutdown,
    };

    // What a block of this size takes from the system, header and the allocator's own word included: a multiple of 16,
    // and whole pages where the allocator maps large blocks on their own.
    internal static long ChargeFor(int size)
    {
        long chunk = RoundTo((long)size + HeaderBytes + AllocatorWord, SqliteAccount.Granule);
        return chunk < MappedFrom ? chunk : RoundTo(chunk + AllocatorWord, PageBytes);
    }

    // The size that wastes nothing: with header and the allocator's word a multiple of 16.
    internal static int Roundup(int size)
    {
        long rounded = RoundTo((long)size + HeaderBytes + AllocatorWord, SqliteAccount.Granule)
            - HeaderBytes - AllocatorWord;
        return (int)Math.Min(rounded, int.MaxValue);
    }

    internal static void* Allocate(int bytes)
    {
        if (bytes <= 0)
        {
            return null;
        }

        int size = Roundup(bytes);
        long charge = ChargeFor(size);
        SqliteAccount payer = _current ?? Unattributed!;
        if (!payer.TryCharge(charge))
        {
            return null;
        }

        var header = (Header*)TryTake((nuint)size + HeaderBytes);
        if (header is null)
        {
            payer.Uncharge(charge);
            return null;
        }

        *header = new Header { Guard = Guard, Account = payer.Index, Size = size };
        return header + 1;
    }

    internal static void Release(void* block)
    {
        if (block is null)
        {
            return;
        }

        Header* header = HeaderOf(block, out SqliteAccount owner);
        long charge = ChargeFor(header->Size);

        // A second free of the same block is recognized while the memory has not been used again.
        header->Guard = ~Guard;
        NativeMemory.Free(header);
        owner.Uncharge(charge);
    }

    // Growing is paid by who grows: in full when the block was another's, which thereby changes hands. Shrinking gives
    // the owner the difference.
    internal static void* Resize(void* block, int bytes)
    {
        if (block is null || bytes <= 0)
        {
            Release(block);
            return Allocate(bytes);
        }

        Header* header = HeaderOf(block, out SqliteAccount owner);
        int size = Roundup(bytes);
        long had = ChargeFor(header->Size);
        long needs = ChargeFor(size);
        SqliteAccount payer = needs > had ? _current ?? Unattributed! : owner;
        long more = payer == owner ? needs - had : needs;
        if (more > 0 && !payer.TryCharge(more))
        {
            return null;
        }

        var moved = (Header*)TryResize(header, (nuint)size + HeaderBytes);
        if (moved is null)
        {
            payer.Uncharge(Math.Max(0, more));
            return null;
        }

        moved->Size = size;
        moved->Account = payer.Index;
        long less = payer == owner ? had - needs : had;
        if (less > 0)
        {
            owner.Uncharge(less);
        }

        return moved + 1;
    }

    internal static int SizeOf(void* block) => block is null ? 0 : HeaderOf(block, out _)->Size;

    private static Header* HeaderOf(void* block, out SqliteAccount owner)
    {
        Header* header = (Header*)block - 1;
        if (header->Guard != Guard || SqliteAccountTable.Find(header->Account) is not { } found)
        {
            // Going on would free something else, or charge somebody else: the heap is damaged either way.
            Environment.FailFast("SQLite passed a block that this allocator did not make, has freed, or that "
                + "was overwritten.");
            throw new UnreachableException();
        }

        owner = found;
        return header;
    }

    // Null when the system has no more, instead of an exception.
    private static void* TryTake(nuint bytes)
    {
        try
        {
            return NativeMemory.Alloc(bytes);
        }
        catch (OutOfMemoryException)
        {
            return null;
        }
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

    private static long RoundTo(long bytes, int granule) => (bytes + granule - 1) / granule * granule;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* OnMalloc(int bytes)
    {
        try
        {
            return Allocate(bytes);
        }
        catch (Exception)
        {
            // The member has exited (its group was closed): refused like anything that does not fit.
            return null;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnFree(void* block)
    {
        try
        {
            Release(block);
        }
        catch (Exception error)
        {
            Environment.FailFast("Returning SQLite's memory failed, and must not.", error);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* OnRealloc(void* block, int bytes)
    {
        try
        {
            return Resize(block, bytes);
        }
        catch (Exception)
        {
            // As in OnMalloc: charging comes first, so the old block is as it was.
            return null;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnSize(void* block) => SizeOf(block);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnRoundup(int bytes) => Roundup(bytes);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnInit(void* appData) => SqliteNative.Ok;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnShutdown(void* appData)
    {
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Header
    {
        internal long Guard;
        internal int Account;
        internal int Size;
    }
}
