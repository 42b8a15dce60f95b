// What pools keep is never a reason to refuse, wake late or kill anybody: it is bounded, and goes back in time.
namespace MemoryGroups.Tests;

public sealed class KeptArraysPressureTests
{
    private const long Size = 4096 + 24;

    // So many arrays may lie idle below the smallest limit that has stock.
    private static readonly int Fitting = (int)(Stocked.SmallestLimit / 16 / Size);

    [Fact]
    public void What_lies_idle_below_a_group_is_bounded_whatever_the_number_of_pools_and_members()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.SmallestLimit });
        ChargedArrayPool<byte>[] pools = Pools(tenant, Fitting + 10);
        long most = Stocked.SmallestLimit / 16;

        Array.ForEach(pools, static pool => Keeping.ReturnOften(pool, 4096));

        long kept = pools.Sum(static pool => pool.KeptBytes);
        Assert.InRange(kept, most - Size + 1, most);

        // What is given back may be kept by others.
        pools[0].Dispose();
        Keeping.ReturnOften(pools[^1], 4096);
        Assert.Equal((Size, kept), (pools[^1].KeptBytes, pools.Sum(static pool => pool.KeptBytes)));
        world.Root.Stocks.Drain(tenant);
        Assert.Equal(0, pools.Sum(static pool => pool.KeptBytes));
        Keeping.ReturnOften(pools[7], 4096);
        Assert.Equal(Size, pools[7].KeptBytes);
        Array.ForEach(pools, static pool => pool.Dispose());
    }

    [Fact]
    public void Last_array_that_fits_is_kept_to_the_byte()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 4 * Size });
        ChargedArrayPool<byte>[] pools = Pools(tenant, (4 * GroupStock.Slots) + 1);

        Array.ForEach(pools, static pool => Keeping.ReturnOften(pool, 4096));

        Assert.Equal((Size, 0), (pools[^2].KeptBytes, pools[^1].KeptBytes));
    }

    [Fact]
    public void Arrays_past_the_one_that_is_kept_take_nobody_s_room()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.SmallestLimit });
        ChargedArrayPool<byte>[] pools = Pools(tenant, Fitting);
        for (int i = 0; i < 64; i++)
        {
            byte[][] two = [pools[0].Rent(4096), pools[0].Rent(4096)];
            Array.ForEach(two, array => pools[0].Return(array));
        }

        Array.ForEach(pools, static pool => Keeping.ReturnOften(pool, 4096));

        Assert.All(pools, static pool => Assert.Equal(Size, pool.KeptBytes));
    }

    // Else whoever came first would have it for ever, in use or not.
    [Fact]
    public void Pool_that_is_used_takes_the_place_of_those_that_are_not()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.SmallestLimit });
        ChargedArrayPool<byte>[] pools = Pools(tenant, Fitting + 1);
        Array.ForEach(pools, static pool => Keeping.ReturnOften(pool, 4096));
        Assert.Equal(0, pools[^1].KeptBytes);

        for (int i = 0; i < 64; i++)
        {
            Keeping.ReturnOften(pools[^1], 4096);
        }

        Assert.Equal((Size, Size), (pools[^1].KeptBytes, pools.Sum(static pool => pool.KeptBytes)));
        Assert.Equal(Size, tenant.Members.Sum(static member => member.Usage));
    }

    [Theory]
    [InlineData(1L)]
    [InlineData(null)]
    public void Nothing_is_kept_where_there_is_no_stock(long? batch)
    {
        using var world = new World();
        long max = batch is null ? Stocked.SmallestLimit - 1 : long.MaxValue;
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = max, BatchBytes = batch });
        MemoryMember member = tenant.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);

        Keeping.ReturnOften(pool, 4096);

        Assert.Equal((0, 0, 0), (pool.KeptBytes, member.Usage, tenant.Usage));
    }

    [Fact]
    public void Nothing_is_kept_at_the_edge_of_a_limit_and_again_when_there_is_room()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember hog = tenant.CreateMember("hog");
        using var pool = new ChargedArrayPool<byte>(tenant.CreateMember("query"));
        Keeping.Array(pool, 4096);
        long most = Stocked.AmpleLimit - (2 * Size);
        Assert.True(hog.TryCharge(most));
        Assert.False(hog.TryCharge(Stocked.AmpleLimit));

        Keeping.ReturnOften(pool, 4096);

        Assert.Equal((0, most), (pool.KeptBytes, hog.Usage));
        hog.Uncharge(most);
        Keeping.ReturnOften(pool, 4096);
        Assert.Equal(Size, pool.KeptBytes);
    }

    // A thread has room for the slots of so many pools; those that were never open here are no pool's any more.
    [Fact]
    public void Pools_that_came_and_went_at_the_edge_of_a_limit_take_nobody_s_place_on_a_thread()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember query = tenant.CreateMember("query");
        Keeping.ReturnOften(new ChargedArrayPool<byte>(query), 64);
        Assert.True(hog.TryCharge(Stocked.AmpleLimit - Stocked.SmallestLimit));
        Assert.True(query.Books.IsListed);

        long kept = Keeping.On(() =>
        {
            for (int i = 0; i < 1200; i++)
            {
                using var gone = new ChargedArrayPool<byte>(query);
                Keeping.ReturnOften(gone, 4096);
                Assert.Equal(0, gone.KeptBytes);
            }

            hog.Uncharge(Stocked.AmpleLimit - Stocked.SmallestLimit);
            using var pool = new ChargedArrayPool<byte>(query);
            Keeping.ReturnOften(pool, 4096);
            return pool.KeptBytes;
        });

        Assert.Equal(Size, kept);
    }

    [Fact]
    public void Charge_that_fits_beside_what_is_in_use_is_granted_and_what_lies_idle_goes()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember query = tenant.CreateGroup("below").CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(query);
        Keeping.Array(pool, 4096);
        Keeping.Array(pool, 16_384);
        byte[] used = pool.Rent(16_384);
        MemoryMember other = tenant.CreateMember("other");

        Assert.True(other.TryCharge(Stocked.AmpleLimit - used.Length - 24));
        Assert.False(other.TryCharge(1));

        Assert.Equal((0, used.Length + 24), (pool.KeptBytes, query.Usage));
        Assert.Equal(Stocked.AmpleLimit, tenant.Usage);
        Assert.Equal(0, tenant.Events.Current.Max);
        pool.Return(used);
        Assert.Equal((0, 0), (pool.KeptBytes, query.Usage));
    }

    [Fact]
    public void Member_itself_gets_what_its_pools_keep()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = tenant.CreateMember("query");
        using var first = new ChargedArrayPool<byte>(member);
        using var second = new ChargedArrayPool<int>(member);
        Keeping.Array(first, 4096);
        Keeping.Array(second, 1024);

        Assert.True(member.TryCharge(Stocked.AmpleLimit));

        Assert.Equal((0, 0, Stocked.AmpleLimit), (first.KeptBytes, second.KeptBytes, member.Usage));
    }

    [Fact]
    public async Task Those_who_ask_by_name_get_it_and_who_sleeps_is_woken_by_what_comes_back()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit, KillDisabled = true });
        MemoryMember member = tenant.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        Keeping.Array(pool, 4096);
        byte[] used = pool.Rent(4096);
        Pending asker = world.Charge(tenant.CreateMember("asker"), Stocked.AmpleLimit - Size + 1);
        Assert.True(asker.Sleeps);

        pool.Return(used);
        world.Run();

        Assert.True(asker.Granted, "what came back was kept, although somebody waited for it");
        tenant.Members.Single(one => one.Name == "asker").Dispose();
        Keeping.Array(pool, 4096);
        Assert.True(await tenant.ReclaimAsync(1) > 0);
        Assert.Equal(0, pool.KeptBytes);
        Keeping.Array(pool, 4096);
        Assert.Equal(0, await tenant.ForceEmptyAsync());
    }

    [Fact]
    public void Watermark_takes_it_back_before_reclaimers_are_asked()
    {
        using var world = new World(Stocked.AmpleLimit, static options => options with
        {
            LowWatermarkBytes = 100_000,
            HighWatermarkBytes = 200_000,
        });
        var reclaimer = new ScriptedReclaimer("cache", static _ => 0);
        world.Root.AddReclaimer(reclaimer);
        using var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));
        Keeping.Array(pool, 16_384);

        MemoryMember hog = world.Root.CreateMember("hog");
        hog.Charge(Stocked.AmpleLimit - 110_000);
        Assert.Equal(16_384 + 24, pool.KeptBytes);
        hog.Charge(10_000);
        world.Run();

        Assert.Equal(0, pool.KeptBytes);
        Assert.NotEmpty(reclaimer.Calls);
    }

    [Fact]
    public void Killed_member_keeps_nothing_and_never_again()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = tenant.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        Keeping.Array(pool, 4096);

        member.Kill("by hand");

        Assert.Equal((0, 0, 0), (pool.KeptBytes, member.Usage, tenant.Usage));
        Keeping.ReturnOften(pool, 4096);
        Assert.Equal((0, 0), (pool.KeptBytes, member.Usage));
        Assert.True(tenant.CreateMember("hog").TryCharge(Stocked.AmpleLimit));
        Assert.Throws<OomKilledException>(() => pool.Rent(4096));
    }

    [Fact]
    public void Exit_takes_what_is_kept_and_does_not_count_it_as_left_behind()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        Keeping.Array(pool, 4096);
        Keeping.Array(pool, 64);
        byte[] used = pool.Rent(64);

        member.Dispose();

        Assert.Equal((0, 0, 64 + 24), (pool.KeptBytes, world.Root.Usage, world.Root.BytesLeftAtExit));
        pool.Return(used);
        Assert.Equal((0, 0), (pool.KeptBytes, world.Root.Usage));
        Assert.Throws<ObjectDisposedException>(() => pool.Rent(4096));
    }

    [Fact]
    public void Move_takes_it_back_in_the_old_group_and_the_pool_begins_anew_in_the_other()
    {
        using var world = new World();
        MemoryGroup from = world.Root.CreateGroup("from", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryGroup to = world.Root.CreateGroup("to", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = from.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        byte[] array = Keeping.Array(pool, 4096);

        Assert.True(member.MoveTo(to));

        Assert.Equal((0, 0, 0), (pool.KeptBytes, from.Usage, member.Usage));
        Assert.NotSame(array, Keeping.Array(pool, 4096));
        Assert.Equal((0, Size), (from.Usage, member.Usage));
        Assert.True(to.CreateMember("other").TryCharge(Stocked.AmpleLimit));
        Assert.Equal((0, 0), (pool.KeptBytes, member.Usage));
    }

    // As for stock: bytes of two groups in one place could not be given back to the one that asks.
    [Fact]
    public void Moved_member_keeps_nothing_while_something_is_charged_in_the_old_group()
    {
        using var world = new World();
        MemoryGroup from = world.Root.CreateGroup("from");
        MemoryMember member = from.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        MemoryCharge old = member.Lease(88);
        Assert.True(member.MoveTo(world.Root.CreateGroup("to")));

        Keeping.ReturnOften(pool, 4096);
        Assert.Equal((0, 88), (pool.KeptBytes, from.Usage));

        old.Dispose();
        Keeping.ReturnOften(pool, 4096);
        Assert.Equal((Size, 0), (pool.KeptBytes, from.Usage));
    }

    [Fact]
    public void Disposed_pool_keeps_nothing_and_never_again()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        var pool = new ChargedArrayPool<byte>(member);
        var other = new ChargedArrayPool<byte>(member);
        byte[] kept = Keeping.Array(pool, 4096);
        Keeping.Array(other, 4096);
        Assert.Same(kept, pool.Rent(4096));
        byte[] late = pool.Rent(64);
        pool.Return(kept);

        pool.Dispose();

        Assert.Equal((0, 0, Size), (pool.KeptBytes, pool.RentedBytes, member.Usage));
        pool.Return(late);
        pool.Return(kept);
        Assert.Throws<ObjectDisposedException>(() => pool.Rent(4096));
        Assert.Equal((0, Size), (pool.KeptBytes, member.Usage));
        other.Dispose();
    }

    [Fact]
    public void Pool_that_was_disposed_before_it_kept_anything_keeps_nothing_of_late_returns()
    {
        using var world = new World();
        MemoryMember member = Stocked.Member(world.Root);
        var pool = new ChargedArrayPool<byte>(member);
        byte[][] late = [.. Enumerable.Range(0, 8).Select(_ => pool.Rent(4096))];

        pool.Dispose();
        Array.ForEach(late, array => pool.Return(array));

        Assert.Equal((0, 1 << 20), (pool.KeptBytes, member.Usage));
        Assert.Throws<ObjectDisposedException>(() => pool.Rent(4096));
    }

    private static ChargedArrayPool<byte>[] Pools(MemoryGroup group, int count) =>
        [.. Enumerable.Range(0, count).Select(i => new ChargedArrayPool<byte>(group.CreateMember($"m{i}")))];
}
