// Leaks, double disposes and writes after Dispose: found, counted, told with who did it, and never thrown.

using System.Runtime.CompilerServices;

namespace MemoryGroups.Tests;

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

    // Of its own frame, so that nothing keeps the buffer.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Leak(MemoryMember member, int bytes) => member.Allocate(bytes).GetSpan()[0] = 1;

    private static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }
}
