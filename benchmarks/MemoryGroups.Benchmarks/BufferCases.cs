// What charges by itself, against the same without charging: pools, streams, and pages that the reaper gives back.
//
// A pool's pair is measured bare and with the array written once, because whoever rents writes. What pools keep idle is
// measured against its bound, and by what a charge pays that takes it all back. A stream is written in pieces of 4 KiB
// and read back whole; MemoryStream doubles its array, which is copied and cleared each time. Pages are touched before
// they are given back; the baseline is a bare loop of the same system call over as many.
using System.Buffers;

namespace MemoryGroups.Benchmarks;

internal static class BufferCases
{
    private const string Area = "buffers";
    private const int Size = 4096;

    private static readonly byte[] Piece = new byte[Size];

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "pools", static _ => Pools()),
        new PairedScene(Area, "streams", static _ => Streams()),
        new PairedScene(Area, "reaping", static effort => Reaping(effort)),
    ];

    private static PairedSet Pools()
    {
        var tree = new Tree(3);
        var arrays = new ChargedArrayPool<byte>(tree.Leaf.CreateMember("arrays"));
        var memory = new ChargedMemoryPool(tree.Leaf.CreateMember("memory"));
        MemoryMember native = tree.Leaf.CreateMember("native");
        return new PairedSet
        {
            Cases =
            [
                Rent("raw array", default(RawArrays)),
                Rent("array", new ChargedArrays(arrays)),
                RentAndWrite("raw array written", default(RawArrays)),
                RentAndWrite("array written", new ChargedArrays(arrays)),
                Rent("raw array 2", default(RawArrays), threads: 2),
                Rent("array 2", new ChargedArrays(arrays), threads: 2),
                RentMemory("raw memory", default(RawMemory)),
                RentMemory("memory", new ChargedMemory(memory)),
                new OwnCase("take back", TakeBack),
                new LoopCase("buffer", 1, _ => n => Allocate(native, Size, n), chunk: 256),
                new LoopCase("large buffer", 1, _ => n => Allocate(native, 1 << 20, n), chunk: 16),
            ],
            Goals =
            [
                Goal.AtMost("charged / raw array pool, 4 KiB, written once", 1.3, static at =>
                    at.Ratio("array written", "raw array written")),
                Goal.AtMost("charged / raw array pool, 4 KiB, not touched", 1.3, static at =>
                    at.Ratio("array", "raw array")),
                Goal.AtMost("charged / raw array pool, 4 KiB, not touched, 2 threads", 1.3, static at =>
                    at.Ratio("array 2", "raw array 2")),
                Goal.AtMost("charged / raw memory pool, 4 KiB, not touched", 1.3, static at =>
                    at.Ratio("memory", "raw memory")),
                Goal.AtMost("allocated by a rent from the array pool", 0, static at => at.Bytes("array"), "B"),
                Goal.AtMost("kept idle by 64 pools of a group, of its sixteenth", 1, static _ => PartKept()),
                Goal.Shown("taking back what 32 pools keep", static at => at.Nanos("take back") / 1000, "us"),
                Goal.Shown("native buffer of 4 KiB, zeroed: allocate, dispose", static at => at.Nanos("buffer"), "ns"),
                Goal.Shown("native buffer of 1 MiB, not touched", static at => at.Nanos("large buffer"), "ns"),
            ],
            Owned = [arrays, memory, tree],
        };
    }

    private static PairedSet Streams()
    {
        var tree = new Tree(3);
        MemoryMember member = tree.Leaf.CreateMember("m");
        var cases = new List<Case>();
        var goals = new List<Goal>();
        foreach (int mebibytes in (int[])[1, 16])
        {
            string size = $"{mebibytes} MiB";
            Chunk raw = n => Write(static () => new MemoryStream(), mebibytes, n);
            Chunk ours = n => Write(() => new ChargedStream(member), mebibytes, n);
            cases.Add(new LoopCase("raw " + size, 1, _ => raw, chunk: 1));
            cases.Add(new LoopCase("ours " + size, 1, _ => ours, chunk: 1));
            goals.Add(Goal.AtMost($"charged stream / MemoryStream, {size} in pieces of 4 KiB", 1, at =>
                at.Ratio("ours " + size, "raw " + size)));
            goals.Add(Goal.AtMost($"allocated, of what MemoryStream allocates, {size}", 0.01, at =>
                at.Bytes("ours " + size) / (double)at.Bytes("raw " + size)));
        }

        return new PairedSet { Cases = cases, Goals = goals, Owned = [tree] };
    }

    private static PairedSet Reaping(Effort effort)
    {
        long bytes = effort.Smoke ? 8L << 20 : 256L << 20;
        return new PairedSet
        {
            Cases =
            [
                new OwnCase("reaper", () => Reap(bytes)),
                new OwnCase("madvise", () => Advise(bytes)),
            ],
            Goals =
            [
                Goal.AtLeast("bytes a second, reaper / a bare loop of madvise", 0.9, static at =>
                    at.Ratio("madvise", "reaper")),
                Goal.Shown("reaper", at => bytes / at.Nanos("reaper") * 1e9 / (1L << 30), "GiB/s"),
            ],
        };
    }

    // Of what may lie idle in a group with a limit of 1 MiB.
    private static double PartKept()
    {
        const long limit = 1 << 20;
        using var root = new MemoryRoot();
        MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { Max = limit });
        return Keep(tenant, 64).Sum(static pool => pool.KeptBytes) / (limit / 16.0);
    }

    private static double TakeBack()
    {
        using var root = new MemoryRoot();
        MemoryGroup tenant = root.CreateGroup("tenant");
        Keep(tenant, 32);
        long start = TimeProvider.System.GetTimestamp();
        root.Stocks.Drain(tenant);
        return TimeProvider.System.GetElapsedTime(start).TotalNanoseconds;
    }

    private static ChargedArrayPool<byte>[] Keep(MemoryGroup tenant, int count)
    {
        ChargedArrayPool<byte>[] pools =
            [.. Enumerable.Range(0, count).Select(i => new ChargedArrayPool<byte>(tenant.CreateMember($"m{i}")))];
        foreach (ChargedArrayPool<byte> pool in pools)
        {
            for (int i = 0; i < 16; i++)
            {
                pool.Return(pool.Rent(Size));
            }
        }

        return pools;
    }

    private static LoopCase Rent<TRenter>(string name, TRenter renter, int threads = 1)
        where TRenter : struct, IRenter =>
        new(name, threads, _ => n => RentLoops.Rent(renter, Size, n), chunk: 512);

    private static LoopCase RentAndWrite<TRenter>(string name, TRenter renter)
        where TRenter : struct, IRenter =>
        new(name, 1, _ => n => RentLoops.RentAndWrite(renter, Size, n), chunk: 512);

    private static LoopCase RentMemory<TRenter>(string name, TRenter renter)
        where TRenter : struct, IMemoryRenter =>
        new(name, 1, _ => n => RentLoops.RentMemory(renter, Size, n), chunk: 512);

    private static long Allocate(MemoryMember member, long bytes, int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            member.Allocate(bytes).Dispose();
        }

        return 0;
    }

    private static long Write(Func<Stream> make, int mebibytes, int operations)
    {
        long sum = 0;
        for (int i = 0; i < operations; i++)
        {
            using Stream stream = make();
            for (int piece = 0; piece < mebibytes * 256; piece++)
            {
                stream.Write(Piece);
            }

            stream.Position = 0;
            byte[] into = ArrayPool<byte>.Shared.Rent(Piece.Length);
            while (stream.Read(into, 0, Piece.Length) is > 0 and var read)
            {
                sum += read;
            }

            ArrayPool<byte>.Shared.Return(into);
        }

        return Math.Min(0, sum);
    }

    // Sixteen buffers of a killed member; what the reaper calls for them.
    private static double Reap(long bytes)
    {
        using var root = new MemoryRoot();
        MemoryMember victim = root.CreateGroup("tenant").CreateMember("victim");
        var buffers = new MemoryBuffer[16];
        for (int i = 0; i < buffers.Length; i++)
        {
            buffers[i] = victim.Allocate(bytes / buffers.Length);
            Touch(buffers[i].AsSpan(0, (int)buffers[i].Length));
        }

        List<ReapableMemory> reapable = victim.Space.TakeReapables();
        long start = TimeProvider.System.GetTimestamp();
        bool all = reapable.TrueForAll(static memory => memory.TryFree());
        double nanos = TimeProvider.System.GetElapsedTime(start).TotalNanoseconds;
        Array.ForEach(buffers, static buffer => buffer.Dispose());
        return all ? nanos : double.NaN;
    }

    private static unsafe double Advise(long bytes)
    {
        PageRange[] ranges = [.. Enumerable.Range(0, 16).Select(_ => PageMemory.Map(bytes / 16, PageMemory.PageSize))];
        foreach (PageRange range in ranges)
        {
            Touch(new Span<byte>((void*)range.Address, (int)range.Bytes));
        }

        long start = TimeProvider.System.GetTimestamp();
        foreach (PageRange range in ranges)
        {
            PageMemory.Release(range.Address, range.Bytes);
        }

        double nanos = TimeProvider.System.GetElapsedTime(start).TotalNanoseconds;
        Array.ForEach(ranges, PageMemory.Unmap);
        return nanos;
    }

    private static void Touch(Span<byte> bytes)
    {
        for (int at = 0; at < bytes.Length; at += 4096)
        {
            bytes[at] = 1;
        }
    }
}
