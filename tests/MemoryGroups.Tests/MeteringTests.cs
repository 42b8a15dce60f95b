// What flows allocate in a member's scope: how exact it is over awaits, tasks, parallel loops and channels; whose it is
// when scopes are nested, left in the wrong order, or outlived; that a switch costs no garbage.
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Threading.Channels;

namespace MemoryGroups.Tests;

public sealed class MeteringTests
{
    // With its header exactly so many bytes on the heap.
    private const int Piece = 16 * 1024;

    // The process's total counts what threads have taken ahead, 8 KiB each, and takes off again what a thread has left
    // when it ends or a collection comes: so it falls now and then, by that much for each thread of other tests.
    private const long Noise = 100 * Piece;

    [Fact]
    public async Task Mixed_workload_is_metered_within_five_percent()
    {
        using var root = new MemoryRoot();
        using MemoryMember member = root.CreateMember("member");
        using MemoryMember idle = root.CreateMember("idle");
        const int Each = 400;
        using (member.Enter())
        {
            for (int i = 0; i < Each; i++)
            {
                Allocate(1);
                await Task.Yield();
            }

            await Task.WhenAll(Enumerable.Range(0, 4).Select(static _ => Task.Run(static async () =>
            {
                for (int i = 0; i < Each / 4; i++)
                {
                    Allocate(1);
                    await Task.Yield();
                }
            })));
            Parallel.For(0, Each, static _ => Allocate(1));
            var channel = Channel.CreateBounded<byte[]>(4);
            Task consumer = Task.Run(async () =>
            {
                await foreach (byte[] _ in channel.Reader.ReadAllAsync())
                {
                    Allocate(1);
                }
            });
            for (int i = 0; i < Each / 2; i++)
            {
                await channel.Writer.WriteAsync(NewPiece());
            }

            channel.Writer.Complete();
            await consumer;
        }

        const long Expected = 4L * Each * Piece;

        // Somebody's last stretch may still be on its way out.
        SpinWait.SpinUntil(() => member.AllocatedBytes >= Expected, TimeSpan.FromSeconds(30));
        Assert.InRange(member.AllocatedBytes, Expected, Expected * 105 / 100);
        Assert.Equal(0, idle.AllocatedBytes);
        Assert.InRange(root.MeteredBytes, Expected, Expected * 105 / 100);
    }

    [Fact]
    public void Nested_scope_takes_over_and_gives_back()
    {
        using var world = new World();
        MemoryMember outer = world.Root.CreateMember("outer");
        MemoryMember inner = world.Root.CreateMember("inner");

        Allocate(10);
        using (outer.Enter())
        {
            Allocate(20);
            using (inner.Enter())
            {
                Allocate(300);
            }

            Allocate(3);
        }

        Allocate(1000);
        AssertPieces(23, outer);
        AssertPieces(300, inner);
    }

    [Fact]
    public void Scope_left_before_an_inner_one_leaves_both_of_them()
    {
        using var world = new World();
        MemoryMember first = world.Root.CreateMember("first");
        MemoryMember second = world.Root.CreateMember("second");
        MemoryMember third = world.Root.CreateMember("third");
        using MeteredScope one = first.Enter();
        MeteredScope two = second.Enter();
        MeteredScope three = third.Enter();

        two.Dispose();
        Allocate(10);
        AssertPieces(10, first);
        three.Dispose();
        two.Dispose();
        Allocate(10);

        AssertPieces(20, first);
        AssertPieces(0, second);
        AssertPieces(0, third);
    }

    [Fact]
    public void Scope_disposed_in_another_flow_changes_nothing_here_or_there()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        MemoryMember other = world.Root.CreateMember("other");
        using MeteredScope scope = member.Enter();

        OnThread(flows: false, () =>
        {
            using (other.Enter())
            {
                scope.Dispose();
                Allocate(10);
            }
        });
        Allocate(30);

        AssertPieces(30, member);
        AssertPieces(10, other);
    }

    [Fact]
    public void Work_that_outlives_the_scope_is_still_metered()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        using var left = new ManualResetEventSlim();
        Thread worker;
        using (member.Enter())
        {
            worker = new Thread(() =>
            {
                left.Wait();
                Allocate(50);
            });
            worker.Start();
        }

        left.Set();
        worker.Join();

        AssertPieces(50, member);
    }

    [Fact]
    public void Work_with_suppressed_flow_is_unmetered_at_the_root()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        long before = world.Root.UnmeteredBytes;

        using (member.Enter())
        {
            OnThread(flows: false, static () => Allocate(2000));
        }

        AssertPieces(0, member);

        // Other tests allocate as well, and give back (see Noise).
        Assert.True(world.Root.UnmeteredBytes - before >= (2000L * Piece) - Noise);
    }

    [Fact]
    public void What_was_allocated_before_the_root_was_made_is_none_of_its_unmetered_bytes()
    {
        Allocate(2000);
        long before = GC.GetTotalAllocatedBytes();
        using var world = new World();

        long unmetered = world.Root.UnmeteredBytes;

        Assert.InRange(unmetered, 0, GC.GetTotalAllocatedBytes() - before + Noise);
    }

    // Whoever reads is in the first one's scope, whose budget trips by that, and then the second one exits.
    [Fact]
    public void Metered_bytes_of_the_root_miss_nobody_who_exits_while_they_are_added_up()
    {
        MemoryMember? leaving = null;
        using var world = new World(configure: options => options with
        {
            PostHook = item =>
            {
                options.PostHook!(item);
                Interlocked.Exchange(ref leaving, null)?.Dispose();
            },
        });
        MemoryMember first = world.Root.CreateMember("first");
        MemoryMember second = world.Root.CreateMember("second");
        using (second.Enter())
        {
            Allocate(20);
        }

        first.AllocationBudget = 0;
        long metered;
        using (first.Enter())
        {
            Allocate(10);
            leaving = second;
            metered = world.Root.MeteredBytes;
        }

        Assert.True(second.IsExited);
        Assert.InRange(metered, 30 * Piece, 31 * Piece);
        Assert.InRange(world.Root.MeteredBytes, metered, 31 * Piece);
    }

    [Fact]
    public void Metered_bytes_of_the_root_count_nobody_twice_who_exits_when_it_was_found()
    {
        using var world = new World();
        MemoryMember leaving = world.Root.CreateMember("leaving");
        for (int others = 1; others < OomCandidates.YieldEvery; others++)
        {
            world.Root.CreateMember("other");
        }

        using (leaving.Enter())
        {
            Allocate(20);
        }

        world.Once(ProbePoint.ScanYields, leaving.Dispose);
        long metered = world.Root.MeteredBytes;

        Assert.True(leaving.IsExited);
        Assert.InRange(metered, 20 * Piece, 21 * Piece);
    }

    // Other tests allocate as well, and give back (see Noise).
    [Fact]
    public void What_is_metered_is_none_of_the_unmetered_bytes()
    {
        long before = GC.GetTotalAllocatedBytes();
        using var world = new World();
        using (world.Root.CreateMember("member").Enter())
        {
            Allocate(2000);
        }

        long unmetered = world.Root.UnmeteredBytes;

        Assert.InRange(unmetered, 0, GC.GetTotalAllocatedBytes() - before - (2000L * Piece) + Noise);
    }

    [Fact]
    public void Metered_bytes_of_the_root_are_those_of_all_members_and_none_of_them_unmetered()
    {
        using var world = new World();
        MemoryMember gone = world.Root.CreateMember("gone");
        MemoryMember here = world.Root.CreateGroup("tenant").CreateMember("here");
        using (gone.Enter())
        {
            Allocate(10);
            gone.Dispose();
        }

        using (here.Enter())
        {
            Allocate(20);
        }

        Assert.InRange(world.Root.MeteredBytes, 30 * Piece, 31 * Piece);
        Assert.True(world.Root.UnmeteredBytes >= 0);
    }

    [Fact]
    public void Exit_ends_the_count_with_what_the_disposing_thread_had_allocated()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        using MeteredScope scope = member.Enter();
        Allocate(10);
        member.Dispose();
        long atExit = member.AllocatedBytes;
        Allocate(10);
        AssertPieces(10, member);
        Assert.Equal(atExit, member.AllocatedBytes);
        Assert.Throws<ObjectDisposedException>(member.Enter);
    }

    [Fact]
    public void Switch_to_and_from_a_metered_flow_allocates_nothing()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        ExecutionContext metered;
        using (member.Enter())
        {
            metered = ExecutionContext.Capture()!;
        }

        Step(metered);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            Step(metered);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        static void Step(ExecutionContext metered) => ExecutionContext.Run(metered, static _ => { }, null);
    }

    [Fact]
    public void Charging_in_a_scope_is_not_metered_twice_and_metering_charges_nothing()
    {
        using var world = new World(1 << 20);
        MemoryMember member = world.Root.CreateMember("member");
        using (member.Enter())
        {
            Assert.True(member.TryCharge(1000));
            Allocate(100);
        }

        Assert.Equal(1000, member.Usage);
        AssertPieces(100, member);
    }

    internal static void Allocate(int pieces)
    {
        for (int i = 0; i < pieces; i++)
        {
            NewPiece();
        }
    }

    // Nothing is optimized away: the caller cannot see that the array is dropped.
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal static byte[] NewPiece() => new byte[Piece - 24];

    internal static void OnThread(bool flows, Action work)
    {
        ExceptionDispatchInfo? thrown = null;
        var thread = new Thread(() =>
        {
            try
            {
                work();
            }
            catch (Exception error)
            {
                thrown = ExceptionDispatchInfo.Capture(error);
            }
        });
        if (flows)
        {
            thread.Start();
        }
        else
        {
            thread.UnsafeStart();
        }

        thread.Join();
        thrown?.Throw();
    }

    // What a scope allocates itself, and starting a thread, is far less than two pieces.
    internal static void AssertPieces(int expected, MemoryMember member) =>
        Assert.InRange(member.AllocatedBytes, (long)expected * Piece, (expected + 2L) * Piece);
}
