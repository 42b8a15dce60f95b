// The killer's switch and manual trigger, and the option that stops the process instead.
namespace MemoryGroups.Tests;

public sealed class OomKillerSwitchTests
{
    [Fact]
    [Requirement("T77")]
    [Requirement("M38")]
    public void Disabled_without_victims_is_true_at_once_refuses_and_kills_again_after_enable()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);

        Assert.True(world.Await(world.Root.OomKiller.DisableAsync(TimeSpan.Zero)));
        var error = world.Charge(asker, 100).Failed<MemoryLimitExceededException>();
        Assert.Equal(ChargeRefusal.KillerDisabled, error.Reason);
        Assert.False(hog.IsKilled);
        Assert.Null(world.Await(world.Root.OomKiller.KillNowAsync()));
        world.Root.OomKiller.Enable();
        Assert.False(world.Root.OomKiller.IsDisabled);
        world.Charge(asker, 100);

        Assert.True(hog.IsKilled);
    }

    [Fact]
    [Requirement("M38")]
    public async Task Two_who_disable_at_once_both_hear_that_the_victim_has_gone()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        Pending asking = world.Charge(asker, 100);
        Task<bool> first = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(5)).AsTask();
        Task<bool> second = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(5)).AsTask();
        world.Run();

        hog.Dispose();
        world.Run();

        Assert.True(first.IsCompleted && second.IsCompleted);
        Assert.True(await first && await second);
        Assert.True(asking.Granted);
    }

    // It only needs the reserve to finish, but paused it would never come to that.
    [Fact]
    [Requirement("M30")]
    [Requirement("S003-10")]
    public void Paused_member_that_is_let_finish_is_resumed()
    {
        using var world = new World();
        (MemoryMember hog, _) = Full(world);
        hog.BeginExit();
        hog.Freeze();

        world.Charge(hog, 100);

        Assert.True(hog.Space.IsVictim);
        Assert.False(hog.IsFrozen);
    }

    [Fact]
    [Requirement("T78")]
    [Requirement("B24")]
    public async Task Disabling_is_true_after_the_victim_has_gone_and_nothing_is_killed_or_reaped_from_then_on()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        world.Charge(asker, 100);

        Task<bool> disabling = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(5)).AsTask();
        world.Advance(TimeSpan.FromSeconds(1));
        Assert.False(disabling.IsCompleted);
        hog.Dispose();
        world.Run();
        Assert.True(disabling.IsCompleted);
        Assert.True(await disabling);
        world.Trace.Clear();
        world.Charge(asker, 1000).Failed<MemoryLimitExceededException>();
        world.Advance(TimeSpan.FromSeconds(10));

        Assert.DoesNotContain(ProbePoint.BeforeReap, world.Trace);
        Assert.DoesNotContain(ProbePoint.VictimChosen, world.Trace);
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Requirement("M38")]
    public async Task Disabling_is_not_true_when_somebody_else_has_enabled_the_killer_meanwhile(bool byGivingUp)
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        world.Charge(asker, 100);
        Task<bool> patient = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(20)).AsTask();
        Task<bool> hasty = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(byGivingUp ? 1 : 20)).AsTask();
        world.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(byGivingUp, hasty.IsCompleted);
        if (!byGivingUp)
        {
            world.Root.OomKiller.Enable();
        }

        hog.Dispose();
        world.Run();

        Assert.True(patient.IsCompleted && hasty.IsCompleted);
        Assert.False(world.Root.OomKiller.IsDisabled);
        Assert.Equal((false, false), (await patient, await hasty));
    }

    [Fact]
    [Requirement("M38")]
    public async Task Disabling_given_up_in_the_moment_in_which_the_victim_goes_undoes_no_other()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        world.Charge(asker, 100);
        using var cancel = new CancellationTokenSource();
        Task<bool> patient = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(20)).AsTask();
        Task<bool> other = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(20), cancel.Token).AsTask();
        world.Run();

        cancel.Cancel();
        hog.Dispose();
        world.Run();

        Assert.True(patient.IsCompleted && other.IsCompleted);
        Assert.Equal((true, true, true), (await patient, await other, world.Root.OomKiller.IsDisabled));
    }

    [Fact]
    [Requirement("M38")]
    public async Task Disabling_that_times_out_is_false_and_the_killer_is_on_again()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        world.Charge(asker, 100);

        Task<bool> disabling = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(1)).AsTask();
        world.Run();
        Assert.True(world.Root.OomKiller.IsDisabled);
        world.Advance(TimeSpan.FromSeconds(1));

        Assert.True(disabling.IsCompleted);
        Assert.False(await disabling);
        Assert.False(world.Root.OomKiller.IsDisabled);
        Assert.False(hog.IsExited);
    }

    [Fact]
    [Requirement("T78")]
    [Requirement("M38")]
    public async Task Disabling_given_up_while_it_waits_for_the_kill_lock_is_false_and_leaves_the_killer_on()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        using var cancel = new CancellationTokenSource();
        Assert.True(world.Root.KillLock.TryAcquire());

        Task<bool> disabling = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(5), cancel.Token).AsTask();
        Assert.False(world.Root.OomKiller.IsDisabled);
        cancel.Cancel();
        world.Run();

        Assert.True(disabling.IsCompleted);
        Assert.False(await disabling);
        Assert.False(world.Root.OomKiller.IsDisabled);
        world.Root.KillLock.Release();
        world.Charge(asker, 100);
        Assert.True(hog.IsKilled);
    }

    [Fact]
    [Requirement("M38")]
    public async Task Disabling_given_up_while_it_waits_for_a_victim_is_false_and_the_killer_is_on_again()
    {
        using var world = new World();
        (_, MemoryMember asker) = Full(world);
        world.Charge(asker, 100);
        using var cancel = new CancellationTokenSource();

        Task<bool> disabling = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(5), cancel.Token).AsTask();
        world.Run();
        cancel.Cancel();
        world.Run();

        Assert.True(disabling.IsCompleted);
        Assert.False(await disabling);
        Assert.False(world.Root.OomKiller.IsDisabled);
    }

    [Fact]
    [Requirement("B24")]
    public void Kill_that_is_under_way_is_over_before_disabling_is_true()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        Task<bool>? disabling = null;
        world.Once(ProbePoint.VictimChosen, () =>
            disabling = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(5)).AsTask());

        world.Charge(asker, 100);

        Assert.False(disabling!.IsCompleted);
        hog.Dispose();
        world.Run();
        Assert.True(disabling.IsCompletedSuccessfully);
        Assert.True(world.Root.OomKiller.IsDisabled);
    }

    [Fact]
    [Requirement("B24")]
    public void Disabling_waits_for_a_killer_that_has_looked_at_the_switch_already()
    {
        using var world = new World();
        Assert.True(world.Root.KillLock.TryAcquire());
        Task<bool> disabling = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(5)).AsTask();
        world.Run();
        Assert.False(disabling.IsCompleted);

        world.Root.KillLock.Release();
        world.Run();

        Assert.True(disabling.IsCompletedSuccessfully);
        Assert.True(world.Root.OomKiller.IsDisabled);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(-TimeSpan.TicksPerMillisecond)]
    [InlineData(long.MaxValue)]
    public async Task Timeout_of_disabling_that_is_negative_infinite_or_too_long_is_refused(long ticks)
    {
        using var world = new World();

        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
            async () => await world.Root.OomKiller.DisableAsync(TimeSpan.FromTicks(ticks)));

        Assert.False(world.Root.OomKiller.IsDisabled);
    }

    [Fact]
    [Requirement("M23")]
    [Requirement("S001-13")]
    public void Administrators_kill_takes_the_next_highest_although_a_victim_is_in_flight()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember first = tenant.CreateMember("first");
        MemoryMember second = tenant.CreateMember("second");
        first.Charge(200);
        second.Charge(100);

        OomReport? one = world.Await(world.Root.OomKiller.KillNowAsync());
        OomReport? two = world.Await(world.Root.OomKiller.KillNowAsync());
        OomReport? none = world.Await(world.Root.OomKiller.KillNowAsync());

        Assert.Equal(("root/tenant/first", "root/tenant/second"), (one!.VictimPath, two!.VictimPath));
        Assert.Null(none);
        Assert.Equal((string.Empty, 0), (one.AskerPath, one.RequestedBytes));
        Assert.Equal(2, world.Root.OomKiller.VictimsInFlight);
    }

    [Fact]
    public async Task Administrators_kill_that_is_given_up_returns_null()
    {
        using var world = new World();
        (MemoryMember hog, _) = Full(world);
        using var cancel = new CancellationTokenSource();
        Assert.True(world.Root.KillLock.TryAcquire());
        Task<OomReport?> killing = world.Root.OomKiller.KillNowAsync(cancel.Token).AsTask();

        cancel.Cancel();
        world.Run();

        Assert.True(killing.IsCompleted);
        Assert.Null(await killing);
        world.Root.KillLock.Release();
        Assert.False(hog.IsKilled);
    }

    [Theory]
    [InlineData(OomPanic.Never, false, false)]
    [InlineData(OomPanic.CapacityOnly, false, true)]
    [InlineData(OomPanic.Always, true, true)]
    [Requirement("M20")]
    [Requirement("S004-13")]
    public void Panic_option_says_which_oom_stops_the_process_after_it_was_notified(
        OomPanic panic, bool forGroup, bool forRoot)
    {
        using var world = new World(2000, options => options with { PanicOnOom = panic });
        (_, MemoryMember asker) = Full(world);
        var signal = new MemorySignal();
        using IDisposable registered = asker.Group.Oom.Register(signal);
        var messages = new List<(string Text, long Told)>();
        world.Root.Panicking = text => messages.Add((text, signal.Total));

        world.Charge(asker, 100);
        Assert.Equal(forGroup, messages.Count > 0);
        Assert.All(messages, static one => Assert.Equal(1, one.Told));
        messages.Clear();
        MemoryMember other = world.Root.CreateMember("other");
        Assert.True(world.Charge(other, 1000).Granted);
        world.Charge(other, 100);

        Assert.Equal(forRoot, messages.Count > 0);
        Assert.All(messages, static one => Assert.Contains("'root'", one.Text, StringComparison.Ordinal));
    }

    // Its owner chose to go on: the request that comes back for a second victim is the same shortage.
    [Fact]
    [Requirement("M20")]
    public void Process_is_to_be_stopped_once_for_each_request_however_often_it_tries_again()
    {
        using var world = new World(configure: static options => options with { PanicOnOom = OomPanic.Always });
        int panics = 0;
        world.Root.Panicking = _ => panics++;
        (MemoryMember hog, MemoryMember asker) = Full(world);
        hog.Uncharge(400);
        MemoryMember second = hog.Group.CreateMember("second");
        Assert.True(world.Charge(second, 400).Granted);

        Pending asking = world.Charge(asker, 1000);
        hog.Dispose();
        world.Run();
        Assert.Equal((true, 1), (second.IsKilled, panics));
        second.Dispose();
        world.Run();
        Assert.True(asking.Granted);
        world.Charge(hog.Group.CreateMember("next"), 10);

        Assert.Equal(2, panics);
    }

    private static (MemoryMember Hog, MemoryMember Asker) Full(World world)
    {
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(world.Charge(hog, 1000).Granted);
        return (hog, tenant.CreateMember("asker"));
    }
}
