// Pools that charge what they hand out: to the byte, refused without a trace, returned once.

using System.Buffers;

namespace MemoryGroups.Tests;

public sealed class ChargedPoolTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(4096)]
    [InlineData(1_000_000)]
    public void Array_is_charged_as_large_as_it_really_is_while_it_is_out(int length)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<long>(member);

        long[] array = pool.Rent(length);

        Assert.True(array.Length >= length);
        Assert.Equal(array.Length == 0 ? 0 : (array.Length * 8L) + 24, member.Usage);
        Assert.Equal(member.Usage, pool.RentedBytes);
        pool.Return(array);
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Refused_array_leaves_nothing_behind()
    {
        using var world = new World();
        MemoryMember member = world.Root
            .CreateGroup("tenant", new MemoryGroupOptions { Max = 10_000 }).CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);

        Assert.Throws<MemoryLimitExceededException>(() => pool.Rent(10_000));
        Assert.Equal((0, 0), (member.Usage, pool.RentedBytes));
        pool.Return(pool.Rent(8192));
    }

    [Fact]
    public async Task Waiting_array_is_handed_out_when_another_one_comes_back()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 10_000 });
        tenant.Oom.KillDisabled = true;
        using var pool = new ChargedArrayPool<byte>(tenant.CreateMember("query"));
        byte[] first = pool.Rent(8192);
        ValueTask<byte[]> waiting = pool.RentAsync(8192);
        Assert.False(waiting.IsCompleted);

        pool.Return(first);
        world.Run();

        Assert.True(waiting.IsCompleted);
        Assert.Equal(8192, (await waiting).Length);
    }

    [Fact]
    public void Array_of_a_length_that_no_pool_gives_is_refused_and_uncharges_nothing()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member);
        pool.Rent(100);

        Assert.Throws<ArgumentException>(() => pool.Return(new byte[100]));
        Assert.Throws<ArgumentNullException>(() => pool.Return(null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => pool.Rent(-1));

        Assert.Equal(128 + 24, member.Usage);
    }

    [Fact]
    public void Foreign_array_never_uncharges_more_than_the_pool_has_out()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        member.Charge(1000);
        using var pool = new ChargedArrayPool<byte>(member);
        pool.Rent(16);

        pool.Return(new byte[1024]);

        Assert.Equal((1000, 0), (member.Usage, world.Root.BooksErrorCount));
        member.Uncharge(1000);
    }

    [Fact]
    public void Disposed_pool_is_charged_nothing_and_takes_late_arrays_without_harm()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        var pool = new ChargedArrayPool<byte>(member);
        byte[] array = pool.Rent(1000);

        pool.Dispose();

        Assert.Equal(0, member.Usage);
        pool.Return(array);
        Assert.Throws<ObjectDisposedException>(() => pool.Rent(1000));
        Assert.Equal((0, 0), (member.Usage, world.Root.BooksErrorCount));
    }

    [Fact]
    public void Memory_is_charged_until_its_owner_is_disposed_and_only_once_returned()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedMemoryPool(member);

        IMemoryOwner<byte> first = pool.Rent();
        IMemoryOwner<byte> second = pool.Rent(5000);
        Assert.Equal(4096 + 24 + 8192 + 24, member.Usage);
        Assert.True(second.Memory.Length >= 5000);
        first.Dispose();
        first.Dispose();

        Assert.Equal(8192 + 24, member.Usage);
        Assert.Throws<ObjectDisposedException>(() => first.Memory);
        second.Dispose();
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Memory_of_a_size_out_of_range_or_of_a_disposed_pool_is_refused()
    {
        using var world = new World();
        var pool = new ChargedMemoryPool(world.Root.CreateMember("query"));

        Assert.Throws<ArgumentOutOfRangeException>(() => pool.Rent(-2));
        Assert.Throws<ArgumentOutOfRangeException>(() => pool.Rent(int.MaxValue));
        pool.Dispose();
        Assert.Throws<ObjectDisposedException>(() => pool.Rent(1));
    }

    [Fact]
    public void Largest_memory_and_smallest_segment_are_sizes_like_any_other()
    {
        using var world = new World();
        MemoryMember member = world.Root
            .CreateGroup("tenant", new MemoryGroupOptions { Max = 10_000 }).CreateMember("query");
        using var pool = new ChargedMemoryPool(member);

        Assert.Throws<MemoryLimitExceededException>(() => pool.Rent(pool.MaxBufferSize));
        Assert.Throws<MemoryLimitExceededException>(() => pool.Rent(Array.MaxLength));
        Assert.Equal(Array.MaxLength, pool.CreatePipeOptions(0, Array.MaxLength).MinimumSegmentSize);
        Assert.Equal(1, pool.CreatePipeOptions(0, 1).MinimumSegmentSize);

        Assert.Same(member, pool.Member);
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Memory_of_no_bytes_is_none_and_a_disposed_pool_charges_nothing_for_what_is_out()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        var pool = new ChargedMemoryPool(member);
        using IMemoryOwner<byte> none = pool.Rent(0);
        Assert.Equal((0, 0), (none.Memory.Length, member.Usage));
        using IMemoryOwner<byte> some = pool.Rent(1000);
        Assert.Equal(1024 + 24, pool.RentedBytes);

        pool.Dispose();

        Assert.Equal((0, 0), (pool.RentedBytes, member.Usage));
        Assert.Throws<ObjectDisposedException>(() => pool.Rent(0));
    }

    // One charge, of what the shared pool is going to give.
    [Theory]
    [InlineData(1, 16)]
    [InlineData(16, 16)]
    [InlineData(17, 32)]
    [InlineData(1 << 30, 1 << 30)]
    [InlineData((1 << 30) + 1, (1 << 30) + 1)]
    [InlineData(int.MaxValue, int.MaxValue)]
    public void Array_is_charged_before_it_is_made_and_as_large_as_the_pool_rounds(int length, long foreseen)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 1 });
        var arrays = new OddPool(static _ => []);
        using var pool = new ChargedArrayPool<byte>(group.CreateMember("query"), arrays);

        pool.Rent(length);

        Assert.Equal((foreseen + 24, 0), (group.PeakUsage, group.Usage));
    }

    [Theory]
    [InlineData(5)]
    [InlineData(16)]
    [InlineData(100)]
    public void Array_that_is_longer_or_shorter_than_foreseen_is_charged_as_it_is(int given)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(member, new OddPool(_ => new byte[given]));

        byte[] array = pool.Rent(5);

        Assert.Equal(given + 24, member.Usage);
        pool.Return(array);
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Array_that_is_longer_than_fits_goes_back_and_others_stay_charged()
    {
        using var world = new World();
        MemoryMember member = world.Root
            .CreateGroup("tenant", new MemoryGroupOptions { Max = 100 }).CreateMember("query");
        var arrays = new OddPool(static length => new byte[length == 16 ? 16 : 1000]);
        using var pool = new ChargedArrayPool<byte>(member, arrays);
        pool.Rent(16);

        Assert.Throws<MemoryLimitExceededException>(() => pool.Rent(5));

        Assert.Equal((40, 1), (member.Usage, arrays.Returned));
    }

    [Fact]
    public void Array_that_the_process_cannot_give_leaves_nothing_charged()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedArrayPool<byte>(
            member, new OddPool(static _ => throw new InsufficientMemoryException()));

        Assert.Throws<InsufficientMemoryException>(() => pool.Rent(5));

        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Pool_of_a_member_that_has_exited_is_refused()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var pool = new ChargedMemoryPool(member);
        member.Dispose();

        Assert.Throws<ObjectDisposedException>(() => pool.Rent(1));
    }

    private sealed class OddPool(Func<int, byte[]> rent) : ArrayPool<byte>
    {
        public int Returned { get; private set; }

        public override byte[] Rent(int minimumLength) => rent(minimumLength);

        public override void Return(byte[] array, bool clearArray = false) => Returned++;
    }
}
