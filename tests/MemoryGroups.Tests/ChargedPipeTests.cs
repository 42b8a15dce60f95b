// Pipes whose segments are charged: what is written and unread, whatever the segments; a refusal hits the writer only.
using System.Buffers;
using System.IO.Pipelines;

namespace MemoryGroups.Tests;

public sealed class ChargedPipeTests
{
    [Fact]
    public async Task Bytes_in_a_pipe_are_charged_until_they_are_read()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("session");
        using var pool = new ChargedMemoryPool(member);
        var pipe = new Pipe(pool.CreatePipeOptions());

        await pipe.Writer.WriteAsync(new byte[10_000]);
        Assert.InRange(member.Usage, 10_000, 20_000);
        ReadResult read = await pipe.Reader.ReadAsync();
        pipe.Reader.AdvanceTo(read.Buffer.End);
        await pipe.Writer.CompleteAsync();
        await pipe.Reader.CompleteAsync();

        Assert.Equal((0, 0), (member.Usage, pool.RentedBytes));
    }

    [Fact]
    public async Task Segment_of_any_size_is_charged()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("session");
        using var pool = new ChargedMemoryPool(member);
        var pipe = new Pipe(pool.CreatePipeOptions(pauseWriterThreshold: 0));

        pipe.Writer.GetSpan(5 << 20)[0] = 1;

        Assert.InRange(member.Usage, 5 << 20, 9 << 20);
        await pipe.Writer.CompleteAsync();
        await pipe.Reader.CompleteAsync();
        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public async Task Refused_segment_throws_at_the_writer_and_loses_nothing()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 20_000, BatchBytes = 1 });
        using var pool = new ChargedMemoryPool(tenant.CreateMember("session"));
        var pipe = new Pipe(pool.CreatePipeOptions(pauseWriterThreshold: 0));
        byte[] sent = [.. Enumerable.Range(0, 8000).Select(static i => (byte)(i % 251))];
        await pipe.Writer.WriteAsync(sent);

        Assert.Throws<MemoryLimitExceededException>(() => { _ = pipe.Writer.GetMemory(100_000); });

        ReadResult read = await pipe.Reader.ReadAsync();
        Assert.Equal(sent, read.Buffer.ToArray());
        pipe.Reader.AdvanceTo(read.Buffer.End);
        await pipe.Writer.WriteAsync(sent);
        await pipe.Writer.CompleteAsync();
        await pipe.Reader.CompleteAsync();
        Assert.Equal(0, tenant.Usage);
    }

    [Fact]
    public async Task Writer_waits_while_as_much_as_the_threshold_is_unread_and_goes_on_at_half()
    {
        using var world = new World();
        using var pool = new ChargedMemoryPool(world.Root.CreateGroup("tenant").CreateMember("session"));
        var pipe = new Pipe(pool.CreatePipeOptions(pauseWriterThreshold: 1000));

        ValueTask<FlushResult> flush = pipe.Writer.WriteAsync(new byte[1000]);
        Assert.False(flush.IsCompleted);
        ReadResult read = await pipe.Reader.ReadAsync();
        pipe.Reader.AdvanceTo(read.Buffer.GetPosition(499));
        Assert.False(flush.IsCompleted);
        read = await pipe.Reader.ReadAsync();
        pipe.Reader.AdvanceTo(read.Buffer.GetPosition(2));

        Assert.False((await flush).IsCanceled);
        await pipe.Writer.CompleteAsync();
        await pipe.Reader.CompleteAsync();
    }

    // Where the caller's thread waits for the pipe, a continuation that waits for that thread never comes.
    [Fact]
    public async Task Reader_does_not_go_on_where_it_was_called()
    {
        using var world = new World();
        using var pool = new ChargedMemoryPool(world.Root.CreateGroup("tenant").CreateMember("session"));
        var pipe = new Pipe(pool.CreatePipeOptions());
        var context = new CountingContext();
        SynchronizationContext? own = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(context);
        Task<long> reading = ReadAsync(pipe.Reader);
        SynchronizationContext.SetSynchronizationContext(own);

        await pipe.Writer.WriteAsync(new byte[10]);

        Assert.Equal((10, 0), (await reading, context.Posts));
        await pipe.Writer.CompleteAsync();
        await pipe.Reader.CompleteAsync();
    }

    [Theory]
    [InlineData(-1, 4096, "pauseWriterThreshold")]
    [InlineData(0, 0, "minimumSegmentSize")]
    [InlineData(0, int.MaxValue, "minimumSegmentSize")]
    public void Sizes_out_of_range_are_refused(long pause, int segment, string name)
    {
        using var world = new World();
        using var pool = new ChargedMemoryPool(world.Root.CreateGroup("tenant").CreateMember("session"));

        var refusal = Assert.Throws<ArgumentOutOfRangeException>(() => pool.CreatePipeOptions(pause, segment));

        Assert.Equal(name, refusal.ParamName);
    }
    private static async Task<long> ReadAsync(PipeReader reader)
    {
        ReadResult read = await reader.ReadAsync();
        long length = read.Buffer.Length;
        reader.AdvanceTo(read.Buffer.End);
        return length;
    }

    private sealed class CountingContext : SynchronizationContext
    {
        private int _posts;

        public int Posts => Volatile.Read(ref _posts);

        public override void Post(SendOrPostCallback d, object? state)
        {
            Interlocked.Increment(ref _posts);
            base.Post(d, state);
        }
    }
}
