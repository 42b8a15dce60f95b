// The slots of a thread: whose place they take, for whom they make room, and what nobody holds in memory any longer.
using System.Runtime.CompilerServices;

namespace MemoryGroups.Tests;

public sealed class KeptSlotsTests
{
    private const long Size = 4096 + 24;

    // Tables grow up to 1024 places: numbers that are the same modulo that meet in every one of them.
    [Fact]
    public void Pool_whose_number_meets_another_s_in_the_largest_table_keeps_nothing_until_that_one_is_over() =>
        Keeping.On(() =>
        {
            var first = new KeptSlots(1);
            var met = new KeptSlots(1 + 1024);
            var near = new KeptSlots(1 + 512);

            Assert.Equal(
                (true, true, false), (KeptSlots.TryAdd(first), KeptSlots.TryAdd(near), KeptSlots.TryAdd(met)));
            Assert.Same(first, KeptSlots.Of(1));
            Assert.Same(near, KeptSlots.Of(1 + 512));
            Assert.Null(KeptSlots.Of(1 + 1024));

            first.IsOver = true;
            Assert.True(KeptSlots.TryAdd(met));
            Assert.Same(met, KeptSlots.Of(1 + 1024));
            Assert.Same(near, KeptSlots.Of(1 + 512));
            Assert.Null(KeptSlots.Of(1));
            return 0;
        });

    [Fact]
    public void Slots_of_a_disposed_pool_are_over()
    {
        using var world = new World();
        var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));
        Keeping.Array(pool, 64);
        KeptSlots slots = KeptSlots.Of(pool.Id)!;
        Assert.False(slots.IsOver);

        pool.Dispose();

        Assert.True(slots.IsOver);
    }

    // Its owner had looked whether the size was open, and put the array down when the pool was over.
    [Fact]
    public void Array_that_is_put_down_while_the_pool_ends_counts_for_nobody()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        var pool = new ChargedArrayPool<byte>(member);
        byte[] array = Keeping.Array(pool, 64);
        int sizeClass = KeptSlots.ClassFor(array.Length);
        KeptSlots slots = KeptSlots.Of(pool.Id)!;
        Assert.Same(array, pool.Rent(64));
        uint seen = slots.Open;
        pool.Dispose();

        slots.Open = seen;
        Assert.True(slots.TryPut(sizeClass, array));
        slots.Open = 0;

        Assert.Equal((0, 0, 0), (pool.KeptBytes, pool.RentedBytes, member.Usage));
        Assert.False(slots.Holds(sizeClass, array));
    }

    [Fact]
    public void Slots_that_late_returns_make_for_a_disposed_pool_are_over()
    {
        using var world = new World();
        var pool = new ChargedArrayPool<byte>(Stocked.Member(world.Root));
        byte[][] late = [.. Enumerable.Range(0, 8).Select(_ => pool.Rent(4096))];

        pool.Dispose();
        Array.ForEach(late, array => pool.Return(array));

        Assert.True(KeptSlots.Of(pool.Id)!.IsOver);
    }

    [Fact]
    public void Slots_of_a_forgotten_pool_are_over()
    {
        (long id, WeakReference[] things) = UseAndForget();

        // And the finalizers of what has gone have run by then.
        Assert.Equal([0, 0], Survivors.Count([things], most: 0, Keeping.Deadline));
        Assert.True(KeptSlots.Of(id)!.IsOver);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Array_that_was_given_back_is_not_held_by_the_thread_that_used_it(bool byDispose)
    {
        using var world = new World();
        using var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));
        WeakReference array = KeptBy(pool);
        Collect();
        Assert.True(array.IsAlive);

        if (byDispose)
        {
            pool.Dispose();
        }
        else
        {
            world.Root.Stocks.Drain(world.Root);
        }

        Assert.Equal([0], Survivors.Count([[array]], most: 0, Keeping.Deadline));
    }

    [Fact]
    public void Slots_of_a_thread_that_has_ended_are_forgotten_when_another_one_begins_to_keep()
    {
        using var world = new World();
        using var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));
        WeakReference ended = Keeping.On(() =>
        {
            Keeping.Array(pool, 4096);
            return new WeakReference(KeptSlots.Of(pool.Id));
        });
        Collect();
        Assert.True(ended.IsAlive);

        Keeping.On(() => Keeping.Array(pool, 64));

        Assert.Equal([0], Survivors.Count([[ended]], most: 0, Keeping.Deadline));
    }

    [Fact]
    public void All_threads_that_ended_meanwhile_give_back_when_another_one_begins_to_keep()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        Keeping.On(() =>
        {
            Keeping.Array(pool, 4096);
            return Keeping.On(() => Keeping.Array(pool, 4096));
        });
        Assert.Equal(2 * Size, pool.KeptBytes);

        Keeping.On(() => Keeping.Array(pool, 64));

        Assert.Equal((64 + 24, 64 + 24), (pool.KeptBytes, member.Usage));
    }

    // A drain shuts under the gate and takes after it.
    [Fact]
    public void Nothing_is_opened_between_the_shutting_and_the_taking()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        Keeping.Array(pool, 4096);
        List<KeptArrays>? shut = null;
        member.Books.ShutKeptLocked(ref shut);

        Keeping.ReturnOften(pool, 4096);
        Assert.Equal((0, true), (pool.KeptBytes, KeptSlots.Of(pool.Id)!.IsShut));

        KeptArrays.TakeBack(shut);
        Keeping.Array(pool, 4096);
    }

    [Fact]
    public void Disposed_pool_is_nobody_from_whom_a_drain_takes()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        var pool = new ChargedArrayPool<byte>(member);
        Keeping.Array(pool, 4096);

        pool.Dispose();

        List<KeptArrays>? shut = null;
        member.Books.ShutKeptLocked(ref shut);
        Assert.Null(shut);
    }

    // The pool looks for stock without the gate first: the member may have none by the second look.
    [Theory]
    [InlineData("drained")]
    [InlineData("killed")]
    [InlineData("exited")]
    [InlineData("moved")]
    public void Size_is_not_opened_for_a_member_that_was(string what)
    {
        using var world = new World();
        MemoryGroup to = world.Root.CreateGroup("to");
        Stocked.Member(to);
        Stocked.Member(world.Root);
        MemoryMember member = world.Root.CreateMember("query");
        MemoryCharge inOldGroup = member.Lease(88);
        MemoryCharge lease = member.Lease(0);
        var kept = new KeptArrays(lease, elementBytes: 1, overhead: 24);
        Assert.NotNull(kept.TryOpen(0));

        switch (what)
        {
            case "drained":
                world.Root.Stocks.Drain(world.Root);
                break;
            case "killed":
                member.Kill("by hand");
                break;
            case "exited":
                member.Dispose();
                break;
            default:
                Assert.True(member.MoveTo(to));
                break;
        }

        Assert.Null(kept.TryOpen(0));
        Assert.True(KeptSlots.Of(kept.Id)!.IsShut);
        lease.Dispose();
        kept.End();
        inOldGroup.Dispose();
    }

    private static void Collect()
    {
        for (int i = 0; i < 3; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference KeptBy(ChargedArrayPool<byte> pool) => new(Keeping.Array(pool, 4096));

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static (long Id, WeakReference[] Things) UseAndForget()
    {
        var root = new MemoryRoot();
        var pool = new ChargedArrayPool<byte>(root.CreateMember("query"));
        Keeping.Array(pool, 4096);
        return (pool.Id, [new WeakReference(root), new WeakReference(pool)]);
    }
}
