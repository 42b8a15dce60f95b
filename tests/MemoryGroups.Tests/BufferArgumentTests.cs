// Every argument that buffers, pools, writers and streams do not take, and every call on one that is over: refused by
// name, with the exception that the documentation gives, before anything is charged or moved.
namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class BufferArgumentTests
{
    [Fact]
    public void Members_refuse_sizes_and_alignments_out_of_range_in_each_of_the_three_verbs()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        var askew = new MemoryBufferOptions { Alignment = 24 };

        Refused("bytes", () => member.TryAllocate(0));
        Refused("bytes", () => member.Allocate(0));
        Refused("bytes", () => member.AllocateAsync(0).AsTask().GetAwaiter().GetResult());
        Refused("Alignment", () => member.TryAllocate(1, askew));
        Refused("Alignment", () => member.Allocate(1, askew));
        Refused("Alignment", () => member.AllocateAsync(1, askew).AsTask().GetAwaiter().GetResult());
        Refused("Alignment", () => member.Allocate(1, new MemoryBufferOptions { Alignment = int.MinValue }));

        Assert.Equal(
            "The alignment must be a power of two up to 2097152. (Parameter 'Alignment')\nActual value was 24.",
            Assert.Throws<ArgumentOutOfRangeException>(() => member.Allocate(1, askew))
                .Message.ReplaceLineEndings("\n"));
        Assert.Equal(0, member.Usage);
    }

    [Theory]
    [InlineData("offset", -1, 1)]
    [InlineData("length", 0, -1)]
    [InlineData("length", 101, -1)]
    [InlineData("offset", 100, 1)]
    [InlineData("offset", 101, 0)]
    [InlineData("offset", long.MaxValue, int.MaxValue)]
    public void Part_outside_of_the_buffer_is_refused_by_name(string name, long offset, int length)
    {
        using var world = new World();
        using MemoryBuffer buffer = world.Root.CreateMember("m").Allocate(100);

        Refused(name, () => buffer.AsSpan(offset, length));
    }

    [Fact]
    public void Part_outside_of_the_buffer_is_told_with_all_numbers()
    {
        using var world = new World();
        using MemoryBuffer buffer = world.Root.CreateMember("m").Allocate(100);

        var error = Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Read(98, new byte[3]));

        Assert.StartsWith(
            "3 bytes at 98 are not within a buffer of 100 bytes.", error.Message, StringComparison.Ordinal);
        Refused("offset", () => buffer.Write(98, new byte[3]));
        Refused("offset", () => buffer.Pin(-1));
        Assert.Equal(0, buffer.GetSpan().IndexOf((byte)0));
    }

    [Fact]
    public void Buffer_too_long_for_a_span_says_what_to_call_instead()
    {
        using var world = new World();
        using MemoryBuffer buffer = world.Root.CreateMember("m").Allocate(1L + int.MaxValue);

        var error = Assert.Throws<InvalidOperationException>(() => buffer.GetSpan());

        Assert.Equal(
            "The buffer has 2147483648 bytes, more than one span can show; use AsSpan(offset, length).", error.Message);
        Assert.Equal(int.MaxValue, buffer.AsSpan(1, int.MaxValue).Length);
    }

    [Fact]
    public void Pools_refuse_nothing_and_lengths_out_of_range()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        using var arrays = new ChargedArrayPool<byte>(member);
        using var memories = new ChargedMemoryPool(member);

        Missing("member", () => new ChargedArrayPool<byte>(null!));
        Missing("member", () => new ChargedMemoryPool(null!));
        Missing("array", () => arrays.Return(null!));
        Refused("minimumLength", () => arrays.Rent(-1));
        Refused("minimumLength", () => arrays.RentAsync(-1).AsTask().GetAwaiter().GetResult());
        Refused("minBufferSize", () => memories.Rent(-2));
        Refused("minBufferSize", () => memories.Rent(memories.MaxBufferSize + 1));

        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Writer_refuses_nothing_counts_out_of_range_and_calls_after_dispose()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        var writer = new ChargedBufferWriter(member);

        Missing("member", () => new ChargedBufferWriter(null!));
        Refused("sizeHint", () => writer.GetMemory(-1));
        Refused("count", () => writer.Advance(-1));
        Assert.Equal(
            "1 bytes were said to be written, but only 0 were handed out.",
            Assert.Throws<InvalidOperationException>(() => writer.Advance(1)).Message);

        writer.Dispose();
        Gone(() => writer.GetMemory(), () => writer.GetSpan(), () => _ = writer.WrittenSequence);
        Assert.Equal((0, 0), (writer.WrittenCount, member.Usage));
    }

    [Fact]
    public void Stream_refuses_nothing_and_places_out_of_range_and_stays_where_it_was()
    {
        using var world = new World();
        using var stream = new ChargedStream(world.Root.CreateMember("m"));
        stream.Write([1, 2, 3]);

        Missing("member", () => new ChargedStream(null!));
#pragma warning disable CA2022 // nothing is read: each of these is refused
        Missing("buffer", () => stream.Read(null!, 0, 0));
        Missing("buffer", () => stream.Write(null!, 0, 0));
        Missing("buffer", () => stream.ReadAsync(null!, 0, 0).GetAwaiter().GetResult());
        Missing("buffer", () => stream.WriteAsync(null!, 0, 0).GetAwaiter().GetResult());
        Missing("destination", () => stream.CopyTo(null!, 1));
        Missing("destination", () => stream.CopyToAsync(null!, 1).GetAwaiter().GetResult());
        Refused("count", () => stream.Read(new byte[3], 0, 4));
#pragma warning restore CA2022
        Refused("count", () => stream.Write(new byte[3], 0, 4));
        Refused("value", () => stream.Position = -1);
        Refused("value", () => stream.Position = MemoryMember.MaxBufferBytes + 1);
        Refused("value", () => stream.SetLength(-1));
        Refused("value", () => stream.SetLength(MemoryMember.MaxBufferBytes + 1));
        Refused("origin", () => stream.Seek(0, (SeekOrigin)3));
        Assert.Equal(
            "-4 bytes from 3 is outside of what a stream can be.",
            Assert.Throws<IOException>(() => stream.Seek(-4, SeekOrigin.End)).Message);

        Assert.Equal((3, 3), (stream.Position, stream.Length));
    }

    [Fact]
    public void Stream_goes_to_both_ends_of_what_it_can_be()
    {
        using var world = new World();
        using var stream = new ChargedStream(world.Root.CreateMember("m"));
        stream.Write([1, 2, 3]);

        Assert.Equal(0, stream.Seek(-3, SeekOrigin.Current));
        Assert.Equal(0, stream.Seek(-3, SeekOrigin.End));
        Assert.Equal(MemoryMember.MaxBufferBytes, stream.Seek(MemoryMember.MaxBufferBytes - 3, SeekOrigin.End));
        Assert.Throws<IOException>(() => stream.Seek(MemoryMember.MaxBufferBytes - 2, SeekOrigin.End));
        stream.Position = MemoryMember.MaxBufferBytes;

        Assert.Equal((MemoryMember.MaxBufferBytes, 3), (stream.Position, stream.Length));
    }

    [Fact]
    public void Disposed_stream_refuses_every_call_by_the_same_exception()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        var stream = new ChargedStream(member);
        stream.Write([1, 2, 3]);

        stream.Dispose();
        stream.Dispose();

        Gone(
            () => _ = stream.Length,
            () => _ = stream.Position,
            () => stream.Position = 0,
            () => stream.GetSequence(),
#pragma warning disable CA2022 // nothing is read: the stream is gone
            () => stream.Read([]),
            () => stream.Read(new byte[1], 0, 1),
#pragma warning restore CA2022
            () => stream.ReadAsync(new byte[1]).AsTask().GetAwaiter().GetResult(),
            () => stream.Write([]),
            () => stream.Write(new byte[1], 0, 1),
            () => stream.WriteAsync(ReadOnlyMemory<byte>.Empty).AsTask().GetAwaiter().GetResult(),
            () => stream.Seek(0, SeekOrigin.Begin),
            () => stream.SetLength(0),
            () => stream.CopyTo(Stream.Null),
            () => stream.CopyToAsync(Stream.Null).GetAwaiter().GetResult());
        Assert.Equal(0, member.Usage);
    }

    private static void Refused(string name, Action call) => Assert.Throws<ArgumentOutOfRangeException>(name, call);

    private static void Missing(string name, Action call) => Assert.Throws<ArgumentNullException>(name, call);

    private static void Missing(string name, Func<object> making) =>
        Assert.Throws<ArgumentNullException>(name, making);

    private static void Gone(params ReadOnlySpan<Action> calls)
    {
        foreach (Action call in calls)
        {
            Assert.Throws<ObjectDisposedException>(call);
        }
    }
}
