// High: reclaim and pauses in place of kills, with the figures of the kernel's own scenarios and curve.
namespace MemoryGroups.Tests;

public sealed class ThrottleScenarioTests
{
    private const long M = 1 << 20;
    private const long Page = 4096;

    [Fact]
    [Requirement("T21")]
    [Requirement("M40")]
    public void Setting_high_below_the_usage_reclaims_without_waiting_for_the_next_charge()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { BatchBytes = 1 });
        var objects = new LeaseCache(group);
        objects.Fill(world, 20 * M);
        int count = objects.Count;

        group.High = 1 * M;
        world.Advance(TimeSpan.FromSeconds(1));

        Assert.True(objects.Count < count / 2);
        Assert.Equal(1 * M, group.Usage);
        Assert.All(objects.Calls, static call => Assert.Equal(ReclaimReason.High, call.Reason));
        Assert.Equal((0, 0), (group.Events.Current.Oom, world.PostedCount));
    }

    [Fact]
    [Requirement("T21")]
    public void Setting_high_waits_for_a_reclaimer_that_is_asked_for_somebody_else()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { BatchBytes = 1 });
        MemoryMember cache = group.CreateMember("cache");
        Assert.True(cache.TryCharge(1000));
        var first = new TaskCompletionSource<long>();
        int calls = 0;
        group.AddReclaimer(new ScriptedReclaimer("cache", (request, _) =>
        {
            if (calls++ == 0)
            {
                return new ValueTask<long>(first.Task);
            }

            cache.Uncharge(request.Bytes);
            return ValueTask.FromResult(request.Bytes);
        }));
        Task<long> other = group.ReclaimAsync(1).AsTask();
        world.Run();

        group.High = 100;
        world.Run();
        Assert.Equal((1, 1000), (calls, group.Usage));
        first.SetResult(0);
        world.Advance(TimeSpan.FromSeconds(1));

        Assert.True(other.IsCompleted);
        Assert.Equal(100, group.Usage);
    }

    // Busy is no answer; nothing is one.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Setting_high_asks_a_reclaimer_that_has_nothing_once(bool isBusyFirst)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { BatchBytes = 1 });
        Assert.True(group.CreateMember("cache").TryCharge(1000));
        var other = new TaskCompletionSource<long>();
        int calls = isBusyFirst ? 0 : 1;
        group.AddReclaimer(new ScriptedReclaimer(
            "cache", (_, _) => calls++ == 0 ? new ValueTask<long>(other.Task) : ValueTask.FromResult(0L)));
        Task<long>? others = isBusyFirst ? group.ReclaimAsync(1).AsTask() : null;
        world.Run();

        group.High = 100;
        world.Run();
        other.SetResult(0);
        world.Advance(TimeSpan.FromSeconds(10));

        Assert.Equal((2, true), (calls, others?.IsCompleted ?? true));
    }

    [Fact]
    [Requirement("T21")]
    public void Setting_high_believes_a_boasting_reclaimer_for_a_bounded_number_of_rounds()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group");
        var boasting = new ScriptedReclaimer("boasts", static request => request.Bytes);
        group.AddReclaimer(boasting);
        Assert.True(group.CreateMember("member").TryCharge(1000));

        group.High = 1000;
        world.Run();
        Assert.Empty(boasting.Calls);
        group.High = 100;
        world.Run();

        Assert.InRange(boasting.Calls.Count, 1, ChargeAttempt.MaxRounds);
        Assert.Equal(1000, group.Usage);
    }

    [Fact]
    [Requirement("T22")]
    [Requirement("M40")]
    public void High_caps_what_can_be_reclaimed_and_kills_nobody()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { High = 30 * M, BatchBytes = 1 });
        using (MemoryMember anonymous = group.CreateMember("anonymous"))
        {
            for (int step = 0; step < 31; step++)
            {
                Pending charge = world.Charge(anonymous, M);
                world.Advance(TimeSpan.FromSeconds(2));
                Assert.True(charge.Granted);
            }

            Assert.False(anonymous.IsKilled);
        }

        Assert.Equal(1, group.Events.Current.High);
        long most = new LeaseCache(group).Fill(world, 50 * M);

        Tolerance.AssertClose(30 * M, group.Usage, 5);
        Assert.True(most < 50 * M);
        Assert.True(group.Events.Current.High > 1);
        Assert.Equal((0, 0), (group.Events.Current.Oom, group.Events.Current.OomKill));
    }

    // A request of 200 MB, pinned piece by piece: it is slowed down at High, long before it meets Max.
    [Fact]
    [Requirement("T23")]
    public async Task Big_request_is_slowed_down_at_high_before_it_meets_max()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup(
            "group", new MemoryGroupOptions { High = 30 * M, Max = 140 * M, BatchBytes = 1 });
        MemoryMember member = group.CreateMember("member");
        await using IAsyncEnumerator<MemoryEventCounts> events =
            group.Events.WatchAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator();
        Assert.True(await events.MoveNextAsync());
        Task<bool> changed = events.MoveNextAsync().AsTask();
        Task pinning = PinAsync(member, 200 * M);
        world.Run();

        Assert.False(pinning.IsCompleted);
        Assert.True(await changed);
        Assert.True(events.Current.High > 0);
        Assert.Equal(0, events.Current.Max);
        Assert.InRange(group.Usage, 30 * M, 31 * M);
        world.Advance(TimeSpan.FromHours(1));
        Assert.IsType<OomKilledException>(pinning.Exception?.InnerException);
        Assert.True(group.Events.Current.Max > 0);
    }

    [Theory]
    [InlineData(101, 64, 0)]
    [InlineData(102, 64, 25)]
    [InlineData(105, 64, 159)]
    [InlineData(110, 64, 639)]
    [InlineData(115, 64, 1439)]
    [InlineData(118, 64, 2000)]
    [InlineData(110, 32, 319)]
    [Requirement("T24")]
    [Requirement("M40")]
    public void Charge_that_ends_above_high_pauses_as_long_as_the_curve_says(
        long usageMiB, long pages, long milliseconds)
    {
        using var world = new World();
        MemoryGroup group = Throttled(world, out ScriptedReclaimer futile);
        MemoryMember member = group.CreateMember("member");
        Assert.True(member.TryCharge((usageMiB * M) - (pages * Page)));

        Pending charge = world.Charge(member, pages * Page);

        Assert.Equal(usageMiB * M, group.Usage);
        long paused = 0;
        for (; charge.Sleeps && paused < 3000; paused++)
        {
            world.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.True(charge.Granted);
        Assert.InRange(paused, milliseconds - 1, milliseconds + 1);
        Assert.True(paused > 0 == milliseconds > 0, "a pause that is too short to be worth it was made");
        Assert.Equal((1, 0, 1), (group.Events.Local.High, group.Events.Local.Oom, futile.Calls.Count));
    }

    [Theory]
    [InlineData("killed while it pauses")]
    [InlineData("killed before")]
    [InlineData("leaving")]
    [Requirement("T24")]
    [Requirement("M40")]
    public void Dying_member_does_not_pause(string how)
    {
        using var world = new World();
        MemoryGroup group = Throttled(world, out ScriptedReclaimer futile);
        MemoryMember member = group.CreateMember("member");
        Assert.True(member.TryCharge(118 * M));
        switch (how)
        {
            case "killed before":
                member.Kill("test");
                break;
            case "leaving":
                member.BeginExit();
                break;
        }

        Pending charge = world.Charge(member, 64 * Page);
        if (how == "killed while it pauses")
        {
            Assert.True(charge.Sleeps);
            member.Kill("test");
            world.Run();
        }
        else
        {
            Assert.Empty(futile.Calls);
        }

        Assert.True(charge.Granted);
        Assert.Equal(0, world.Time.ArmedTimers);
    }

    // Each round helps a little and never enough: it is asked a bounded number of times before the pause.
    [Fact]
    [Requirement("M40")]
    public void Reclaim_is_tried_up_to_sixteen_times_before_the_pause_and_ends_with_a_kill()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { High = 100 * M, BatchBytes = 1 });
        MemoryMember member = group.CreateMember("member");
        Assert.True(member.TryCharge(118 * M));
        int asked = 0;
        group.AddReclaimer(new ScriptedReclaimer("a little", _ =>
        {
            asked++;
            member.Uncharge(1);
            return 1;
        }));

        Pending charge = world.Charge(member, 64 * Page);
        Assert.True(charge.Sleeps);
        int each = asked / 16;
        Assert.InRange(each, 1, 3);
        Assert.Equal(16 * each, asked);
        world.Advance(TimeSpan.FromSeconds(2));
        Assert.True(charge.Granted);

        group.AddReclaimer(new ScriptedReclaimer("kills", _ =>
        {
            member.Kill("test");
            return 1;
        }));
        asked = 0;
        Assert.True(world.Charge(member, 64 * Page).Granted);
        Assert.InRange(asked, 1, each);
    }

    private static async Task PinAsync(MemoryMember member, long bytes)
    {
        for (long pinned = 0; pinned < bytes; pinned += 64 * Page)
        {
            await member.ChargeAsync(64 * Page).ConfigureAwait(false);
        }
    }

    private static MemoryGroup Throttled(World world, out ScriptedReclaimer futile)
    {
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { High = 100 * M, BatchBytes = 1 });
        futile = new ScriptedReclaimer("futile", static _ => 0);
        group.AddReclaimer(futile);
        return group;
    }
}
