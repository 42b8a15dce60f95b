// The charged stream and the charged buffer writer: what they hold, against the plain ones; and what they charge.

using System.Buffers;

namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class ChargedStreamTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Stream_does_what_a_memory_stream_does(int seed)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var stream = new ChargedStream(member);
        using var plain = new MemoryStream();
        var random = new Random(seed);
        for (int step = 0; step < 400; step++)
        {
            Change(stream, plain, random);
            Assert.True(
                (plain.Length, plain.Position) == (stream.Length, stream.Position), $"seed {seed}, step {step}");
            Assert.InRange(member.Usage, stream.Length, (2 * stream.Length) + 4096 + (2 << 20));
        }

        Assert.Equal(plain.ToArray(), stream.GetSequence().ToArray());
        using var copy = new MemoryStream();
        stream.Position = 0;
        stream.CopyTo(copy);
        Assert.Equal(plain.ToArray(), copy.ToArray());
        stream.Dispose();
        world.AssertQuiet(leftAtRoot: 0);
    }

    [Fact]
    public void Stream_has_no_cliff_at_two_gigabytes()
    {
        using var world = new World();
        using var stream = new ChargedStream(world.Root.CreateMember("query"));
        stream.SetLength(3L << 30);
        stream.Position = (3L << 30) - 2;

        stream.Write([1, 2, 3]);

        stream.Position -= 3;
        var read = new byte[4];
        Assert.Equal(3, stream.Read(read));
        Assert.Equal([1, 2, 3, 0], read);
        Assert.Equal((3L << 30) + 1, stream.Length);
    }

    [Fact]
    public void Refused_write_leaves_the_stream_as_it_was()
    {
        using var world = new World();
        MemoryMember member = world.Root
            .CreateGroup("tenant", new MemoryGroupOptions { Max = 20_000 }).CreateMember("query");
        using var stream = new ChargedStream(member);
        stream.Write(new byte[5000]);

        Assert.Throws<MemoryLimitExceededException>(() => stream.Write(new byte[100_000]));
        Assert.Throws<MemoryLimitExceededException>(() => stream.SetLength(100_000));

        Assert.Equal((5000, 5000), (stream.Length, stream.Position));
        stream.Write(new byte[3000]);
        Assert.Equal(8000, stream.Length);
    }

    [Fact]
    public async Task Waiting_write_goes_on_when_memory_comes_back()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 20_000 });
        tenant.Oom.KillDisabled = true;
        MemoryBuffer other = tenant.CreateMember("other").Allocate(16_000);
        await using var stream = new ChargedStream(tenant.CreateMember("query"));
        Task writing = stream.WriteAsync(new byte[10_000]).AsTask();
        Assert.False(writing.IsCompleted);

        other.Dispose();
        world.Run();

        await writing;
        Assert.Equal(10_000, stream.Length);
    }

    [Fact]
    public void Stream_of_a_victim_throws_and_never_reads_zeros_for_content()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("query");
        using var stream = new ChargedStream(member);
        stream.Write([1, 2, 3]);
        Assert.True(member.Space.TryBeginReap());
        OomReaper.Take(world.Root, member.Space);

        stream.Position = 0;
        Assert.Throws<OomKilledException>(() => stream.Read(new byte[3]));
        Assert.Throws<OomKilledException>(() => stream.Write([1]));
    }

    [Fact]
    public void Disposed_stream_refuses_everything()
    {
        using var world = new World();
        var stream = new ChargedStream(world.Root.CreateMember("query"));
        stream.Dispose();

        Assert.Equal((false, false, false), (stream.CanRead, stream.CanSeek, stream.CanWrite));
        Assert.Throws<ObjectDisposedException>(() => stream.Length);
        Assert.Throws<ObjectDisposedException>(() => stream.Position);
        Assert.Throws<ObjectDisposedException>(() => stream.Read(new byte[1]));
        Assert.Throws<ObjectDisposedException>(() => stream.Write([1]));
        Assert.Throws<ObjectDisposedException>(() => stream.Seek(0, SeekOrigin.Begin));
        Assert.Throws<ObjectDisposedException>(() => stream.SetLength(1));
    }

    [Fact]
    public void Places_out_of_range_are_refused()
    {
        using var world = new World();
        using var stream = new ChargedStream(world.Root.CreateMember("query"));

        Assert.Throws<ArgumentOutOfRangeException>(() => stream.Position = -1);
        Assert.Throws<ArgumentOutOfRangeException>(() => stream.Position = long.MaxValue);
        Assert.Throws<ArgumentOutOfRangeException>(() => stream.SetLength(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => stream.Seek(0, (SeekOrigin)9));
        Assert.Throws<IOException>(() => stream.Seek(-1, SeekOrigin.End));
        Assert.Throws<IOException>(() => stream.Seek(long.MinValue, SeekOrigin.Current));
        Assert.Throws<IOException>(() => stream.Seek(long.MaxValue, SeekOrigin.Begin));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Writer_holds_what_was_written_in_pieces_of_all_sizes(int seed)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("query");
        using var writer = new ChargedBufferWriter(member);
        var expected = new List<byte>();
        var random = new Random(seed);
        for (int step = 0; step < 500; step++)
        {
            int hint = random.Next(4) == 0 ? 0 : random.Next(1 << random.Next(15));
            Span<byte> span = writer.GetSpan(hint);
            Assert.True(span.Length >= Math.Max(1, hint));
            int count = random.Next(Math.Min(span.Length, Math.Max(hint, 100)) + 1);
            random.NextBytes(span[..count]);
            expected.AddRange(span[..count]);
            writer.Advance(count);
        }

        Assert.Equal(expected.Count, writer.WrittenCount);
        Assert.Equal(expected, writer.WrittenSequence.ToArray());
        writer.Clear();
        Assert.Equal((0, 0), (writer.WrittenCount, member.Usage));
        Assert.True(writer.WrittenSequence.IsEmpty);
    }

    [Fact]
    public void Writer_refuses_more_than_was_handed_out()
    {
        using var world = new World();
        using var writer = new ChargedBufferWriter(world.Root.CreateMember("query"));

        Assert.Throws<InvalidOperationException>(() => writer.Advance(1));
        int given = writer.GetSpan(10).Length;
        Assert.Throws<InvalidOperationException>(() => writer.Advance(given + 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.Advance(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.GetSpan(-1));
        writer.Advance(given);
        Assert.Throws<InvalidOperationException>(() => writer.Advance(1));
    }

    [Fact]
    public void Refused_span_leaves_what_was_written()
    {
        using var world = new World();
        MemoryMember member = world.Root
            .CreateGroup("tenant", new MemoryGroupOptions { Max = 20_000 }).CreateMember("query");
        using var writer = new ChargedBufferWriter(member);
        writer.GetSpan(3)[0] = 7;
        writer.Advance(1);

        Assert.Throws<MemoryLimitExceededException>(() => writer.GetSpan(100_000));

        Assert.Equal([7], writer.WrittenSequence.ToArray());
        writer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => writer.GetSpan(1));
        Assert.Equal(0, member.Usage);
    }

    private static void Change(ChargedStream stream, MemoryStream plain, Random random)
    {
        int choice = random.Next(10);
        if (choice < 5)
        {
            // Never nothing: beyond the end a memory stream grows by it, as no other stream does.
            var bytes = new byte[1 + random.Next(1 << random.Next(16))];
            random.NextBytes(bytes);
            stream.Write(bytes);
            plain.Write(bytes);
        }
        else if (choice < 7)
        {
            var one = new byte[random.Next(20_000)];
            var other = new byte[one.Length];
            Assert.Equal(plain.Read(one), stream.Read(other));
            Assert.Equal(one, other);
        }
        else if (choice < 9)
        {
            long place = random.NextInt64(plain.Length + 10_000);
            plain.Position = stream.Position = place;
        }
        else
        {
            long length = random.NextInt64(plain.Length + 10_000);
            stream.SetLength(length);
            plain.SetLength(length);
        }
    }
}
