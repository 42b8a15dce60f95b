// Leaks, double disposes and writes after Dispose: found, counted, told with who did it, and never thrown.

using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class BufferFaultTests
{
    [Fact]
    public void Leaked_buffer_is_given_back_and_reported_with_its_member()
    {
        using var root = new MemoryRoot();
        MemoryMember member = root.CreateGroup("tenant").CreateMember("query");
        Leak(member, 1000);
        Leak(member, 100_000);

        Collect();

        Assert.Equal(0, member.Usage);
        Assert.Equal((2, 1024 + 102_400), (root.BufferFaults.Leaks, root.BufferFaults.LeakedBytes));
        Assert.All(
            root.BufferFaults.Latest,
            static text => Assert.Contains("root/tenant/query", text, StringComparison.Ordinal));
    }

    [Fact]
    public void Disposed_buffers_are_no_leaks()
    {
        using var root = new MemoryRoot();
        MemoryMember member = root.CreateMember("query");
        for (int count = 0; count < 100; count++)
        {
            member.Allocate(count + 1).Dispose();
        }

        Collect();

        Assert.Equal(0, root.BufferFaults.Leaks);
    }

    [Fact]
    public void Leak_is_told_with_the_stack_of_the_renter_when_buffers_are_checked()
    {
        using var root = new MemoryRoot(new MemoryRootOptions { CheckBuffers = true });
        Leak(root.CreateMember("query"), 1000);

        Collect();

        Assert.Contains(nameof(Leak), Assert.Single(root.BufferFaults.Latest), StringComparison.Ordinal);
    }

    [Fact]
    public void Leak_after_the_exit_is_reported_too()
    {
        using var root = new MemoryRoot();
        MemoryMember member = root.CreateMember("query");
        Leak(member, 1000);
        member.Dispose();

        Collect();

        Assert.Equal(1, root.BufferFaults.Leaks);
        Assert.Equal((0, 0), (root.Usage, root.BooksErrorCount));
    }

    [Fact]
    public void Double_dispose_is_counted_when_buffers_are_checked()
    {
        using var root = new MemoryRoot(new MemoryRootOptions { CheckBuffers = true });
        MemoryBuffer buffer = root.CreateMember("query").Allocate(100);

        buffer.Dispose();
        buffer.Dispose();

        Assert.Equal(1, root.BufferFaults.DoubleDisposes);
        Assert.Contains(
            nameof(Double_dispose_is_counted_when_buffers_are_checked),
            Assert.Single(root.BufferFaults.Latest),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(100_000)]
    public void Write_after_dispose_is_found_before_the_memory_is_used_again(int bytes)
    {
        using var root = new MemoryRoot(new MemoryRootOptions { CheckBuffers = true });
        MemoryMember member = root.CreateMember("query");
        MemoryBuffer buffer = member.Allocate(bytes);
        Span<byte> kept = buffer.GetSpan();
        buffer.Dispose();
        Assert.Equal(0, member.Usage);

        kept[bytes / 2] = 1;
        for (int count = 0; count < 40; count++)
        {
            member.Allocate(bytes).Dispose();
        }

        Assert.Equal(1, root.BufferFaults.WritesAfterDispose);
        Assert.Contains(
            "written to after it was disposed", Assert.Single(root.BufferFaults.Latest), StringComparison.Ordinal);
    }

    [Fact]
    public void Right_use_of_checked_buffers_is_no_fault()
    {
        using var root = new MemoryRoot(new MemoryRootOptions { CheckBuffers = true });
        MemoryMember member = root.CreateMember("query");
        for (int count = 0; count < 100; count++)
        {
            using MemoryBuffer buffer = member.Allocate(1 + (count * 20_000));
            buffer.GetSpan().Fill(1);
        }

        BufferFaults faults = root.BufferFaults;
        Assert.Equal((0, 0, 0), (faults.Leaks, faults.DoubleDisposes, faults.WritesAfterDispose));
        member.Dispose();
        Assert.Equal(0, root.UsageLower);
    }

    [Fact]
    public void Latest_faults_are_the_newest_sixteen_the_oldest_first()
    {
        using var world = new World(configure: static options => options with { CheckBuffers = true });
        MemoryMember member = world.Root.CreateMember("query");

        for (int bytes = 1; bytes <= 20; bytes++)
        {
            MemoryBuffer buffer = member.Allocate(bytes);
            buffer.Dispose();
            buffer.Dispose();
        }

        IReadOnlyList<string> latest = world.Root.BufferFaults.Latest;
        Assert.Equal(16, latest.Count);
        Assert.StartsWith(
            "a buffer was disposed twice: 5 bytes of 'root/query', rented\n", latest[0], StringComparison.Ordinal);
        Assert.StartsWith("a buffer was disposed twice: 20 bytes", latest[15], StringComparison.Ordinal);
        Assert.Contains("BufferFaultTests.cs", latest[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Fault_is_written_to_the_trace_listeners_later()
    {
        using var world = new World(configure: static options => options with { Name = "traced", CheckBuffers = true });
        MemoryBuffer buffer = world.Root.CreateMember("query").Allocate(100);
        using var listener = new Listener();
        Trace.Listeners.Add(listener);
        try
        {
            buffer.Dispose();
            buffer.Dispose();
            Assert.DoesNotContain("traced/query", listener.Text, StringComparison.Ordinal);
            world.Run();
        }
        finally
        {
            Trace.Listeners.Remove(listener);
        }

        Assert.Contains(
            "MemoryGroups: a buffer was disposed twice: 100 bytes of 'traced/query'",
            listener.Text,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Unchecked_buffers_may_be_disposed_twice_and_their_leaks_say_how_to_learn_more()
    {
        using var root = new MemoryRoot();
        MemoryMember member = root.CreateMember("query");
        MemoryBuffer buffer = member.Allocate(100);
        buffer.Dispose();
        buffer.Dispose();
        Leak(member, 100);

        Collect();

        Assert.Equal(0, root.BufferFaults.DoubleDisposes);
        Assert.Equal(
            "a buffer was leaked, 112 bytes went back: 100 bytes of 'root/query' "
            + "(MemoryRootOptions.CheckBuffers tells who rented it)",
            Assert.Single(root.BufferFaults.Latest));
    }

    // A megabyte is held back, exactly that much as well; what goes beyond lets the oldest go.
    [Theory]
    [InlineData(1 << 20, 0, 1)]
    [InlineData(600_000, 0, 1)]
    [InlineData((1 << 20) + 1, 0, 0)]
    public void Held_memory_is_bounded_by_a_megabyte_and_checked_when_it_leaves(int bytes, int before, int after)
    {
        using var world = new World(configure: static options => options with { CheckBuffers = true });
        MemoryMember member = world.Root.CreateMember("query");
        BufferFaults faults = world.Root.BufferFaults;
        MemoryBuffer buffer = member.Allocate(bytes);
        Span<byte> kept = buffer.GetSpan();
        buffer.Dispose();
        Assert.Equal(bytes <= 1 << 20, ResidentPages.BytesOf(buffer) > 0);
        if (after > 0)
        {
            kept[0] = 1;
        }

        Assert.Equal(before, faults.WritesAfterDispose);
        member.Allocate(bytes).Dispose();
        Assert.Equal((after, 0), (faults.WritesAfterDispose, ResidentPages.BytesOf(buffer)));
        member.Allocate(bytes).Dispose();
        Assert.Equal(after, faults.WritesAfterDispose);
    }

    // Of its own frame, so that nothing keeps the buffer.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Leak(MemoryMember member, int bytes) => member.Allocate(bytes).GetSpan()[0] = 1;

    private static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    private sealed class Listener : TraceListener
    {
        private readonly System.Text.StringBuilder _text = new();

        public string Text
        {
            get
            {
                lock (_text)
                {
                    return _text.ToString();
                }
            }
        }

        public override void Write(string? message) => WriteLine(message);

        public override void WriteLine(string? message)
        {
            lock (_text)
            {
                _text.AppendLine(message);
            }
        }
    }
}
