// One kill and how far it reaches: whole groups, shared spaces, and those that are never killed.
namespace MemoryGroups.Tests;

public sealed class OomKillTests
{
    [Fact]
    [Requirement("T35")]
    [Requirement("M28")]
    public void Group_that_is_killed_as_a_whole_dies_with_its_idle_members_and_its_parent_lives()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        MemoryGroup child = parent.CreateGroup(
            "child", new MemoryGroupOptions { Max = 50_000, KillWholeGroup = true });
        MemoryMember inParent = Filled(parent, "in parent", 60_000);
        MemoryMember[] idle = [Filled(child, "idle 1", 1000), Filled(child, "idle 2", 0)];
        MemoryMember grower = Filled(child, "grower", 49_000);

        world.Charge(grower, 1000);

        Assert.True(grower.IsKilled);
        Assert.All(idle, static member => Assert.True(member.IsKilled));
        Assert.False(inParent.IsKilled);
        Assert.Equal((3, 1), (child.Events.Current.OomKill, child.Events.Current.OomGroupKill));
        Assert.Equal((3, 1), (parent.Events.Current.OomKill, parent.Events.Current.OomGroupKill));
        Assert.Equal((0, 0), (parent.Events.Local.OomKill, parent.Events.Local.OomGroupKill));
    }

    [Fact]
    [Requirement("T36")]
    [Requirement("M28")]
    public void Topmost_group_with_the_switch_below_the_refusing_one_is_killed()
    {
        using var world = new World();
        MemoryGroup above = world.Root.CreateGroup("above", new MemoryGroupOptions { KillWholeGroup = true });
        MemoryMember inAbove = Filled(above, "in above", 1000);
        MemoryGroup parent = above.CreateGroup(
            "parent", new MemoryGroupOptions { Max = 80_000, KillWholeGroup = true });
        MemoryGroup child = parent.CreateGroup("child", new MemoryGroupOptions { KillWholeGroup = true });
        MemoryMember[] dying =
        [
            Filled(parent, "in parent", 10_000), Filled(child, "in child", 1000), Filled(child, "grower", 69_000),
        ];

        world.Charge(dying[2], 2000);

        Assert.All(dying, static member => Assert.True(member.IsKilled));
        Assert.False(inAbove.IsKilled);
        Assert.Equal((1, 0), (parent.Events.Local.OomGroupKill, child.Events.Local.OomGroupKill));
    }

    [Fact]
    [Requirement("T37")]
    [Requirement("M29")]
    [Requirement("D7")]
    public void Member_that_is_never_killed_is_spared_and_two_deaths_count_two()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup(
            "group", new MemoryGroupOptions { Max = 50_000, KillWholeGroup = true });
        MemoryMember immune = Filled(group, "immune", 1000, MemoryMember.NeverKill);
        MemoryMember plain = Filled(group, "plain", 1000);
        MemoryMember grower = Filled(group, "grower", 48_000);

        world.Charge(grower, 1000);

        Assert.Equal((false, true, true), (immune.IsKilled, plain.IsKilled, grower.IsKilled));
        Assert.Equal(2, group.Events.Current.OomKill);
        Assert.Equal(2, world.Root.OomKiller.VictimsInFlight);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(["root/group/grower", "root/group/plain"], report.Killed);
        Assert.Equal(report.Number, plain.KillReport!.Number);
    }

    [Fact]
    [Requirement("T47")]
    public void Kill_is_counted_at_the_owner_of_the_space_even_when_that_is_outside_the_refusing_group()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup b = world.Root.CreateGroup("b");
        MemoryMember owner = Filled(b, "owner", 50);
        MemoryMember sharer = a.CreateMember("sharer", new MemoryMemberOptions { Space = owner.Space });
        sharer.Charge(1000);

        world.Charge(a.CreateMember("asker"), 100);

        Assert.True(owner.IsKilled && sharer.IsKilled);
        Assert.Equal((0, 1), (a.Events.Current.OomKill, b.Events.Current.OomKill));
        Assert.Equal("root/a/sharer", Assert.Single(world.Root.Reports.Latest()).VictimPath);
    }

    [Fact]
    [Requirement("T48")]
    public void Space_shared_with_an_immortal_is_hidden_at_once_and_the_next_oom_takes_another_victim()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = 1000 });
        MemoryMember mortal = Filled(a, "mortal", 600);
        MemoryMember immortal = world.Root.CreateGroup("b").CreateMember(
            "immortal", new MemoryMemberOptions { Space = mortal.Space, OomScoreAdjustment = MemoryMember.NeverKill });
        MemoryMember next = Filled(a, "next", 400);

        Pending asking = world.Charge(a.CreateMember("asker"), 300);

        Assert.Equal((true, false, true), (mortal.IsKilled, immortal.IsKilled, next.IsKilled));
        Assert.True(mortal.Space.IsHidden);
        Assert.False(mortal.Space.IsQueuedForReaping);
        OomReport first = world.Root.Reports.Latest()[^1];
        Assert.Equal(("root/a/mortal", OomOutcome.NotReapable), (first.VictimPath, first.Outcome));
        next.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("M27")]
    public void Reserve_is_granted_only_after_the_kill_was_sent()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 500 });
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = Filled(group, "hog", 1000);
        Exception? early = null;
        world.Once(ProbePoint.VictimChosen, () => early = Record.Exception(() => hog.Charge(10)));

        world.Charge(group.CreateMember("asker"), 100);

        Assert.IsType<MemoryLimitExceededException>(early);
        Assert.Equal(0, world.Root.OomReserveUsed);
        hog.Charge(10);
        Assert.Equal(10, world.Root.OomReserveUsed);
    }

    [Fact]
    [Requirement("M30")]
    public void Victim_that_exits_between_choice_and_kill_leaves_nothing_in_flight()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = Filled(group, "hog", 1000);
        world.Once(ProbePoint.VictimChosen, hog.Dispose);

        Pending asking = world.Charge(group.CreateMember("asker"), 100);

        Assert.True(asking.Granted);
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
        Assert.Equal(OomOutcome.Exited, Assert.Single(world.Root.Reports.Latest()).Outcome);
        world.Advance(TimeSpan.FromSeconds(3));
        world.AssertQuiet(leftAtRoot: 100);
    }

    [Theory]
    [InlineData((int)ProbePoint.BeforeKillLock)]
    [InlineData((int)ProbePoint.VictimChosen)]
    [InlineData((int)ProbePoint.KillSent)]
    [InlineData((int)ProbePoint.KillReturned)]
    [InlineData((int)ProbePoint.Released)]
    public void Group_that_is_closed_in_the_middle_of_its_kill_leaves_nothing_behind(int point)
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        Filled(group, "hog", 1000);
        MemoryMember outside = Filled(world.Root, "outside", 5000);
        world.Once((ProbePoint)point, group.Dispose);

        Pending asking = world.Charge(group.CreateMember("asker"), 100);

        asking.Failed<ObjectDisposedException>();
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
        Assert.False(outside.IsKilled);
        world.Advance(TimeSpan.FromSeconds(5));
        world.AssertQuiet(leftAtRoot: 5000);
    }

    [Fact]
    public void Member_that_is_let_finish_twice_is_one_victim()
    {
        using var world = new World();
        MemoryMember member = Filled(world.Root, "member", 100);
        member.BeginExit();
        var request = new OomRequest(world.Root, member, 10, ChargeFlags.None, TimeSpan.FromSeconds(1));
        var kill = new OomKill(request, world.Root, "test");

        kill.LetFinish(member);
        kill.LetFinish(member);

        Assert.Equal(1, world.Root.OomKiller.VictimsInFlight);
        member.Dispose();
    }

    private static MemoryMember Filled(MemoryGroup group, string name, long bytes, int adjustment = 0)
    {
        MemoryMember member = group.CreateMember(name, new MemoryMemberOptions { OomScoreAdjustment = adjustment });
        member.Charge(bytes);
        return member;
    }
}
