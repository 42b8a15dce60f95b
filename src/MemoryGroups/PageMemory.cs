// Pages of the operating system: the one file of the core that calls it.
//
// Map gives zeroed address space that costs nothing until it is touched; Release gives the pages back and keeps the
// address space, so a reader that comes late reads zeros and does not end the process; Unmap gives up the address space
// as well, and is for who knows that nobody reads any more. Ranges of two megabytes and more start on a boundary of
// that size and ask for huge pages: touching and releasing them is many times cheaper.
//
// Must stay true: a failure to map is an InsufficientMemoryException with nothing left behind; Release and Unmap never
// throw.
using System.Runtime.InteropServices;

namespace MemoryGroups;

// The address space that was taken, and the aligned part of it that is used.
internal readonly record struct PageRange(nint Base, long MappedBytes, nint Address, long Bytes);

internal static partial class PageMemory
{
    internal const long HugePage = 2L << 20;

    private const int ReadWrite = 3;
    private const int DoNotNeed = 4;
    private const int WantHugePages = 14;
    private const uint ReserveAndCommit = 0x3000;
    private const uint PageReadWrite = 4;
    private const uint ReleaseAll = 0x8000;

    // Private and anonymous, in the numbers of each kernel.
    private static readonly int Anonymous = OperatingSystem.IsLinux() ? 0x22 : 0x1002;

    internal static long PageSize { get; } = Environment.SystemPageSize;

    internal static long RoundUp(long bytes) => (bytes + PageSize - 1) & -PageSize;

    // Bytes and alignment are multiples of a page.
    internal static PageRange Map(long bytes, long alignment)
    {
        long wanted = Math.Max(alignment, bytes >= HugePage ? HugePage : PageSize);
        long mapped = wanted > PageSize ? bytes + wanted : bytes;
        nint start = MapAnywhere(mapped);
        nint address = (nint)(((long)start + wanted - 1) & -wanted);
        if (bytes >= HugePage && OperatingSystem.IsLinux())
        {
            // A hint: where the kernel has none to give, or none at all, pages are small.
            _ = AdviseUnix(address, (nuint)bytes, WantHugePages);
        }

        return new PageRange(start, mapped, address, bytes);
    }

    internal static void Release(nint address, long bytes)
    {
        if (OperatingSystem.IsWindows())
        {
            _ = DiscardWindows(address, (nuint)bytes);
        }
        else
        {
            _ = AdviseUnix(address, (nuint)bytes, DoNotNeed);
        }
    }

    internal static void Unmap(PageRange range)
    {
        if (OperatingSystem.IsWindows())
        {
            _ = FreeWindows(range.Base, 0, ReleaseAll);
        }
        else
        {
            _ = UnmapUnix(range.Base, (nuint)range.MappedBytes);
        }
    }

    private static nint MapAnywhere(long bytes)
    {
        nint start = OperatingSystem.IsWindows()
            ? AllocateWindows(0, (nuint)bytes, ReserveAndCommit, PageReadWrite)
            : MapUnix(0, (nuint)bytes, ReadWrite, Anonymous, -1, 0);
        return start is not (0 or -1) ? start : throw new InsufficientMemoryException(
            $"The operating system has no {bytes} bytes of address space for a buffer "
            + $"(error {Marshal.GetLastPInvokeError()}).");
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint MapUnix(nint address, nuint bytes, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int AdviseUnix(nint address, nuint bytes, int advice);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int UnmapUnix(nint address, nuint bytes);

    [LibraryImport("kernel32", EntryPoint = "VirtualAlloc", SetLastError = true)]
    private static partial nint AllocateWindows(nint address, nuint bytes, uint kind, uint protection);

    [LibraryImport("kernel32", EntryPoint = "DiscardVirtualMemory")]
    private static partial uint DiscardWindows(nint address, nuint bytes);

    [LibraryImport("kernel32", EntryPoint = "VirtualFree")]
    private static partial int FreeWindows(nint address, nuint bytes, uint kind);
}
