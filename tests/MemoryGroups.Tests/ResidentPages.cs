// How much of a range of native memory is really there: the operating system's own answer, page by page.

using System.Runtime.InteropServices;

namespace MemoryGroups.Tests;

internal static class ResidentPages
{
    public static long BytesOf(MemoryBuffer buffer)
    {
        long page = Environment.SystemPageSize;
        long start = buffer.Block.Address & -page;
        long bytes = buffer.Block.Address + buffer.Block.Bytes - start;
        var map = new byte[(bytes + page - 1) / page];
        Assert.Equal(0, Look((nint)start, (nuint)bytes, map));
        return map.LongCount(static one => (one & 1) != 0) * page;
    }

    [DllImport("libc", EntryPoint = "mincore")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Look(nint start, nuint bytes, [Out] byte[] map);
}
