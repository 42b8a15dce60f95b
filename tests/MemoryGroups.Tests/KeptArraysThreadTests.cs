// Idle arrays belong to threads: threads that end, that are in the middle of a use, and that race with who takes back.
namespace MemoryGroups.Tests;

public sealed class KeptArraysThreadTests
{
    private const long Size = 4096 + 24;

    [Fact]
    public void Array_of_a_thread_that_has_ended_goes_back_when_another_thread_begins_to_keep()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        Keeping.On(() => Keeping.Array(pool, 4096));
        Assert.Equal(Size, pool.KeptBytes);

        Keeping.On(() => Keeping.Array(pool, 64));

        Assert.Equal((64 + 24, 64 + 24), (pool.KeptBytes, member.Usage));
    }

    [Fact]
    public void Array_of_a_thread_that_has_ended_goes_back_with_all_others()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        Keeping.On(() => Keeping.Array(pool, 4096));

        world.Root.Stocks.Drain(world.Root);

        Assert.Equal((0, 0), (pool.KeptBytes, member.Usage));
    }

    [Fact]
    public void Threads_that_ended_take_nobody_s_place()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.SmallestLimit });
        using var pool = new ChargedArrayPool<byte>(tenant.CreateMember("query"));
        for (int i = 0; i < 40; i++)
        {
            Keeping.On(() => Keeping.Array(pool, 4096));
        }

        Assert.Equal(Size, pool.KeptBytes);
    }

    // In the middle of a use the owner may hold what lies there: it is not taken, and given back by the owner.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Owner_that_was_in_the_middle_of_a_use_gives_back_at_its_next(bool byReturn)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        byte[] used = Keeping.Array(pool, 64);
        Assert.Same(used, pool.Rent(64));
        Keeping.Array(pool, 4096);
        KeptSlots slots = KeptSlots.Of(pool.Id)!;
        slots.IsBusy = true;

        world.Root.Stocks.Drain(world.Root);

        Assert.Equal((Size, Size + 64 + 24), (pool.KeptBytes, member.Usage));
        Assert.True(slots.IsShut);
        slots.IsBusy = false;
        if (byReturn)
        {
            pool.Return(used);
            Assert.Equal((0, 0), (pool.KeptBytes, member.Usage));
        }
        else
        {
            pool.Rent(4096);
            Assert.Equal((0, Size + 64 + 24), (pool.KeptBytes, member.Usage));
        }
    }

    [Fact]
    public void Forgotten_root_is_not_kept_alive_by_the_threads_that_used_its_pools_nor_an_array()
    {
        WeakReference[] things = UseAndForget();

        Assert.All(Survivors.Count([things], most: 0, Keeping.Deadline), static alive => Assert.Equal(0, alive));
    }

    [Fact]
    public void Ended_thread_is_not_kept_alive_by_the_pool()
    {
        using var world = new World();
        using var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));
        WeakReference thread = Keeping.On(() =>
        {
            Keeping.Array(pool, 64);
            return new WeakReference(Thread.CurrentThread);
        });

        Assert.Equal([0], Survivors.Count([[thread]], most: 0, Keeping.Deadline));
        Assert.Equal(64 + 24, pool.KeptBytes);
    }

    // Threads rent and return while another takes back again and again; then each stops with some arrays in its hands.
    // The books must say exactly those: what was taken while it was out, or stayed while it was given back, would show.
    [Fact]
    public void Books_are_exact_whatever_is_taken_back_meanwhile()
    {
        const int seed = 7101;
        using var root = new MemoryRoot();
        MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { Max = 64 << 20 });
        MemoryMember member = tenant.CreateMember("query");
        long taken = 0;
        for (int round = 0; round < 20; round++)
        {
            using var pool = new ChargedArrayPool<byte>(member);
            long held = Race(
                threads: 3,
                i => UseAndHold(pool, new Random(seed + (100 * round) + i)),
                () => taken += pool.KeptBytes > 0 ? root.Stocks.Drain(tenant) : 0);
            root.Stocks.Drain(root);
            Assert.True(
                (0, held, held) == (pool.KeptBytes, pool.RentedBytes, member.Usage),
                $"seed {seed}, round {round}: {held} are out; kept {pool.KeptBytes}, rented {pool.RentedBytes}, "
                + $"used {member.Usage}");
        }

        Assert.True(taken > 0, "nothing was ever taken back");
        Assert.Equal((0, 0), (member.Usage, root.BooksErrorCount));
    }

    // What is out leaves room for the charge, always; what lies idle often does not.
    [Fact]
    public void Charge_that_fits_beside_what_is_out_is_never_refused_for_what_lies_idle()
    {
        const int seed = 7102;
        const long most = 2 * 4 * (128 + 24);
        using var root = new MemoryRoot();
        MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        using var pool = new ChargedArrayPool<byte>(tenant.CreateMember("query"));
        MemoryMember greedy = tenant.CreateMember("greedy");
        (long granted, long refused) = (0, 0);
        Race(threads: 2, i => UseAndHold(pool, new Random(seed + i), rounds: 400_000), () =>
        {
            if (pool.KeptBytes == 0)
            {
                return;
            }

            if (greedy.TryCharge(Stocked.AmpleLimit - most))
            {
                greedy.Uncharge(Stocked.AmpleLimit - most);
                granted++;
            }
            else
            {
                refused++;
            }
        });

        Assert.True(granted > 0 && refused == 0, $"seed {seed}: {refused} refused, {granted} granted");
    }

    // Until all threads have ended. Answers what they are left with.
    private static long Race(int threads, Func<int, long> use, Action meanwhile)
    {
        long held = 0;
        int running = threads;
        Exception? error = null;
        Thread[] all = [.. Enumerable.Range(0, threads).Select(i => new Thread(() =>
        {
            error ??= Record.Exception(() => Interlocked.Add(ref held, use(i)));
            Interlocked.Decrement(ref running);
        }) { IsBackground = true })];
        Array.ForEach(all, static thread => thread.Start());
        while (Volatile.Read(ref running) > 0)
        {
            meanwhile();
        }

        Assert.All(all, static thread => Assert.True(thread.Join(Keeping.Deadline), "a thread does not end"));
        Assert.Null(error);
        return held;
    }

    private static long UseAndHold(ChargedArrayPool<byte> pool, Random random, int rounds = 20_000)
    {
        var held = new List<byte[]>();
        for (int i = 0; i < rounds; i++)
        {
            if (held.Count > 0 && (held.Count == 4 || random.Next(2) == 0))
            {
                int at = random.Next(held.Count);
                byte[] back = held[at];
                held.RemoveAt(at);
                pool.Return(back);
            }
            else
            {
                byte[] array = pool.Rent(16 << random.Next(4));
                Assert.False(held.Exists(one => ReferenceEquals(one, array)), "it is out already");
                held.Add(array);
            }
        }

        return held.Sum(static array => array.Length + 24L);
    }

    private static WeakReference[] UseAndForget()
    {
        var root = new MemoryRoot();
        var pool = new ChargedArrayPool<byte>(root.CreateMember("query"));
        return [new WeakReference(root), new WeakReference(pool), new WeakReference(Keeping.Array(pool, 4096))];
    }
}
