// What a pool keeps for its next renter: when it keeps, how much at most, and what is in it.
using System.Buffers;

namespace MemoryGroups.Tests;

public sealed class KeptArraysTests
{
    private const long Size = 4096 + 24;

    [Fact]
    public void Array_that_comes_back_again_and_again_stays_charged_and_goes_to_the_next_renter()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        for (int i = 0; i < 3; i++)
        {
            pool.Return(pool.Rent(4096));
            Assert.Equal((0, 0), (pool.KeptBytes, member.Usage));
        }

        byte[] array = pool.Rent(4096);
        pool.Return(array);

        Assert.Equal((Size, 0, Size), (pool.KeptBytes, pool.RentedBytes, member.Usage));
        Assert.Same(array, pool.Rent(4000));
        Assert.Equal((0, Size, Size), (pool.KeptBytes, pool.RentedBytes, member.Usage));
    }

    [Fact]
    public void Renting_what_is_kept_touches_no_books_and_allocates_nothing()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        Keeping.Array(pool, 4096);
        (long held, long drawn) = (member.Books.Held, member.Books.Drawn);

        long before = GC.GetAllocatedBytesForCurrentThread();
        byte[] array = pool.Rent(4096);
        (long heldThen, long drawnThen) = (member.Books.Held, member.Books.Drawn);
        pool.Return(array);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal((held, drawn), (heldThen, drawnThen));
        Assert.Equal((held, drawn, 0), (member.Books.Held, member.Books.Drawn, allocated));
    }

    [Fact]
    public async Task Waiting_rent_takes_what_is_kept()
    {
        using var world = new World();
        using var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));
        byte[] array = Keeping.Array(pool, 4096);

        ValueTask<byte[]> rent = pool.RentAsync(4096);

        Assert.True(rent.IsCompletedSuccessfully);
        Assert.Same(array, await rent);
    }

    [Fact]
    public void One_array_of_each_length_is_kept_and_the_next_goes_where_it_came_from()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        Keeping.Array(pool, 4096);
        Keeping.Array(pool, 100);
        byte[][] three = [pool.Rent(4096), pool.Rent(4096), pool.Rent(4096)];

        Array.ForEach(three, array => pool.Return(array));

        Assert.Equal((Size + 128 + 24, Size + 128 + 24), (pool.KeptBytes, member.Usage));
        Assert.Same(three[0], pool.Rent(4096));
    }

    [Theory]
    [InlineData(65_536, true)]
    [InlineData(65_537, false)]
    [InlineData(0, false)]
    public void Arrays_of_up_to_64_kibibytes_are_kept(int length, bool expected)
    {
        using var world = new World();
        using var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));

        Keeping.ReturnOften(pool, length);

        Assert.Equal(expected ? length + 24 : 0, pool.KeptBytes);
    }

    [Fact]
    public void Size_of_the_elements_counts()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var longs = new ChargedArrayPool<long>(member);
        Keeping.ReturnOften(longs, 8192);
        Assert.Equal(65_536 + 24, longs.KeptBytes);
        Assert.Equal(8192, longs.Rent(8192).Length);

        Keeping.ReturnOften(longs, 16_384);

        Assert.Equal(0, longs.KeptBytes);
    }

    [Fact]
    public void Array_is_handed_out_as_it_came_back_and_cleared_where_that_was_asked_for()
    {
        using var world = new World();
        using var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));
        byte[] array = Keeping.Array(pool, 4096);
        Assert.Same(array, pool.Rent(4096));
        array.AsSpan().Fill(7);
        pool.Return(array);
        Assert.Equal(7, pool.Rent(4096)[4095]);

        pool.Return(array, clearArray: true);

        Assert.Same(array, pool.Rent(4096));
        Assert.Equal(-1, array.AsSpan().IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void First_array_that_is_kept_is_cleared_where_that_was_asked_for()
    {
        using var world = new World();
        using var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));
        for (int i = 0; i < 3; i++)
        {
            pool.Return(pool.Rent(64));
        }

        byte[] array = pool.Rent(64);
        array.AsSpan().Fill(7);
        pool.Return(array, clearArray: true);

        Assert.Same(array, pool.Rent(64));
        Assert.Equal(-1, array.AsSpan().IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void Array_that_lies_in_the_pool_already_is_refused_and_nobody_gets_it_twice()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        byte[] array = Keeping.Array(pool, 4096);

        var error = Assert.Throws<ArgumentException>("array", () => pool.Return(array));

        Assert.StartsWith("This array was returned already; it lies in the pool.", error.Message);
        Assert.Equal((Size, Size), (pool.KeptBytes, member.Usage));
        Assert.Same(array, pool.Rent(4096));
        Assert.NotSame(array, pool.Rent(4096));
    }

    [Fact]
    public void Array_of_a_length_that_no_pool_gives_is_refused_beside_what_is_kept()
    {
        using var world = new World();
        using var pool = new ChargedArrayPool<byte>(world.Root.CreateMember("query"));
        byte[] array = Keeping.Array(pool, 128);
        Assert.Same(array, pool.Rent(128));

        Assert.Throws<ArgumentException>(() => pool.Return(new byte[100]));
        Assert.Throws<ArgumentNullException>(() => pool.Return(null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => pool.Rent(-1));

        Assert.Equal((0, 128 + 24), (pool.KeptBytes, pool.RentedBytes));
        pool.Return([]);
        Assert.Empty(pool.Rent(0));
    }

    // Or a renter would get fewer elements than were asked for.
    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(17)]
    [InlineData(100)]
    public void Array_of_a_length_that_no_pool_gives_is_never_kept_however_often_it_comes(int length)
    {
        using var world = new World();
        using var pool = new ChargedArrayPool<byte>(Stocked.Member(world.Root));
        for (int i = 0; i < 8; i++)
        {
            Assert.Throws<ArgumentException>(() => pool.Return(new byte[length]));
        }

        Assert.Equal(0, pool.KeptBytes);
        Keeping.Array(pool, 4096);
        for (int i = 0; i < 8; i++)
        {
            Assert.Throws<ArgumentException>(() => pool.Return(new byte[length]));
        }

        Assert.Equal(Size, pool.KeptBytes);
    }

    [Fact]
    public void Foreign_array_makes_the_books_of_this_pool_too_low_and_those_of_nobody_else()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        member.Charge(100_000);
        var pool = new ChargedArrayPool<byte>(member);
        byte[] array = Keeping.Array(pool, 4096);
        Assert.Same(array, pool.Rent(4096));

        pool.Return(new byte[4096]);
        pool.Return(array);

        Assert.Equal((100_000, 0), (member.Usage, world.Root.BooksErrorCount));
        Assert.Equal(0, pool.RentedBytes);
        pool.Dispose();
        Assert.Equal((100_000, 0), (member.Usage, world.Root.BooksErrorCount));
        member.Uncharge(100_000);
    }

    [Fact]
    public void Threads_have_their_own()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        byte[] mine = Keeping.Array(pool, 4096);
        byte[] others = Keeping.On(() => Keeping.Array(pool, 4096));

        Assert.NotSame(mine, others);
        Assert.Equal(2 * Size, pool.KeptBytes);
        Assert.Same(mine, pool.Rent(4096));
        Assert.NotSame(others, pool.Rent(4096));
    }

    [Fact]
    public void Thread_that_uses_many_pools_in_turn_finds_what_each_keeps()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        ChargedArrayPool<byte>[] pools =
            [.. Enumerable.Range(0, 100).Select(_ => new ChargedArrayPool<byte>(member))];
        byte[][] kept = [.. pools.Select(pool => Keeping.Array(pool, 16))];

        for (int round = 0; round < 3; round++)
        {
            for (int i = 0; i < pools.Length; i++)
            {
                Assert.Same(kept[i], pools[i].Rent(16));
                pools[i].Return(kept[i]);
            }
        }

        Assert.Equal(100 * 40, member.Usage);
        Array.ForEach(pools, static pool => pool.Dispose());
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Memory_pool_keeps_as_well_and_disposing_twice_returns_once()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedMemoryPool(member);
        for (int i = 0; i < 4; i++)
        {
            pool.Rent().Dispose();
        }

        Assert.Equal((Size, 0, Size), (pool.KeptBytes, pool.RentedBytes, member.Usage));
        IMemoryOwner<byte> first = pool.Rent();
        Assert.Equal((0, Size), (pool.KeptBytes, pool.RentedBytes));
        first.Dispose();
        IMemoryOwner<byte> second = pool.Rent();
        first.Dispose();

        Assert.Equal((0, Size), (pool.KeptBytes, pool.RentedBytes));
        second.Dispose();
        Assert.Equal((Size, Size), (pool.KeptBytes, member.Usage));
    }
}
