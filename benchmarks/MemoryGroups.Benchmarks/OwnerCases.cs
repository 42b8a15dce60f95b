// The other ways to hold bytes: an account for one owner, a lease, one member that all threads share; and what all of
// it is there to guard, an allocation.
using System.Buffers;
using System.Runtime.InteropServices;

namespace MemoryGroups.Benchmarks;

internal static class OwnerCases
{
    private static readonly int[] Threads = [1, 2, 4, 8, 16];

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene("account", "in L", static _ => Account()),
        new Trial("account", "over-admission", static _ => OverAdmission.Measure("account")),
        new PairedScene("one member shared", "threads", static _ => SharedMember()),
        new PairedScene("against what it guards", "allocations", static _ => Guarded()),
        new PairedScene("lease", "in L", static _ => Lease()),
    ];

    private static PairedSet Account()
    {
        var tree = new Tree(3);
        var node = CounterNode.Chain(3);
        return new PairedSet
        {
            Cases =
            [
                Patterns.Unit(),
                Patterns.Pair("account", 1, _ => tree.Account()),
                Patterns.Pair("account 64", 1, _ => tree.Account(), 64),
                Patterns.Pair("account 2", 2, _ => tree.Account()),
                Patterns.Walk("account walk", 1, _ => tree.Account()),
                Patterns.Mix("account mix", 1, _ => tree.Account()),
                Patterns.Pair("buffer", 1, _ => new ThreadBuffer(node)),
                Patterns.Walk("buffer walk", 1, _ => new ThreadBuffer(node)),
                Patterns.Mix("buffer mix", 1, _ => new ThreadBuffer(node)),
            ],
            Goals =
            [
                Goal.AtMost("account pair, 4 KiB", 0.65, static at => at.Ratio("account", "L"), "L"),
                Goal.AtMost("account pair, 64 B", 0.65, static at => at.Ratio("account 64", "L"), "L"),
                Goal.AtMost("account pair, 2 threads", 0.65, static at => at.Ratio("account 2", "L"), "L"),
                Goal.AtMost("allocated by a pair", 0, static at => at.Bytes("account"), "B"),
                Goal.AtMost("account / ClickHouse's buffer, pair", 1, static at => at.Ratio("account", "buffer")),
                Goal.AtMost("account / ClickHouse's buffer, walk of 256", 1, static at =>
                    at.Ratio("account walk", "buffer walk")),
                Goal.AtMost("account / ClickHouse's buffer, mix", 1, static at =>
                    at.Ratio("account mix", "buffer mix")),
            ],
            Owned = [tree],
        };
    }

    private static PairedSet SharedMember()
    {
        var tree = new Tree(3);
        MemberCharger one = tree.Member();
        var shared = new AtomicCharger();
        return new PairedSet
        {
            Cases =
            [
                Patterns.Unit(),
                .. Threads.Select(threads => Patterns.Pair($"ours {threads}", threads, _ => one)),
                Patterns.Pair("atomic 16", 16, _ => shared),
                Patterns.Pair("atomic 2", 2, _ => shared),
            ],
            Goals =
            [
                .. Threads[..^1].Select(threads => Goal.Shown(
                    $"pair through one member, {Patterns.Counted(threads)}", at =>
                    at.Ratio($"ours {threads}", "L"), "L")),
                Goal.AtMost("pair through one member, 16 threads", 2, static at => at.Ratio("ours 16", "L"), "L") with
                {
                    Control = new Control("one shared atomic / ours, 16 threads", static at =>
                        at.Ratio("atomic 16", "ours 16"), Bound.AtLeast(4)),
                },
                Goal.Shown("one shared atomic, 2 threads", static at => at.Ratio("atomic 2", "L"), "L"),
            ],
            Owned = [tree],
        };
    }

    private static PairedSet Guarded()
    {
        var tree = new Tree(3);
        MemoryAccount account = tree.Leaf.CreateMember("a").OpenAccount();
        return new PairedSet
        {
            Cases =
            [
                Patterns.Pair("member", 1, _ => tree.Member()),
                Patterns.Pair("account", 1, _ => new AccountCharger(account)),
                new LoopCase("malloc", 1, static _ => Malloc),
                new LoopCase("pool", 1, static _ => RentAndReturn),
                new LoopCase("new", 1, static _ => NewArray),
            ],
            Goals =
            [
                Goal.AtMost("member pair / malloc, touch, free of 4 KiB", 0.3, static at =>
                    at.Ratio("member", "malloc")),
                Goal.AtMost("account pair / ArrayPool rent, return of 4 KiB", 0.4, static at =>
                    at.Ratio("account", "pool")),
                Goal.Shown("member pair / new byte[4096]", static at => at.Ratio("member", "new")),
            ],
            Owned = [account, tree],
        };
    }

    private static PairedSet Lease()
    {
        var tree = new Tree(3);
        MemoryMember member = tree.Leaf.CreateMember("m");
        MemoryCharge lease = member.Lease(64 * 1024);
        return new PairedSet
        {
            Cases =
            [
                Patterns.Unit(),
                Patterns.Pair("grow", 1, _ => new LeaseCharger(lease)),
                new LoopCase("create", 1, _ => n => CreateLeases(member, n)),
            ],
            Goals =
            [
                Goal.AtMost("lease grow and shrink", 1.6, static at => at.Ratio("grow", "L"), "L"),
                Goal.AtMost("allocated by grow and shrink", 0, static at => at.Bytes("grow"), "B"),
                Goal.AtMost("allocated by creating a lease", 48, static at => at.Bytes("create"), "B"),
                Goal.Shown("create and dispose a lease", static at => at.Ratio("create", "L"), "L"),
            ],
            Owned = [lease, tree],
        };
    }

    private static long CreateLeases(MemoryMember member, int operations)
    {
        long refused = 0;
        for (int i = 0; i < operations; i++)
        {
            MemoryCharge? lease = member.TryLease(4096);
            refused += lease is null ? 1 : 0;
            lease?.Dispose();
        }

        return refused;
    }

    // Touched at both ends, as whoever allocates does; all of it would be the price of the memory, not of malloc.
    private static unsafe long Malloc(int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            byte* bytes = (byte*)NativeMemory.Alloc(4096);
            Volatile.Write(ref bytes[0], 1);
            Volatile.Write(ref bytes[4095], 1);
            NativeMemory.Free(bytes);
        }

        return 0;
    }

    private static long RentAndReturn(int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            ArrayPool<byte>.Shared.Return(ArrayPool<byte>.Shared.Rent(4096));
        }

        return 0;
    }

    private static long NewArray(int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            GC.KeepAlive(new byte[4096]);
        }

        return 0;
    }
}
