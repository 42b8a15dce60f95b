// Peaks: each reader has its own, a reset concerns nobody else, and no usage after a reset is missed.
namespace MemoryGroups.Tests;

public sealed class MemoryPeakTests
{
    private const long Mebibyte = 1 << 20;

    [Fact]
    [Requirement("T04")]
    [Requirement("M3")]
    public void Readers_reset_and_close_in_any_order_and_keep_their_own_peaks()
    {
        using var world = new World();
        MemoryGroup tenant = Exact(world);
        MemoryMember member = tenant.CreateMember("member");
        Use(member, 50 * Mebibyte);
        MemoryPeak[] readers = [.. Enumerable.Range(0, 3).Select(_ => tenant.OpenPeak())];
        using MemoryPeak independent = tenant.OpenPeak();
        Assert.All(readers, static reader => Assert.Equal(50 * Mebibyte, reader.Bytes));

        Assert.All(readers, static reader => reader.Reset());
        Assert.Equal((50 * Mebibyte, 50 * Mebibyte), (independent.Bytes, tenant.PeakUsage));
        readers[1].Dispose();
        MemoryPeak fourth = tenant.OpenPeak();
        Assert.Equal(50 * Mebibyte, fourth.Bytes);
        fourth.Reset();
        Assert.Equal((0, 0), (readers[0].Bytes, fourth.Bytes));

        Use(member, 30 * Mebibyte);
        Assert.Equal((30 * Mebibyte, 30 * Mebibyte), (readers[0].Bytes, fourth.Bytes));
        fourth.Reset();
        Use(member, 20 * Mebibyte);
        Assert.Equal((30 * Mebibyte, 20 * Mebibyte), (readers[0].Bytes, fourth.Bytes));
        Assert.Equal((50 * Mebibyte, 50 * Mebibyte), (independent.Bytes, tenant.PeakUsage));

        Use(member, 60 * Mebibyte);
        Assert.All(
            [readers[0], readers[2], fourth, independent],
            static reader => Assert.Equal(60 * Mebibyte, reader.Bytes));
        Assert.Equal(60 * Mebibyte, tenant.PeakUsage);
        fourth.Dispose();
        readers[2].Dispose();
        tenant.Dispose();
        readers[0].Dispose();
        Assert.Equal((0, 60 * Mebibyte), (readers[1].Bytes, readers[0].Bytes));
    }

    [Fact]
    [Requirement("T05")]
    public void Watermark_falls_to_the_usage_by_a_reset_and_by_nothing_else()
    {
        using var world = new World();
        MemoryGroup tenant = Exact(world);
        MemoryMember member = tenant.CreateMember("member");
        using MemoryPeak reader = tenant.OpenPeak();
        Use(member, 4 * Mebibyte);
        Assert.Equal(4 * Mebibyte, tenant.PeakUsage);

        Assert.True(member.TryCharge(100));
        tenant.ResetPeak();
        Assert.Equal(100, tenant.PeakUsage);
        Assert.Equal(4 * Mebibyte, reader.Bytes);

        member.Uncharge(100);
        Assert.Equal(100, tenant.PeakUsage);
        tenant.ResetPeak();
        Assert.Equal(0, tenant.PeakUsage);
        Use(member, 7);
        Assert.Equal((7, 4 * Mebibyte), (tenant.PeakUsage, reader.Bytes));
    }

    [Fact]
    [Requirement("M3")]
    public void Refused_and_forced_charges_count_in_a_peak_only_when_granted()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 100, BatchBytes = 1 });
        MemoryGroup child = parent.CreateGroup("child");
        MemoryMember member = child.CreateMember("member");
        using MemoryPeak reader = child.OpenPeak();
        Use(member, 60);
        reader.Reset();

        Assert.False(member.TryCharge(101));
        Assert.Equal((0, 60, 60), (reader.Bytes, child.PeakUsage, parent.PeakUsage));

        member.Charge(101, ChargeFlags.NoFail);
        Assert.Equal((101, 101, 101), (reader.Bytes, child.PeakUsage, parent.PeakUsage));
        member.Uncharge(101);
    }

    [Fact]
    public void Reader_opened_after_a_reset_starts_with_the_peak_since_then()
    {
        using var world = new World();
        MemoryGroup tenant = Exact(world);
        MemoryMember member = tenant.CreateMember("member");
        Use(member, 50);
        tenant.ResetPeak();
        Use(member, 20);

        using MemoryPeak late = tenant.OpenPeak();

        Assert.Equal((20, 20), (late.Bytes, tenant.PeakUsage));
    }

    [Fact]
    public void Closed_reader_keeps_its_last_peak_and_cannot_be_reset()
    {
        using var world = new World();
        MemoryGroup tenant = Exact(world);
        MemoryMember member = tenant.CreateMember("member");
        MemoryPeak reader = tenant.OpenPeak();
        reader.Reset();
        Use(member, 20);

        reader.Dispose();
        reader.Dispose();
        Use(member, 50);

        Assert.Equal(20, reader.Bytes);
        Assert.Throws<ObjectDisposedException>(reader.Reset);
        tenant.Dispose();
        Assert.Throws<ObjectDisposedException>(tenant.OpenPeak);
    }

    [Fact]
    [Requirement("M3")]
    public void Mark_that_was_raised_during_a_reset_stays()
    {
        using var world = new World();
        UsageCounter counter = Exact(world).Counter;
        counter.RaisePeak(10);
        long seen = counter.Peak;

        counter.RaisePeak(50);
        counter.RestartPeak(seen);
        Assert.Equal(50, counter.Peak);
        counter.RestartPeak(50);
        Assert.Equal(0, counter.Peak);
    }

    private static MemoryGroup Exact(World world) =>
        world.Root.CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 1 });

    private static void Use(MemoryMember member, long bytes)
    {
        Assert.True(member.TryCharge(bytes));
        member.Uncharge(bytes);
    }
}
