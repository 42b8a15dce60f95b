// What the process uses and nobody declared: how it counts against the capacity, when it does not, and that a gauge
// that is too old refuses nobody. C01 and C03 of the field's complaints.
namespace MemoryGroups.Tests;

public sealed class UnattributedTests
{
    private static readonly TimeSpan Period = new MemoryRootOptions().SamplePeriod;

    private readonly ScriptedProcess _process = new();

    [Fact]
    [Requirement("C03")]
    public void Undeclared_bytes_leave_less_of_the_capacity()
    {
        _process.Measured = 400;
        using World world = _process.NewWorld();
        MemoryMember member = world.Root.CreateMember("member");

        Assert.False(member.TryCharge(601));
        Assert.True(member.TryCharge(600));
        Assert.False(member.TryCharge(1));

        Assert.Equal(1000, world.Root.Capacity);
        Assert.Equal(1000, world.Root.GetStatistics().LimitBytes);
        Assert.Equal(600, world.Root.GetStatistics().EffectiveLimitBytes);
    }

    [Fact]
    [Requirement("C03")]
    public void Measured_declared_and_the_rest_are_shown_apart()
    {
        _process.Measured = 400;
        using World world = _process.NewWorld();
        MemoryMember member = world.Root.CreateMember("member");
        Assert.True(member.TryCharge(100));
        _process.Measured = 600;
        world.Advance(Period);
        world.Time.Advance(Period / 2);

        UnattributedMemory shown = world.Root.Unattributed;

        Assert.Equal((600, 100, 500, 500), (shown.MeasuredBytes, shown.DeclaredBytes, shown.Bytes, shown.CountedBytes));
        Assert.Equal((Period / 2, false, 0), (shown.Age, shown.IsStale, shown.Failures));
        Assert.Null(shown.ContainerLimitBytes);
    }

    // Out of a timer it would end the process.
    [Fact]
    public void Measurement_without_memory_for_itself_has_failed_and_the_next_one_is_taken()
    {
        _process.Measured = 400;
        using World world = _process.NewWorld();
        _process.Measured = 600;
        _process.OnRead = static () => throw new InsufficientMemoryException();
        world.Advance(Period);
        Assert.Equal((400, 1), (world.Root.Unattributed.CountedBytes, world.Root.Unattributed.Failures));

        _process.OnRead = null;
        world.Advance(Period);

        Assert.Equal((600, 1), (world.Root.Unattributed.CountedBytes, world.Root.Unattributed.Failures));
    }

    [Fact]
    public void Nothing_counts_and_no_timer_runs_unless_the_options_say_so()
    {
        _process.Measured = 5000;
        using World world = _process.NewWorld(configure: static options => options with { CountUnattributed = null });
        MemoryMember member = world.Root.CreateMember("member");

        Assert.Equal(5000, world.Root.Unattributed.Bytes);
        Assert.Equal(0, world.Root.Unattributed.CountedBytes);
        Assert.True(member.TryCharge(1000));
        Assert.Equal(0, world.Time.ArmedTimers);
        Assert.Equal(1, _process.Reads);
        world.Time.Advance(Period * 2);
        Assert.Equal(5000, world.Root.Unattributed.MeasuredBytes);
        Assert.Equal(2, _process.Reads);
    }

    [Fact]
    public void Nothing_counts_at_a_root_without_a_capacity()
    {
        _process.Measured = 5000;
        using World world = _process.NewWorld(long.MaxValue);
        MemoryMember member = world.Root.CreateMember("member");

        Assert.True(member.TryCharge(MemoryMember.MaxChargeBytes));
        Assert.Equal(0, world.Root.Unattributed.CountedBytes);
    }

    [Fact]
    public void Measured_below_declared_gives_no_extra_room()
    {
        using World world = _process.NewWorld();
        MemoryMember member = world.Root.CreateMember("member");
        Assert.True(member.TryCharge(800));
        _process.Measured = 300;
        world.Advance(Period);

        Assert.Equal(-500, world.Root.Unattributed.Bytes);
        Assert.Equal(0, world.Root.Unattributed.CountedBytes);
        Assert.False(member.TryCharge(201));
        Assert.True(member.TryCharge(200));
    }

    [Fact]
    public void Charge_between_the_two_readings_is_not_taken_for_undeclared_bytes()
    {
        using World world = _process.NewWorld();
        MemoryMember member = world.Root.CreateMember("member");
        _process.OnRead = () => member.TryCharge(300);
        _process.Measured = 300;

        world.Advance(Period);

        Assert.Equal(0, world.Root.Unattributed.CountedBytes);
    }

    [Fact]
    public void Who_sleeps_for_room_is_woken_when_undeclared_bytes_go_away()
    {
        _process.Measured = 400;
        using World world = _process.NewWorld();
        MemoryMember member = world.Root.CreateMember("member");
        MemoryMember victim = world.Root.CreateMember("victim");
        Assert.True(victim.TryCharge(500));
        _process.Measured = 900;
        Pending pending = world.Charge(member, 300);
        Assert.True(pending.Sleeps);
        Assert.True(victim.IsKilled);

        _process.Measured = 700;
        world.Advance(Period);

        // 500 declared, 200 not.
        Assert.True(pending.Granted);
        victim.Dispose();
    }

    [Fact]
    public void Request_that_would_fit_without_undeclared_bytes_is_not_impossible()
    {
        _process.Measured = 900;
        using World world = _process.NewWorld();
        MemoryMember member = world.Root.CreateMember("member");

        Assert.Equal(
            ChargeRefusal.NoVictim, world.Charge(member, 300).Failed<MemoryLimitExceededException>().Reason);
        Assert.Equal(
            ChargeRefusal.Impossible, world.Charge(member, 1001).Failed<MemoryLimitExceededException>().Reason);
    }

    [Fact]
    [Requirement("C03")]
    public void Refusal_and_report_tell_of_undeclared_bytes()
    {
        _process.Measured = 600;
        using World world = _process.NewWorld();
        MemoryMember asker = world.Root.CreateMember("asker");
        MemoryMember hog = world.Root.CreateMember("hog");
        MemoryLimitExceededException error =
            world.Charge(asker, 500).Failed<MemoryLimitExceededException>();
        Assert.Contains(
            "'root' refused: 0 of 1000 in use and 600 that nobody declared (MemoryRoot.Unattributed)",
            error.Message,
            StringComparison.Ordinal);
        Assert.Equal(1000, error.LimitBytes);

        Assert.True(hog.TryCharge(400));
        _process.Measured = 1000;
        world.Charge(asker, 300);

        Assert.True(hog.IsKilled);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal((400, 600, 1000), (report.UsageBytes, report.UnattributedBytes, report.LimitBytes));
        Assert.Contains("root: 400 of 1000 in use, 600 undeclared\n", report.ToString(), StringComparison.Ordinal);
        Assert.Equal(report.UnattributedBytes, OomReport.FromJson(report.ToJson()).UnattributedBytes);
        hog.Dispose();
    }

    [Fact]
    [Requirement("C01")]
    public void Stale_gauge_refuses_nobody_after_its_age()
    {
        _process.Measured = 900;
        using World world = _process.NewWorld();
        MemoryMember member = world.Root.CreateMember("member");
        _process.Fails = true;
        world.Advance(TimeSpan.FromSeconds(10));
        Assert.False(member.TryCharge(200));
        Assert.False(world.Root.Unattributed.IsStale);

        world.Advance(Period);

        Assert.True(world.Root.Unattributed.IsStale);
        Assert.Equal(0, world.Root.Unattributed.CountedBytes);
        Assert.True(world.Root.Unattributed.Failures >= 20);
        Assert.True(member.TryCharge(1000));
    }

    [Fact]
    [Requirement("C01")]
    public void Stale_gauge_wakes_those_who_sleep_because_of_it()
    {
        _process.Measured = 600;
        using World world = _process.NewWorld(
            configure: static options => options with { ReapDelay = TimeSpan.FromSeconds(20) });
        MemoryMember member = world.Root.CreateMember("member");
        MemoryMember victim = world.Root.CreateMember("victim");
        Assert.True(victim.TryCharge(400));
        _process.Measured = 1000;
        Pending pending = world.Charge(member, 300);
        _process.Fails = true;
        Assert.True(pending.Sleeps);

        world.Advance(TimeSpan.FromSeconds(11));

        Assert.True(pending.Granted);
        victim.Dispose();
    }

    [Theory]
    [Requirement("C01")]
    [InlineData(false)]
    [InlineData(true)]
    public void Stale_gauge_refuses_nobody_even_when_nothing_looks_after_it(bool waits)
    {
        // The next tick would come late: as when no thread is free for timers.
        _process.Measured = 900;
        using World world = _process.NewWorld(configure: static options => options with
        {
            SamplePeriod = TimeSpan.FromSeconds(20),
            GaugeStaleAfter = TimeSpan.FromSeconds(21),
        });
        MemoryMember member = world.Root.CreateMember("member");
        _process.Fails = true;
        world.Advance(TimeSpan.FromSeconds(21));
        Assert.False(member.TryCharge(200));
        world.Advance(TimeSpan.FromSeconds(1));

        Assert.True(waits ? world.Charge(member, 1000).Granted : member.TryCharge(1000));
        Assert.False(member.IsKilled);
    }

    [Fact]
    public void Gauge_that_works_again_counts_again()
    {
        _process.Measured = 900;
        using World world = _process.NewWorld();
        MemoryMember member = world.Root.CreateMember("member");
        _process.Fails = true;
        world.Advance(TimeSpan.FromSeconds(11));
        _process.Fails = false;
        world.Advance(Period);

        Assert.False(member.TryCharge(200));
    }

    [Fact]
    public void Noise_below_a_512th_of_the_capacity_moves_no_limit()
    {
        _process.Measured = 512_000;
        using World world = _process.NewWorld(1_024_000);
        _process.Measured += 1999;
        world.Advance(Period);
        Assert.Equal(512_000, world.Root.Unattributed.CountedBytes);

        _process.Measured += 1;
        world.Advance(Period);

        Assert.Equal(514_000, world.Root.Unattributed.CountedBytes);
    }

    [Fact]
    public void Capacity_set_by_hand_keeps_counting_what_is_undeclared()
    {
        _process.Measured = 400;
        using World world = _process.NewWorld();
        MemoryMember member = world.Root.CreateMember("member");

        world.Root.Capacity = 2000;

        Assert.Equal(2000, world.Root.Capacity);
        Assert.False(member.TryCharge(1601));
        Assert.True(member.TryCharge(1600));
    }

    [Fact]
    public void Process_is_measured_once_in_each_period_until_the_root_is_closed()
    {
        using World world = _process.NewWorld();
        Assert.Equal(1, _process.Reads);
        world.Advance(Period * 3);
        Assert.Equal(4, _process.Reads);

        world.Root.Dispose();
        world.Advance(Period * 3);

        Assert.Equal(4, _process.Reads);
        Assert.Equal(0, world.Time.ArmedTimers);
    }

    [Fact]
    public void Own_process_measures_itself()
    {
        using var root = new MemoryRoot();

        UnattributedMemory shown = root.Unattributed;

        Assert.False(shown.IsStale);
        Assert.True(shown.MeasuredBytes > 1 << 20, $"{shown}");
        Assert.Equal(0, shown.Failures);
        ProcessReading reading = OwnProcess.Shared.Read();
        Assert.True(reading.Allocated > 0 && reading.Slack >= 0, $"{reading}");
    }

    [Fact]
    public void Options_that_make_no_sense_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(
            static () => new MemoryRoot(new MemoryRootOptions { SamplePeriod = TimeSpan.FromMilliseconds(9) }));
        Assert.Throws<ArgumentOutOfRangeException>(
            static () => new MemoryRoot(new MemoryRootOptions { SamplePeriod = TimeSpan.FromDays(50) }));
        Assert.Throws<ArgumentOutOfRangeException>(
            static () => new MemoryRoot(new MemoryRootOptions { GaugeStaleAfter = TimeSpan.FromMilliseconds(500) }));
        Assert.Throws<ArgumentOutOfRangeException>(
            static () => new MemoryRoot(new MemoryRootOptions { ContainerReserveBytes = -1 }));
    }
}
