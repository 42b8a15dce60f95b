// Pressure levels: what a window of reclaim amounts to, and which reclaim says anything at all.
namespace MemoryGroups.Tests;

public sealed class PressureLevelTests
{
    private const long Page = 4096;

    [Theory]
    [InlineData(511, 0, null)]
    [InlineData(512, 512, PressureLevel.Low)]
    [InlineData(512, 205, PressureLevel.Low)]
    [InlineData(512, 204, PressureLevel.Medium)]
    [InlineData(512, 26, PressureLevel.Medium)]
    [InlineData(512, 25, PressureLevel.Critical)]
    [InlineData(512, 0, PressureLevel.Critical)]
    [InlineData(512, 600, PressureLevel.Low)]
    [Requirement("T66")]
    [Requirement("M49")]
    [Requirement("B35")]
    public void Level_follows_from_what_a_full_window_gave(long scanned, long reclaimed, PressureLevel? expected)
    {
        var window = default(PressureWindow);

        bool full = window.TryFill(scanned * Page, reclaimed * Page, out PressureLevel level);

        Assert.Equal(expected, full ? level : null);
    }

    [Fact]
    [Requirement("M49")]
    public void Window_is_judged_as_a_whole_and_starts_anew()
    {
        var window = default(PressureWindow);

        Assert.False(window.TryFill(256 * Page, 256 * Page, out _));
        Assert.False(window.TryFill(255 * Page, 0, out _));
        Assert.True(window.TryFill(Page, 0, out PressureLevel level));
        Assert.Equal(PressureLevel.Low, level);

        Assert.False(window.TryFill(511 * Page, 0, out _));
        Assert.True(window.TryFill(Page, 0, out level));
        Assert.Equal(PressureLevel.Critical, level);
    }

    [Fact]
    [Requirement("B35")]
    public void Claims_beyond_all_measure_overflow_nothing()
    {
        var window = default(PressureWindow);
        Assert.True(window.TryFill(PressureWindow.Bytes, long.MaxValue, out PressureLevel level));
        Assert.Equal(PressureLevel.Low, level);
        Assert.True(window.TryFill(long.MaxValue, long.MaxValue - 1, out level));
        Assert.Equal(PressureLevel.Low, level);
        Assert.False(window.TryFill(0, long.MaxValue, out _));
        Assert.False(window.TryFill(1, long.MaxValue, out _));
        Assert.True(window.TryFill(long.MaxValue, 0, out _));
    }

    [Theory]
    [InlineData(100, 1, 0, 0)]
    [InlineData(70, 1, 0, 0)]
    [InlineData(35, 1, 1, 0)]
    [InlineData(2, 1, 1, 1)]
    [Requirement("M49")]
    public void Charge_that_reclaims_tells_what_share_came(int percent, int low, int medium, int critical)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = 64 << 20, BatchBytes = 1 });
        MemoryMember member = tenant.CreateMember("member");
        MemorySignal[] signals = Listen(tenant);

        // Gives a share of what it is asked for; by the time the answer comes the rest has come from elsewhere.
        tenant.AddReclaimer(new ScriptedReclaimer("partly", request =>
        {
            member.Uncharge(request.Bytes);
            return request.Bytes * percent / 100;
        }));
        MemoryMember asker = tenant.CreateMember("asker");

        int charges = 0;
        for (; charges < 10 && signals[0].Total == 0; charges++)
        {
            Assert.True(member.TryCharge(tenant.Max - tenant.Usage));
            Assert.True(world.Charge(asker, 512 * 1024).Granted);
        }

        Assert.InRange(charges, 2, 4);
        Assert.Equal([low, medium, critical], signals.Select(static signal => (int)signal.Total));
    }

    [Fact]
    [Requirement("M49")]
    public void Charge_without_anything_to_reclaim_tells_critical_before_the_oom()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        FullGroup.Fill(world, tenant);
        MemorySignal[] signals = Listen(tenant);
        long before = -1;
        world.Once(ProbePoint.ChargeRefused, () => before = signals[2].Total);

        FullGroup.Ask(world, tenant, 10);

        Assert.Equal(1, before);
        Assert.Equal([1, 1, 1], signals.Select(static signal => (int)signal.Total));
    }

    [Fact]
    [Requirement("M49")]
    public void Despair_is_critical_however_well_reclaim_went_before()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemorySignal[] signals = Listen(tenant);
        tenant.Pressure.Account(PressureWindow.Bytes - 1, PressureWindow.Bytes - 1);
        Assert.Equal(0, signals[0].Total);

        tenant.Pressure.Despair();

        Assert.Equal([1, 1, 1], signals.Select(static signal => (int)signal.Total));
    }

    [Fact]
    [Requirement("M49")]
    public void Reclaimer_that_lies_is_despaired_of_in_the_last_rounds_only()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        FullGroup.Fill(world, tenant);
        MemorySignal critical = Listen(tenant)[2];
        var seen = new List<long>();
        tenant.AddReclaimer(new ScriptedReclaimer("liar", request =>
        {
            seen.Add(critical.Total);
            return request.Bytes;
        }));

        Assert.True(FullGroup.Ask(world, tenant, 10).Sleeps);

        Assert.Equal(ChargeAttempt.MaxRounds, seen.Count);
        Assert.Equal(0, seen[11]);
        Assert.Equal([1, 2, 3, 4], seen[12..].Append(critical.Total).Skip(1));
    }

    [Fact]
    [Requirement("M49")]
    public void Charge_on_this_thread_and_a_lowered_limit_tell_critical_when_nothing_comes()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        MemorySignal critical = Listen(tenant)[2];

        Assert.Throws<MemoryLimitExceededException>(() => hog.Charge(10));
        Assert.Equal(1, critical.Take());
        Assert.Throws<MemoryLimitExceededException>(() => hog.Charge(10, ChargeFlags.NoReclaim));
        Assert.Throws<MemoryLimitExceededException>(() => hog.Charge(10, ChargeFlags.NoWait));
        Assert.Equal(0, critical.Take());
        Assert.False(world.Await(tenant.TrySetMaxAsync(500)));
        Assert.Equal(1, critical.Take());
        Assert.False(world.Await(tenant.SetMaxAsync(500)));
        Assert.Equal(1, critical.Take());
    }

    [Fact]
    [Requirement("M44")]
    public void Reclaim_by_request_raises_no_pressure_whatever_comes_of_it()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(world.Charge(member, 64 << 20).Granted);
        MemorySignal[] signals = Listen(tenant);
        bool gives = true;
        tenant.AddReclaimer(new ScriptedReclaimer("cache", request =>
        {
            long gave = gives ? request.Bytes / 2 : 0;
            member.Uncharge(gave);
            return gave;
        }));

        Assert.True(world.Await(tenant.ReclaimAsync(16 << 20)) > 0);
        gives = false;
        Assert.Equal(0, world.Await(tenant.ReclaimAsync(16 << 20)));

        Assert.Equal([0, 0, 0], signals.Select(static signal => (int)signal.Total));
        Assert.Equal((default, default), (tenant.Pressure.Some, tenant.Pressure.Full));
    }

    // One signal for each level, in order.
    private static MemorySignal[] Listen(MemoryGroup group) => [.. Enum.GetValues<PressureLevel>().Select(level =>
    {
        var signal = new MemorySignal();
        group.Pressure.Register(level, signal);
        return signal;
    })];
}
