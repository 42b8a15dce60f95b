// Named schedules, the second half: victims, limits and the order of those who wait. N09...N16.
namespace MemoryGroups.Tests;

public sealed class NamedScheduleVictimTests
{
    // A victim needs a little memory to give much back: the reserve grants that, not more, and is repaid.
    [Fact]
    [Requirement("N09")]
    public void Victim_gets_what_it_needs_to_spill_once_and_the_reserve_is_repaid()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 20 });
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending asking = FullGroup.Ask(world, group, 300);
        Assert.True(hog.IsKilled);
        Assert.True(asking.Sleeps);

        Assert.True(world.Charge(hog, 20).Granted);
        world.Charge(hog, 1).Failed<OomKilledException>();

        Assert.Equal(20, world.Root.OomReserveUsed);
        Assert.Equal(1020, group.Usage);
        hog.Uncharge(820);
        world.Run();
        Assert.Equal(0, world.Root.OomReserveUsed);
        Assert.True(asking.Granted);
    }

    // A victim ignores its token: after the deadline it is passed over, the next one dies, and when the first finishes
    // after all, every counter is exact.
    [Fact]
    [Requirement("N10")]
    public void Victim_that_ignores_its_kill_is_passed_over_and_may_finish_later()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember deaf = group.CreateMember("deaf");
        Assert.True(deaf.TryCharge(600));
        MemoryMember next = group.CreateMember("next");
        Assert.True(next.TryCharge(400));
        next.Killed.UnsafeRegister(static state => ((MemoryMember)state!).Dispose(), next);
        Pending asking = FullGroup.Ask(world, group, 300);
        Assert.True(deaf.IsKilled);
        Assert.False(next.IsKilled);

        world.Advance(TimeSpan.FromSeconds(3));

        Assert.True(deaf.Space.IsHidden);
        Assert.True(next.IsKilled);
        Assert.True(asking.Granted);
        Assert.Equal((900L, 1), (group.Usage, world.Root.OomKiller.VictimsInFlight));
        deaf.Uncharge(600);
        deaf.Dispose();
        Assert.Equal((300L, 0), (group.Usage, world.Root.OomKiller.VictimsInFlight));
        world.AssertQuiet(leftAtRoot: 300);
    }

    // Bytes come back on another thread after their group is gone: they belong to the books that recorded them, and
    // nobody gets them twice.
    [Fact]
    [Requirement("N11")]
    public void Bytes_returned_after_the_group_is_closed_change_nobodys_books()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1000 });
        MemoryMember stays = parent.CreateMember("stays");
        Assert.True(stays.TryCharge(100));
        MemoryGroup child = parent.CreateGroup("child");
        MemoryMember member = child.CreateMember("member");
        MemoryCharge lease = member.TryLease(300)!;
        Assert.True(member.TryCharge(200));
        child.Dispose();
        Assert.Equal(100, parent.Usage);

        var other = new Thread(() =>
        {
            member.Uncharge(200);
            lease.Dispose();
        });
        other.Start();
        other.Join();

        Assert.Equal((100L, 0L), (parent.Usage, child.Usage));
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    // A limit falls below the usage while somebody waits and is raised again before the kill: nobody dies.
    [Fact]
    [Requirement("N12")]
    public void Limit_that_is_raised_again_before_the_kill_spares_everybody()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(hog.TryCharge(600));
        group.Max = 400;
        world.Once(ProbePoint.BeforeKillLock, () => group.Max = 1000);

        Pending asking = FullGroup.Ask(world, group, 300);

        Assert.True(asking.Granted);
        Assert.False(hog.IsKilled);
        Assert.Equal((1L, 0L), (group.Events.Current.Oom, group.Events.Current.OomKill));
    }

    // An adjustment shifts a score; it is no shield: the huge one dies, not twenty small ones.
    [Fact]
    [Requirement("N13")]
    public void Small_adjustment_does_not_shield_the_huge_one()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 10_000 });
        MemoryMember huge = group.CreateGroup("huge").CreateMember(
            "huge", new MemoryMemberOptions { OomScoreAdjustment = -100 });
        Assert.True(huge.TryCharge(6000));
        huge.Killed.UnsafeRegister(static state => ((MemoryMember)state!).Dispose(), huge);
        MemoryMember[] small = [.. Enumerable.Range(0, 20).Select(i =>
            group.CreateGroup($"small{i}").CreateMember("small"))];
        Assert.All(small, static member => Assert.True(member.TryCharge(200)));

        Pending asking = FullGroup.Ask(world, group, 500);

        Assert.True(asking.Granted);
        Assert.True(huge.IsKilled);
        Assert.All(small, static member => Assert.False(member.IsKilled));
    }

    // A small request passes a large one that almost fits; passed often and for long, the large one gets its turn.
    [Fact]
    [Requirement("N14")]
    public void Small_request_passes_one_that_almost_fits_and_that_one_ages_to_the_front()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending large = FullGroup.Ask(world, group, 800);
        MemoryMember small = group.CreateMember("small");
        hog.Uncharge(798);

        Assert.True(world.Charge(small, 100).Granted);
        Assert.True(large.Sleeps);
        world.Advance(TimeSpan.FromSeconds(10));
        small.Uncharge(100);
        for (int passes = 0; passes <= OomRequest.PassesBeforeAged && group.AgedRequest is null; passes++)
        {
            Assert.True(small.TryCharge(1));
            small.Uncharge(1);
        }

        Assert.NotNull(group.AgedRequest);
        Pending behind = FullGroup.Ask(world, group, 100);
        Assert.True(behind.Sleeps);
        hog.Uncharge(2);
        world.Run();
        Assert.True(large.Granted);
        Assert.Null(group.AgedRequest);
    }

    // Every switch off and on again while charges live: the books do not move by a byte.
    [Fact]
    [Requirement("N15")]
    [Requirement("I14")]
    public void Switches_that_are_turned_off_and_on_change_nobodys_books()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 10_000, High = 9000 });
        MemoryGroup group = parent.CreateGroup("group", new MemoryGroupOptions { Max = 5000, Low = 500 });
        MemoryMember member = group.CreateMember("member");
        MemoryCharge lease = member.TryLease(700)!;
        Assert.True(member.TryCharge(300));
        var signal = new MemorySignal();

        group.Oom.KillDisabled = true;
        parent.Oom.KillWholeGroup = true;
        using (group.Oom.Register(signal))
        {
            Assert.True(world.Await(world.Root.OomKiller.DisableAsync(TimeSpan.Zero)));
            (parent.Max, parent.High, group.Low) = (long.MaxValue, long.MaxValue, 0);
            Assert.True(member.TryCharge(1000));
            member.Uncharge(300);
            (parent.Max, parent.High, group.Low) = (10_000, 9000, 500);
            world.Root.OomKiller.Enable();
        }

        parent.Oom.KillWholeGroup = false;
        group.Oom.KillDisabled = false;

        Assert.Equal((1700L, 1700L, 1700L), (member.Usage, group.Usage, parent.Usage));
        member.Uncharge(1000);
        lease.Dispose();
        Assert.Equal((0L, 0L, 0L), (member.Usage, group.Usage, parent.Usage));
        Assert.Equal(0, signal.Total);
    }

    // A handler that never answers is left behind at its deadline; the default runs, and the handler is in the report.
    [Fact]
    [Requirement("N16")]
    public void Handler_that_never_answers_is_reported_and_the_default_runs()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        hog.Killed.UnsafeRegister(static state => ((MemoryMember)state!).Dispose(), hog);
        group.Oom.Handler = new SilentHandler();
        Pending asking = FullGroup.Ask(world, group, 300);
        Assert.True(asking.Sleeps);
        Assert.False(hog.IsKilled);

        world.Advance(TimeSpan.FromSeconds(1));

        Assert.True(asking.Granted);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Contains(report.Tried, static step => step is { What: "OOM handler", Outcome: "late" });
    }

    private sealed class SilentHandler : OomHandler
    {
        public override ValueTask<OomDecision> OnOomAsync(OomScene scene, CancellationToken cancellationToken) =>
            new(new TaskCompletionSource<OomDecision>().Task);
    }
}
