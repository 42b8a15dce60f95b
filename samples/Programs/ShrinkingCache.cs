// A cache below the same limit as the work it serves: it is large while the work is small, and gives way when the work
// grows. docs/programs.md shows the lines between the markers.
using MemoryGroups.Caching;

namespace MemoryGroups.Samples;

internal static class ShrinkingCache
{
    internal static async Task RunAsync(MemoryRoot root)
    {
        // <Cache>
        using MemoryGroup tenant = root.CreateGroup("cached", new() { Max = ByteSize.Parse("32M") });
        MemoryGroup caches = tenant.CreateGroup("caches", new() { High = ByteSize.Parse("24M") });
        MemoryMember owner = caches.CreateMember("pages", new() { OomScoreAdjustment = MemoryMember.NeverKill });
        using var pages = new ChargedCache<int, byte[]>(owner, new() { SizeOf = (_, page) => page.Length });

        for (int page = 0; page < 10_000; page++)
        {
            pages.GetOrAdd(page, static _ => new byte[4096]);
        }

        long before = pages.Bytes;                             // 24 MiB: up to High of its group
        using MemoryMember query = tenant.CreateMember("query");
        using MemoryCharge work = await query.LeaseAsync(20 << 20);
        long after = pages.Bytes;                              // about 4 MiB: it gave what the query asked for
        // </Cache>

        Console.WriteLine($"{owner.Path}: {ByteSize.FormatRounded(before)}, then {ByteSize.FormatRounded(after)}");
    }
}
