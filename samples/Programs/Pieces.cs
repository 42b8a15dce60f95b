// The shorter pieces of code in docs/: buffers, metering, caches.
using MemoryGroups.Caching;
using Microsoft.Extensions.Caching.Memory;

namespace MemoryGroups.Samples;

internal static class Pieces
{
    internal static async Task RunAsync(MemoryRoot root)
    {
        using MemoryGroup tenant = root.CreateGroup("pieces");
        using MemoryMember member = tenant.CreateMember("m");
        await BufferAsync(member, [1, 2, 3]);
        await MeterAsync(member, "a request");
        await CacheAsync(tenant, "why");
        Cache(tenant.CreateMember("memory cache"), "because");
    }

    private static async Task BufferAsync(MemoryMember member, byte[] header)
    {
        // <Buffer>
        using MemoryBuffer buffer = await member.AllocateAsync(64 << 20);
        buffer.Write(0, header);
        Span<byte> body = buffer.AsSpan(header.Length, 4096);
        // </Buffer>
        Console.WriteLine($"a buffer: {body.Length} of {ByteSize.FormatRounded(buffer.ChargedBytes)}");
    }

    private static async Task MeterAsync(MemoryMember member, object request)
    {
        // <Meter>
        using (member.Enter())
        {
            await HandleAsync(request);          // over awaits, Task.Run, Parallel, channels, new threads
        }

        member.AllocationBudget = 2L << 30;      // more than that, and the member is killed
        // </Meter>
        Console.WriteLine($"metered {ByteSize.FormatRounded(member.AllocatedBytes)}");
    }

    private static async Task CacheAsync(MemoryGroup tenant, string question)
    {
        // <ChargedCache>
        MemoryMember owner = tenant.CreateMember(
            "answers", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        using var cache = new ChargedCache<string, byte[]>(
            owner, new() { SizeOf = (key, value) => (2 * key.Length) + value.Length });

        byte[] answer = await cache.GetOrAddAsync(question, AskTheDatabaseAsync);
        // </ChargedCache>
        Console.WriteLine($"{answer.Length} bytes of answer, charged {cache.Bytes}");
    }

    private static void Cache(MemoryMember owner, object value)
    {
        // <MemoryCache>
        var inside = new MemoryCache(new MemoryCacheOptions { SizeLimit = 1 << 30, TrackStatistics = true });
        using ChargedMemoryCache cache = inside.ChargeTo(owner);
        cache.Set("a", value, new MemoryCacheEntryOptions { Size = 4096 });
        // </MemoryCache>
        Console.WriteLine($"{owner.Path} is charged {owner.Usage}");
    }

    private static async Task HandleAsync(object request)
    {
        await Task.Yield();
        GC.KeepAlive(new byte[100_000]);
        GC.KeepAlive(request);
    }

    private static async ValueTask<byte[]> AskTheDatabaseAsync(string question, CancellationToken cancellationToken)
    {
        await Task.Yield();
        return new byte[question.Length];
    }
}
