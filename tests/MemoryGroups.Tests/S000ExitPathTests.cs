// Whatever happens to a contender, and wherever: mark, queue entry and lock are undone, and nobody else is stuck
// (S000-22, I9, I10).
namespace MemoryGroups.Tests;

public sealed class S000ExitPathTests
{
    public enum Blow
    {
        Kill,
        Cancel,
        Exit,
        CloseGroup,
        Throw,
    }

    public static TheoryData<string, Blow, bool> Blows()
    {
        // Whether a point is passed at all depends on whether the killer is on.
        ProbePoint[] always = [ProbePoint.ChargeRefused, ProbePoint.Queued, ProbePoint.Marked, ProbePoint.BeforeNotify];
        ProbePoint[] sleeping = [ProbePoint.BeforeSleep, ProbePoint.Woken];
        ProbePoint[] killing = [ProbePoint.BeforeKillLock, ProbePoint.KillReturned];
        var data = new TheoryData<string, Blow, bool>();
        foreach (Blow blow in Enum.GetValues<Blow>())
        {
            foreach (ProbePoint point in always.Concat(sleeping))
            {
                data.Add(point.ToString(), blow, true);
            }

            foreach (ProbePoint point in always.Concat(killing))
            {
                data.Add(point.ToString(), blow, false);
            }
        }

        return data;
    }

    [Theory]
    [Requirement("S000-22")]
    [Requirement("S000-13")]
    [MemberData(nameof(Blows))]
    public void Contender_that_is_hit_at_any_point_leaves_nothing_behind(string at, Blow blow, bool killDisabled)
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        MemoryGroup group = parent.CreateGroup(
            "group", new MemoryGroupOptions { Max = 1000, KillDisabled = killDisabled });
        MemoryMember hog = FullGroup.Fill(world, group);
        MemoryMember hit = group.CreateMember("hit");
        bool wasHit = false;
        world.Once(Enum.Parse<ProbePoint>(at), () =>
        {
            wasHit = true;
            Strike(blow, hit, cancel);
        });

        Pending asking = world.Charge(hit, 100, cancel: cancel.Token);
        if (at == nameof(ProbePoint.Woken))
        {
            world.Root.WaitQueue.WakeAll(group);
            world.Run();
        }

        Assert.True(wasHit);
        if (blow != Blow.CloseGroup)
        {
            // Whoever comes next is served as if nothing had been.
            Pending next = FullGroup.Ask(world, group, 100);
            hog.Dispose();
            world.Run();
            Assert.True(next.Granted);
        }

        world.Advance(group.WaitTimeout);
        Assert.False(asking.Sleeps);
        Assert.Null(group.OomLock.Holder);
        Assert.Equal(0, group.OomMarks);
        Assert.Equal(0, parent.OomLock.HeldBelow);
        Assert.Equal(0, world.Root.WaitingCharges);
        Assert.Empty(Sleepers.Of(hit));
        Assert.Equal(0, world.Time.ArmedTimers);
        world.AssertQuiet(leftAtRoot: group.Usage);
    }

    [Theory]
    [Requirement("S000-22")]
    [Requirement("T58")]
    [InlineData(Blow.Kill)]
    [InlineData(Blow.Cancel)]
    [InlineData(Blow.Exit)]
    public void Winner_that_is_hit_in_its_sleep_releases_and_wakes_the_next(Blow blow)
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        MemoryMember winner = group.CreateMember("winner");
        Pending winning = world.Charge(winner, 100, cancel: cancel.Token);
        Pending next = FullGroup.Ask(world, group, 100);
        object? held = group.OomLock.Holder;

        Strike(blow, winner, cancel);
        world.Run();

        Assert.False(winning.Sleeps);
        Assert.True(next.Sleeps);
        Assert.NotNull(group.OomLock.Holder);
        Assert.NotSame(held, group.OomLock.Holder);
        hog.Uncharge(100);
        world.Run();
        Assert.True(next.Granted);
    }

    [Fact]
    [Requirement("S000-22")]
    public void Winner_whose_deadline_passes_in_its_sleep_releases_and_wakes_the_next()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        Pending winning = FullGroup.Ask(world, group, 100);
        world.Advance(TimeSpan.FromSeconds(10));
        Pending next = FullGroup.Ask(world, group, 100);

        world.Advance(TimeSpan.FromSeconds(20));

        Assert.Equal(ChargeRefusal.TimedOut, winning.Failed<MemoryLimitExceededException>().Reason);
        Assert.True(next.Sleeps);
        Assert.NotNull(group.OomLock.Holder);
        world.Advance(TimeSpan.FromSeconds(10));
        next.Failed<MemoryLimitExceededException>();
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Theory]
    [Requirement("B07")]
    [InlineData(Blow.Cancel)]
    [InlineData(Blow.Throw)]
    [Requirement("M15")]
    public void Failure_that_the_caller_swallows_leaves_no_oom_state_behind(Blow blow)
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup full = world.Root.CreateGroup("full", FullGroup.Sleepy);
        MemoryGroup other = world.Root.CreateGroup("other", FullGroup.Sleepy);
        FullGroup.Fill(world, full);
        MemoryMember member = full.CreateMember("member");
        world.Once(ProbePoint.BeforeSleep, () => Strike(blow, member, cancel));

        Assert.False(world.Charge(member, 100, cancel: cancel.Token).Sleeps);

        Assert.False(full.Oom.UnderOom);
        Assert.Null(full.OomLock.Holder);
        Assert.True(FullGroup.Ask(world, other, 1000).Granted);
        Assert.True(FullGroup.Ask(world, full, 100).Sleeps);
    }

    private static void Strike(Blow blow, MemoryMember member, CancellationTokenSource cancel)
    {
        switch (blow)
        {
            case Blow.Kill:
                member.Kill("test");
                break;
            case Blow.Cancel:
                cancel.Cancel();
                break;
            case Blow.Exit:
                member.Dispose();
                break;
            case Blow.CloseGroup:
                member.Group.Dispose();
                break;
            default:
                throw new InvalidOperationException("test");
        }
    }
}
