// Charged streams and writers at their edges: exactly full, empty, cut, cancelled, copied; and what they keep charged.

using System.Buffers;
using System.Runtime.InteropServices;

namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class ChargedStreamEdgeTests
{
    private const int First = 4096;

    [Fact]
    public async Task Chunk_that_is_exactly_full_is_enough()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        using var stream = new ChargedStream(member);

        stream.Write(new byte[First]);
        Assert.Equal(First, member.Usage);
        await stream.WriteAsync(new byte[2 * First]);

        Assert.Equal((3 * First, 3 * First), (member.Usage, stream.Length));
    }

    [Fact]
    public async Task Writing_nothing_changes_nothing_wherever_that_is()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        using var stream = new ChargedStream(member) { Position = 100 };

        stream.Write([]);
        await stream.WriteAsync(ReadOnlyMemory<byte>.Empty);

        Assert.Equal((0, 100, 0), (stream.Length, stream.Position, member.Usage));
    }

    [Fact]
    public void Cut_stream_gives_back_what_it_does_not_need_also_what_a_refused_write_left()
    {
        using var world = new World();
        MemoryMember member = world.Root
            .CreateGroup("tenant", new MemoryGroupOptions { Max = 10 * First }).CreateMember("m");
        using var stream = new ChargedStream(member);
        stream.Write(new byte[2 * First]);
        Assert.Throws<MemoryLimitExceededException>(() => stream.Write(new byte[20 * First]));
        Assert.Equal(7 * First, member.Usage);

        stream.SetLength(stream.Length);
        Assert.Equal((3 * First, 2 * First), (member.Usage, stream.Length));
        stream.SetLength(First);
        Assert.Equal((First, First, First), (member.Usage, stream.Length, stream.Position));
        stream.SetLength(0);

        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Cut_and_extended_stream_shows_zeros_where_something_was()
    {
        using var world = new World();
        using var stream = new ChargedStream(world.Root.CreateMember("m"));
        byte[] ones = [.. Enumerable.Repeat((byte)1, 3 * First)];
        stream.Write(ones);

        stream.SetLength(First + 10);
        stream.SetLength(2 * First);
        stream.Position = (2 * First) + 10;
        stream.Write([1]);

        Assert.Equal([.. ones[..(First + 10)], .. new byte[First], 1], stream.GetSequence().ToArray());
    }

    [Fact]
    public void Stream_that_is_only_extended_touches_no_page()
    {
        using var world = new World();
        using var stream = new ChargedStream(world.Root.CreateMember("m"));

        stream.SetLength(20 << 20);

        long resident = 0;
        foreach (ReadOnlyMemory<byte> part in stream.GetSequence())
        {
            Assert.True(MemoryMarshal.TryGetMemoryManager(part, out MemoryBuffer? buffer));
            resident += buffer.Block.Slab is null ? ResidentPages.BytesOf(buffer) : 0;
        }

        Assert.Equal(0, resident);
    }

    [Fact]
    public async Task Cancelled_calls_do_nothing_and_end_as_cancelled()
    {
        using var world = new World();
        using var stream = new ChargedStream(world.Root.CreateMember("m"));
        stream.Write([1, 2, 3]);
        stream.Position = 0;
        var cancelled = new CancellationToken(canceled: true);

        Assert.True(stream.ReadAsync(new byte[3], cancelled).AsTask().IsCanceled);
        Assert.True(stream.ReadAsync(new byte[3], 0, 3, cancelled).IsCanceled);
        Assert.True(stream.FlushAsync(cancelled).IsCanceled);
        await Assert.ThrowsAsync<OperationCanceledException>(() => stream.WriteAsync(new byte[3], cancelled).AsTask());
        await Assert.ThrowsAsync<OperationCanceledException>(() => stream.WriteAsync(new byte[3], 0, 3, cancelled));
        Assert.Equal((0, 3), (stream.Position, stream.Length));

        await stream.FlushAsync(CancellationToken.None);
        Assert.Equal(2, await stream.ReadAsync(new byte[2], CancellationToken.None));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Stream_is_copied_from_its_position_on_across_chunks(bool later)
    {
        using var world = new World();
        using var stream = new ChargedStream(world.Root.CreateMember("m"));
        byte[] content = [.. Enumerable.Range(0, 5 * First).Select(static at => (byte)(at % 251))];
        stream.Write(content);
        using var copy = new MemoryStream();

        stream.Position = 10;
        if (later)
        {
            await stream.CopyToAsync(copy);
            await stream.CopyToAsync(copy);
        }
        else
        {
            stream.CopyTo(copy);
            stream.CopyTo(copy);
        }

        Assert.Equal(content[10..], copy.ToArray());
        Assert.Equal(content.Length, stream.Position);
    }

    [Fact]
    public void Writer_takes_the_rest_of_a_chunk_when_that_is_exactly_enough()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        using var writer = new ChargedBufferWriter(member);

        Assert.Equal(First, writer.GetSpan(First).Length);

        Assert.Equal(First, member.Usage);
    }

    [Fact]
    public void Writer_is_advanced_in_steps_over_one_span()
    {
        using var world = new World();
        using var writer = new ChargedBufferWriter(world.Root.CreateMember("m"));
        writer.GetSpan(5)[..5].Fill(7);

        writer.Advance(2);
        writer.Advance(3);
        writer.Advance(First - 5);

        Assert.Throws<InvalidOperationException>(() => writer.Advance(1));
        Assert.Equal(First, writer.WrittenCount);
        Assert.Equal([7, 7, 7, 7, 7, 0], writer.WrittenSequence.Slice(0, 6).ToArray());
    }

    [Fact]
    public void Writer_keeps_no_scratch_buffer_longer_than_it_is_needed()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        using var writer = new ChargedBufferWriter(member);

        writer.GetSpan(100_000);
        long once = member.Usage;
        Assert.InRange(once, First + 100_000, First + 110_000);
        writer.GetSpan(100_000);
        Assert.Equal(once, member.Usage);
        writer.GetSpan(1);
        Assert.Equal(First, member.Usage);

        writer.GetSpan(100_000)[0] = 9;
        writer.Advance(1);
        Assert.Equal(First, member.Usage);
        Assert.Throws<InvalidOperationException>(() => writer.Advance(1));
        writer.GetSpan(100_000);
        writer.Clear();
        Assert.Equal((0, 0), (member.Usage, writer.WrittenCount));
    }
}
