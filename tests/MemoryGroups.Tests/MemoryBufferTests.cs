// Buffers in native memory: what they charge, what is in them, what bad input and misuse meet.

namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class MemoryBufferTests
{
    private const int Huge = 2 << 20;

    [Theory]
    [InlineData(1, 64)]
    [InlineData(64, 64)]
    [InlineData(65, 80)]
    [InlineData(1000, 1024)]
    [InlineData(32 * 1024, 32 * 1024)]
    [InlineData((32 * 1024) + 1, 36 * 1024)]
    [InlineData(36 * 1024, 36 * 1024)]
    [InlineData(5_000_000, 5_001_216)]
    public void Buffer_of_any_size_charges_what_is_really_given(long bytes, long given)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("query");

        using (MemoryBuffer buffer = member.Allocate(bytes))
        {
            Assert.Equal((bytes, given), (buffer.Length, buffer.ChargedBytes));
            Assert.Equal(given, member.Usage);
            Assert.Same(member, buffer.Member);
        }

        Assert.Equal(0, member.Usage);
        world.AssertQuiet(leftAtRoot: 0);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(20_000)]
    [InlineData(100_000)]
    public void Buffer_that_was_used_by_another_before_is_zero_unless_that_is_waived(int bytes)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using (MemoryBuffer first = member.Allocate(bytes))
        {
            first.GetSpan().Fill(0xAB);
        }

        using MemoryBuffer second = member.Allocate(bytes);

        Assert.Equal(-1, second.GetSpan().IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void Small_buffer_that_may_hold_anything_is_not_cleared()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using (MemoryBuffer first = member.Allocate(100))
        {
            first.GetSpan().Fill(0xAB);
        }

        using MemoryBuffer second = member.Allocate(100, new MemoryBufferOptions { Uninitialized = true });

        Assert.Equal(0xAB, second.GetSpan()[99]);
    }

    [Theory]
    [InlineData(10, 1)]
    [InlineData(10, 64)]
    [InlineData(100, 4096)]
    [InlineData(5000, 512)]
    [InlineData(100, 64 * 1024)]
    [InlineData(100_000, MemoryBufferOptions.LargestAlignment)]
    public void Alignment_holds_for_every_one_of_many(int bytes, int alignment)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        var options = new MemoryBufferOptions { Alignment = alignment };
        MemoryBuffer[] buffers = [.. Enumerable.Range(0, 20).Select(_ => member.Allocate(bytes, options))];

        Assert.All(buffers, buffer => Assert.Equal(0, buffer.Block.Address % alignment));

        Array.ForEach(buffers, static buffer => buffer.Dispose());
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Many_buffers_of_mixed_sizes_never_overlap_and_all_go_back()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        var random = new Random(7);
        var live = new List<(MemoryBuffer Buffer, byte Mark)>();
        for (int step = 0; step < 4000; step++)
        {
            if (live.Count > 200 || (live.Count > 0 && random.Next(3) == 0))
            {
                int index = random.Next(live.Count);
                (MemoryBuffer old, byte mark) = live[index];
                Assert.Equal(-1, old.GetSpan().IndexOfAnyExcept(mark));
                old.Dispose();
                live.RemoveAt(index);
            }
            else
            {
                byte mark = (byte)(1 + (step % 255));
                MemoryBuffer buffer = member.Allocate(1L << random.Next(17));
                Assert.Equal(-1, buffer.GetSpan().IndexOfAnyExcept((byte)0));
                buffer.GetSpan().Fill(mark);
                live.Add((buffer, mark));
            }

            Assert.Equal(live.Sum(static one => one.Buffer.ChargedBytes), member.Usage);
        }

        live.ForEach(static one => one.Buffer.Dispose());
        world.AssertQuiet(leftAtRoot: 0);
    }

    [Fact]
    public void Refused_buffer_leaves_nothing_behind()
    {
        using var world = new World();
        MemoryMember member = world.Root
            .CreateGroup("tenant", new MemoryGroupOptions { Max = 100_000 }).CreateMember("query");

        Assert.Null(member.TryAllocate(200_000));
        MemoryLimitExceededException refused =
            Assert.Throws<MemoryLimitExceededException>(() => member.Allocate(200_000));

        Assert.Equal("root/tenant", refused.GroupPath);
        Assert.Equal(0, member.Usage);
        using MemoryBuffer? fits = member.TryAllocate(90_000);
        Assert.NotNull(fits);
    }

    [Fact]
    public void Buffer_that_the_system_cannot_give_leaves_nothing_charged()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        var options = new MemoryBufferOptions { Alignment = MemoryBufferOptions.LargestAlignment };

        // Address space is finite: some of these maps fail, long before anything is touched.
        var made = new List<MemoryBuffer>();
        Assert.Throws<InsufficientMemoryException>(() =>
        {
            for (int count = 0; count < 1000; count++)
            {
                made.Add(member.Allocate(MemoryMember.MaxBufferBytes, options));
            }
        });

        Assert.Equal(made.Count * MemoryMember.MaxBufferBytes, member.Usage);
        made.ForEach(static buffer => buffer.Dispose());
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public async Task Waiting_buffer_is_granted_when_another_one_goes()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 100_000 });
        tenant.Oom.KillDisabled = true;
        MemoryBuffer first = tenant.CreateMember("first").Allocate(80_000);
        ValueTask<MemoryBuffer> waiting = tenant.CreateMember("second").AllocateAsync(50_000);
        world.Run();
        Assert.False(waiting.IsCompleted);

        first.Dispose();
        world.Run();

        Assert.True(waiting.IsCompleted);
        using MemoryBuffer second = await waiting;
        Assert.Equal(50_000, second.GetSpan().Length);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(long.MinValue)]
    [InlineData(MemoryMember.MaxBufferBytes + 1)]
    [InlineData(long.MaxValue)]
    public void Size_out_of_range_is_refused_with_the_range(long bytes)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");

        ArgumentOutOfRangeException error =
            Assert.Throws<ArgumentOutOfRangeException>(() => member.Allocate(bytes));

        Assert.Contains("between 1 and 1099511627776", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, member.Usage);
    }

    [Theory]
    [InlineData(-16)]
    [InlineData(3)]
    [InlineData(48)]
    [InlineData(2 * Huge)]
    public void Alignment_that_is_no_power_of_two_is_refused(int alignment)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");

        Assert.Throws<ArgumentOutOfRangeException>(
            () => member.TryAllocate(10, new MemoryBufferOptions { Alignment = alignment }));
    }

    [Fact]
    public void Parts_outside_the_buffer_are_refused()
    {
        using var world = new World();
        using MemoryBuffer buffer = world.Root.CreateMember("query").Allocate(100);

        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.AsSpan(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.AsSpan(0, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.AsSpan(1, 100));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.AsSpan(long.MaxValue, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Read(99, new byte[2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Write(101, []));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Pin(101));
        Assert.Equal(0, buffer.AsSpan(100, 0).Length);
    }

    [Fact]
    public void What_was_written_is_read_through_every_door()
    {
        using var world = new World();
        using MemoryBuffer buffer = world.Root.CreateMember("query").Allocate(100_000);

        buffer.Write(5, [1, 2, 3]);

        var read = new byte[5];
        buffer.Read(4, read);
        Assert.Equal([0, 1, 2, 3, 0], read);
        Assert.Equal(2, buffer.GetSpan()[6]);
        Assert.Equal(3, buffer.Memory.Span[7]);
        Assert.Equal(100_000, buffer.Memory.Length);
    }

    [Fact]
    public void Buffer_longer_than_a_span_is_reached_by_parts()
    {
        using var world = new World();
        using MemoryBuffer buffer = world.Root.CreateMember("query").Allocate(3L << 30);

        buffer.Write((3L << 30) - 1, [9]);

        Assert.Equal(9, buffer.AsSpan((3L << 30) - 1, 1)[0]);
        Assert.Throws<InvalidOperationException>(() => buffer.GetSpan());
        Assert.Throws<InvalidOperationException>(() => buffer.Memory);
    }

    [Fact]
    public void Disposed_buffer_throws_on_access_and_disposing_again_is_harmless()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        MemoryBuffer buffer = member.Allocate(100);
        Memory<byte> memory = buffer.Memory;
        using MemoryBuffer other = member.Allocate(100);

        buffer.Dispose();
        buffer.Dispose();

        Assert.Throws<ObjectDisposedException>(() => buffer.GetSpan());
        Assert.Throws<ObjectDisposedException>(() => memory.Span[0]);
        Assert.Throws<ObjectDisposedException>(() => buffer.Read(0, new byte[1]));
        Assert.Throws<ObjectDisposedException>(() => buffer.Pin());
        Assert.Equal(112, member.Usage);
    }

    [Fact]
    public void Pinned_buffer_goes_back_with_its_last_pin()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        MemoryBuffer buffer = member.Allocate(100_000);
        System.Buffers.MemoryHandle first = buffer.Pin();
        System.Buffers.MemoryHandle second = buffer.Pin(99_999);

        buffer.Dispose();
        first.Dispose();
        Assert.Equal(buffer.ChargedBytes, member.Usage);
        second.Dispose();

        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Exit_takes_the_buffers_that_are_left_and_late_calls_are_harmless()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("query");
        MemoryBuffer small = member.Allocate(100);
        MemoryBuffer large = member.Allocate(1_000_000);
        large.GetSpan().Fill(1);

        member.Dispose();

        Assert.Equal(0, ResidentPages.BytesOf(large));
        Assert.Throws<ObjectDisposedException>(() => large.GetSpan());
        Assert.Throws<ObjectDisposedException>(() => member.Allocate(1));
        small.Dispose();
        large.Dispose();
        world.AssertQuiet(leftAtRoot: 0);
    }

    [Fact]
    public void Buffer_of_a_member_that_moved_goes_back_to_the_group_that_was_charged()
    {
        using var world = new World();
        MemoryGroup before = world.Root.CreateGroup("before");
        MemoryGroup after = world.Root.CreateGroup("after");
        MemoryMember member = before.CreateMember("query");
        MemoryBuffer first = member.Allocate(1024);
        Assert.True(member.MoveTo(after));
        MemoryBuffer second = member.Allocate(2048);
        Assert.Equal((1024, 2048), (before.Usage, after.Usage));

        first.Dispose();
        second.Dispose();

        Assert.Equal((0, 0), (before.Usage, after.Usage));
    }
}
