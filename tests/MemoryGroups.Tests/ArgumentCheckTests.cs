// Every argument that the public members do not take: refused before anything is changed, by its name and with the
// exception that the documentation gives.
//
// One test for each part of the surface. Calls that must be refused are listed, made, and looked at together: a check
// that is missing shows itself as a call that went through, or as the error of something further in.
namespace MemoryGroups.Tests;

public sealed class ArgumentCheckTests
{
    private static readonly TimeSpan TooLong = TimeSpan.FromMilliseconds(uint.MaxValue);

    [Fact]
    public void Options_of_a_group_or_a_member_are_checked_one_by_one_before_it_is_made()
    {
        using var world = new World();
        MemoryRoot root = world.Root;

        foreach ((string name, MemoryGroupOptions options) in ((string, MemoryGroupOptions)[])[
            ("Min", new() { Min = -1 }),
            ("Low", new() { Low = -1 }),
            ("High", new() { High = -1 }),
            ("Max", new() { Max = -1 }),
            ("SoftLimit", new() { SoftLimit = -1 }),
            ("BatchBytes", new() { BatchBytes = 0 }),
            ("OomScoreAdjustment", new() { OomScoreAdjustment = 1001 }),
            ("WaitTimeout", new() { WaitTimeout = TimeSpan.FromTicks(-1) }),
            ("WaitTimeout", new() { WaitTimeout = TooLong })])
        {
            Assert.Throws<ArgumentOutOfRangeException>(name, () => root.CreateGroup("g", options));
        }

        Assert.Throws<ArgumentOutOfRangeException>(
            "OomScoreAdjustment", () => root.CreateMember("m", new MemoryMemberOptions { OomScoreAdjustment = -1001 }));
        Assert.Throws<ArgumentNullException>("name", () => root.CreateGroup(null!));
        Assert.Throws<ArgumentException>("name", () => root.CreateMember("a/b"));
        Assert.Throws<ArgumentException>("name", () => root.CreateMember("a\u0001"));
        Assert.Equal((0, 0), (root.Children.Count, root.Members.Count));
    }

    [Fact]
    public void Smallest_and_largest_values_of_the_options_are_taken()
    {
        using var world = new World();

        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions
        {
            Min = 0,
            Low = 0,
            High = 0,
            Max = 0,
            SoftLimit = 0,
            BatchBytes = 1,
            OomScoreAdjustment = 1000,
            WaitTimeout = TimeSpan.Zero,
        });
        group.WaitTimeout = Timeout.InfiniteTimeSpan;
        group.OomScoreAdjustment = -1000;
        using var root = new MemoryRoot(new MemoryRootOptions
        {
            CapacityBytes = 0,
            WaitTimeout = MemoryGroupOptions.LongestTimeout,
            Name = "r",
            ReclaimDeadline = TimeSpan.FromTicks(1),
            HandlerDeadline = MemoryGroupOptions.LongestTimeout,
            ReapDelay = TimeSpan.Zero,
        });

        Assert.Equal((0, 0, 0), (group.Max, group.High, group.SoftLimit));
        Assert.Equal((-1000, Timeout.InfiniteTimeSpan), (group.OomScoreAdjustment, group.WaitTimeout));
        Assert.Equal((0, 0, "r"), (root.Capacity, root.MinWatermark, root.Path));
        Assert.Equal(MemoryGroupOptions.LongestTimeout, root.WaitTimeout);
    }

    [Fact]
    public void Options_of_a_root_are_checked_one_by_one()
    {
        foreach ((string name, MemoryRootOptions options) in ((string, MemoryRootOptions)[])[
            ("CapacityBytes", new() { CapacityBytes = -1 }),
            ("MinWatermarkBytes", new() { MinWatermarkBytes = -1 }),
            ("LowWatermarkBytes", new() { LowWatermarkBytes = -1 }),
            ("HighWatermarkBytes", new() { HighWatermarkBytes = -1 }),
            ("OomReserveBytes", new() { OomReserveBytes = -1 }),
            ("CostlyChargeBytes", new() { CostlyChargeBytes = -1 }),
            ("ContainerReserveBytes", new() { ContainerReserveBytes = -1 }),
            ("WaitTimeout", new() { WaitTimeout = TooLong }),
            ("ReclaimDeadline", new() { ReclaimDeadline = TimeSpan.Zero }),
            ("ReclaimDeadline", new() { ReclaimDeadline = TooLong }),
            ("HandlerDeadline", new() { HandlerDeadline = TimeSpan.Zero }),
            ("HandlerDeadline", new() { HandlerDeadline = TooLong }),
            ("ReapDelay", new() { ReapDelay = TimeSpan.FromTicks(-1) }),
            ("ReapDelay", new() { ReapDelay = TooLong }),
            ("SamplePeriod", new() { SamplePeriod = TooLong, GaugeStaleAfter = TooLong * 2 })])
        {
            Assert.Throws<ArgumentOutOfRangeException>(name, () => new MemoryRoot(options));
        }

        Assert.Throws<ArgumentNullException>(
            "TimeProvider", () => new MemoryRoot(new MemoryRootOptions { TimeProvider = null! }));
        Assert.Throws<ArgumentException>("name", () => new MemoryRoot(new MemoryRootOptions { Name = "a/b" }));
    }

    [Theory]
    [InlineData(100, 101, null, null)]
    [InlineData(100, 50, 49, null)]
    [InlineData(100, 50, 60, 59)]
    [InlineData(100, 50, null, 49)]
    public void Watermarks_out_of_order_are_refused_and_told(long capacity, long min, int? low, int? high)
    {
        var options = new MemoryRootOptions
        {
            CapacityBytes = capacity,
            MinWatermarkBytes = min,
            LowWatermarkBytes = low,
            HighWatermarkBytes = high,
        };

        ArgumentException error = Assert.Throws<ArgumentException>(() => new MemoryRoot(options));

        Assert.Equal(
            "The watermarks must be MIN <= LOW <= HIGH and MIN within the capacity; given were "
            + $"{min}, {low ?? min} and {high ?? low ?? min} bytes and a capacity of {capacity} bytes.",
            error.Message);
    }

    [Fact]
    public void Watermarks_are_compared_with_the_default_of_the_one_that_is_not_given()
    {
        var low = new MemoryRootOptions { LowWatermarkBytes = 50 };

        Assert.Contains(
            "given were 100, 50 and 50 bytes",
            Assert.Throws<ArgumentException>(() => new MemoryRoot(low with { CapacityBytes = 12_800 })).Message,
            StringComparison.Ordinal);
        using var unlimited = new MemoryRoot(low);
        using var small = new MemoryRoot(low with { CapacityBytes = 1280 });
        Assert.Equal((0, 50), (unlimited.MinWatermark, unlimited.LowWatermark));
        Assert.Equal((10, 50, 50), (small.MinWatermark, small.LowWatermark, small.HighWatermark));
    }

    [Fact]
    public void Reserve_of_a_root_follows_its_capacity_unless_it_was_given()
    {
        using var unlimited = new MemoryRoot();
        using var limited = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 1280 });
        using var given = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 1280, OomReserveBytes = 5 });
        Assert.Equal((4 << 20, 10, 5), (unlimited.OomReserveBytes, limited.OomReserveBytes, given.OomReserveBytes));

        limited.Capacity = given.Capacity = 12_800;

        Assert.Equal((100, 5), (limited.OomReserveBytes, given.OomReserveBytes));
    }

    [Theory]
    [InlineData(100, 100, 100, 100)]
    [InlineData(100, 50, 50, 60)]
    public void Watermarks_may_be_equal_to_each_other_and_to_the_capacity(long capacity, long min, long low, long high)
    {
        using var root = new MemoryRoot(new MemoryRootOptions
        {
            CapacityBytes = capacity,
            MinWatermarkBytes = min,
            LowWatermarkBytes = low,
            HighWatermarkBytes = high,
        });

        Assert.Equal((min, low, high), (root.MinWatermark, root.LowWatermark, root.HighWatermark));
    }

    [Fact]
    public void Settings_and_calls_of_a_group_refuse_what_is_out_of_range_and_stay_as_they_were()
    {
        using var world = new World(capacity: 5000);
        MemoryRoot root = world.Root;
        MemoryGroup group = root.CreateGroup("g", new MemoryGroupOptions { Max = 7 });
        MemoryStatistics before = group.GetStatistics();

        Refused("Min", () => group.Min = -1);
        Refused("Low", () => group.Low = -1);
        Refused("High", () => group.High = -1);
        Refused("Max", () => group.Max = -1);
        Refused("Max", () => group.SetMaxAsync(-1).AsTask());
        Refused("Max", () => group.TrySetMaxAsync(-1).AsTask());
        Refused("SoftLimit", () => group.SoftLimit = -1);
        Refused("WaitTimeout", () => group.WaitTimeout = TimeSpan.FromTicks(-1));
        Refused("OomScoreAdjustment", () => group.OomScoreAdjustment = -1001);
        Refused("bytes", () => group.ReclaimAsync(0).AsTask());
        Refused("value", () => root.Capacity = -1);
        Refused("value", () => root.CostlyChargeBytes = -1);
        Refused("count", () => root.Reports.Latest(-1));
        Refused("timeout", () => Ended(root.OomKiller.DisableAsync(TimeSpan.FromTicks(-1))));
        Refused("timeout", () => Ended(root.OomKiller.DisableAsync(Timeout.InfiniteTimeSpan)));
        Refused("timeout", () => Ended(root.OomKiller.DisableAsync(TooLong)));
        Assert.ThrowsAny<ArgumentException>(() => group.Kill(" "));

        Assert.Equal(before, group.GetStatistics());
        Assert.Equal((5000, long.MaxValue, false), (root.Capacity, root.CostlyChargeBytes, root.OomKiller.IsDisabled));
    }

    [Fact]
    public void Registrations_refuse_nothing_and_values_without_a_name()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g");
        var signal = new MemorySignal();

        Missing("reclaimer", () => group.AddReclaimer(null!));
        Missing("reclaimer", () => world.Root.AddLastResortReclaimer(null!));
        Missing("signal", () => group.Oom.Register(null!));
        Missing("signal", () => group.Oom.Unregister(null!));
        Missing("signal", () => group.Pressure.Register(PressureLevel.Low, null!));
        Missing("signal", () => group.Pressure.Unregister(null!));
        Missing("signal", () => group.Thresholds.Register(1, null!));
        Missing("signal", () => group.Thresholds.Unregister(null!));
        Missing("memory", () => group.CreateMember("m").Space.AddReapable(null!));
        Missing("victim", () => OomDecision.Kill(null!));
        Missing("member", () => OomPolicy.LinearScore(null!, 1));
        Missing("member", () => OomKilledException.For(null!));
        Missing("json", () => OomReport.FromJson(null!));
        Refused("bytes", () => group.Thresholds.Register(0, signal));
        Refused("level", () => group.Pressure.Register((PressureLevel)9, signal));
        Refused("routing", () => group.Pressure.Register(PressureLevel.Low, signal, (PressureRouting)9));
        Assert.ThrowsAny<ArgumentException>(() => new ScriptedReclaimer(" ", static _ => 0));

        group.Dispose();
        Assert.Equal(0, signal.Total);
    }

    [Fact]
    public void Registrations_on_a_closed_group_are_refused()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g");
        group.Dispose();
        var signal = new MemorySignal();

        foreach (Action call in (Action[])[
            () => group.AddReclaimer(new ScriptedReclaimer("r", static _ => 0)),
            () => group.Oom.Register(signal),
            () => group.Pressure.Register(PressureLevel.Low, signal),
            () => group.Thresholds.Register(1, signal),
            () => group.OpenPeak(),
            () => group.CreateGroup("late"),
            () => group.CreateMember("late"),
            () => world.Root.CreateMember("m").MoveTo(group)])
        {
            Assert.Throws<ObjectDisposedException>(call);
        }

        Assert.Equal(0, signal.Total);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData((1L << 60) + 1)]
    public void Sizes_out_of_range_are_refused_by_every_call_that_charges(long bytes)
    {
        using var world = new World();
        MemoryGroup exact = world.Root.CreateGroup("g", new MemoryGroupOptions { BatchBytes = 1 });
        MemoryMember member = exact.CreateMember("m");
        MemoryMember other = exact.CreateMember("other");
        MemoryCharge lease = member.Lease(100);
        MemoryAccount account = member.OpenAccount();
        Assert.True(account.TryGrow(100));

        foreach (Action call in (Action[])[
            () => member.TryCharge(bytes),
            () => member.Charge(bytes),
            () => Ended(member.ChargeAsync(bytes)),
            () => member.TryMoveTo(other, bytes),
            () => member.TryLease(bytes),
            () => member.Lease(bytes),
            () => Ended(member.LeaseAsync(bytes)),
            () => lease.TryGrow(bytes),
            () => lease.Grow(bytes),
            () => Ended(lease.GrowAsync(bytes)),
            () => lease.Split(bytes),
            () => account.TryGrow(bytes),
            () => Ended(account.GrowAsync(bytes)),
            () => account.Shrink(bytes)])
        {
            Refused("bytes", call);
        }

        Assert.Equal((200, 0), (member.Usage, other.Usage));
        Assert.Equal((100, 100), (lease.Bytes, account.Used));
        lease.Dispose();
        account.Dispose();
    }

    [Fact]
    public void Nothing_or_a_stranger_as_the_other_side_is_refused_by_every_call_that_moves()
    {
        using var world = new World();
        using var elsewhere = new World();
        MemoryMember member = world.Root.CreateMember("m");
        MemoryCharge lease = member.Lease(100);
        MemoryMember stranger = elsewhere.Root.CreateMember("stranger");

        Missing("to", () => member.TryMoveTo(null!, 1));
        Missing("to", () => member.MoveTo(null!));
        Missing("to", () => lease.TransferTo(null!));
        Refused("bytes", () => lease.Shrink(-1));
        Assert.Throws<ArgumentException>("to", () => member.TryMoveTo(stranger, 1));
        Assert.Throws<ArgumentException>("to", () => lease.TransferTo(stranger));
        Assert.Throws<ArgumentException>("to", () => member.MoveTo(elsewhere.Root));
        Refused("within", () => member.ReapAsync(TimeSpan.FromTicks(-1)).AsTask());
        Refused("within", () => member.ReapAsync(TooLong).AsTask());
        Assert.ThrowsAny<ArgumentException>(() => member.Kill(" "));

        Assert.Equal((100, 100, 0), (member.Usage, lease.Bytes, stranger.Usage));
        Assert.False(member.IsKilled);
        lease.Dispose();
    }

    private static void Refused(string name, Action call) => Assert.Throws<ArgumentOutOfRangeException>(name, call);

    private static void Missing(string name, Action call) => Assert.Throws<ArgumentNullException>(name, call);

    // What it throws, whether at once or through its task. It never has to wait for that.
    private static void Ended(ValueTask call) => Ended(call.AsTask());

    private static void Ended<T>(ValueTask<T> call) => Ended(call.AsTask());

    private static void Ended(Task call)
    {
        Assert.True(call.IsCompleted, "it waits, instead of refusing the argument");
        call.GetAwaiter().GetResult();
    }
}
