// Groups that die as a whole, with the figures of the kernel's own tests (1 MB is 1000 bytes here): who dies, who is
// spared, and that the survivors' groups count right. Members exit as soon as they are killed.
namespace MemoryGroups.Tests;

public sealed class GroupKillScenarioTests
{
    private static readonly TimeSpan TenTimesATenth = TimeSpan.FromSeconds(1);

    [Fact]
    [Requirement("T35")]
    [Requirement("M28")]
    public void Leaf_with_the_switch_is_empty_within_a_second_and_its_parent_is_untouched()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        MemoryGroup child = parent.CreateGroup(
            "child", new MemoryGroupOptions { Max = 50_000, KillWholeGroup = true });
        MemoryMember inParent = Obedient(parent, "in parent", 60_000);
        Obedient(child, "idle 1", 1000);
        Obedient(child, "idle 2", 1000);

        Grow(world, child);
        world.Advance(TenTimesATenth);

        Assert.Empty(child.Members);
        Assert.Equal((0, 60_000), (child.Usage, parent.Usage));
        Assert.False(inParent.IsKilled);
        Assert.Equal((3, 1), (child.Events.Current.OomKill, child.Events.Current.OomGroupKill));
        Assert.Equal((3, 0), (parent.Events.Current.OomKill, parent.Events.Local.OomKill));
        Assert.Equal((1, 0), (parent.Events.Current.OomGroupKill, parent.Events.Local.OomGroupKill));
    }

    [Fact]
    [Requirement("T36")]
    [Requirement("M28")]
    public void Parent_with_the_switch_dies_with_its_child_although_the_grower_is_in_the_child()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup(
            "parent", new MemoryGroupOptions { Max = 80_000, KillWholeGroup = true });
        MemoryGroup child = parent.CreateGroup("child");
        Obedient(parent, "in parent", 60_000);
        Obedient(child, "idle 1", 1000);
        Obedient(child, "idle 2", 1000);
        MemoryMember outside = Obedient(world.Root, "outside", 100_000);

        Grow(world, child);
        world.Advance(TenTimesATenth);

        Assert.Empty(child.Members);
        Assert.Empty(parent.Members);
        Assert.Equal(0, parent.Usage);
        Assert.Equal((1, 4), (parent.Events.Local.OomGroupKill, parent.Events.Current.OomKill));
        Assert.False(outside.IsKilled);
    }

    [Fact]
    [Requirement("T37")]
    [Requirement("M29")]
    [Requirement("D7")]
    public void Member_that_is_never_killed_survives_its_groups_end_and_two_deaths_count_two()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup(
            "group", new MemoryGroupOptions { Max = 50_000, KillWholeGroup = true });
        MemoryMember immune = Obedient(group, "immune", 1000, MemoryMember.NeverKill);
        Obedient(group, "plain", 1000);

        Grow(world, group);
        world.Advance(TenTimesATenth);

        Assert.Equal([immune], group.Members);
        Assert.Equal((1000, 2), (group.Usage, group.Events.Current.OomKill));
        Assert.Equal(1, group.Events.Current.OomGroupKill);
        Assert.True(world.Charge(immune, 49_000).Granted);
    }

    [Fact]
    [Requirement("M28")]
    public void Switch_above_the_refusing_group_is_ignored()
    {
        using var world = new World();
        MemoryGroup above = world.Root.CreateGroup("above", new MemoryGroupOptions { KillWholeGroup = true });
        MemoryMember inAbove = Obedient(above, "in above", 1000);
        MemoryGroup refusing = above.CreateGroup("refusing", new MemoryGroupOptions { Max = 50_000 });
        MemoryMember small = Obedient(refusing, "small", 1000);

        Grow(world, refusing);

        Assert.Equal([small], refusing.Members);
        Assert.False(inAbove.IsKilled);
        Assert.Equal((1, 0), (above.Events.Current.OomKill, above.Events.Current.OomGroupKill));
    }

    [Fact]
    [Requirement("M28")]
    public void Candidate_that_has_moved_out_of_the_refusing_group_is_spared_and_so_are_the_members_of_both_groups()
    {
        using var world = new World();
        MemoryGroup refusing = world.Root.CreateGroup("refusing", new MemoryGroupOptions { KillWholeGroup = true });
        MemoryMember stayed = Obedient(refusing, "stayed", 1000);
        MemoryGroup elsewhere = world.Root.CreateGroup("elsewhere", new MemoryGroupOptions { KillWholeGroup = true });
        MemoryMember neighbour = Obedient(elsewhere, "neighbour", 1000);
        MemoryMember moved = Obedient(refusing, "moved", 1000);
        var request = new OomRequest(world.Root, null, 100, ChargeFlags.None, TimeSpan.Zero);
        var kill = new OomKill(request, refusing, "a test");
        Assert.True(moved.MoveTo(elsewhere));

        Assert.False(kill.Execute(new OomCandidate(moved, 1000, "a test")));

        Assert.Equal((false, false, false), (moved.IsKilled, neighbour.IsKilled, stayed.IsKilled));
        Assert.False(moved.Space.IsVictim);
        Assert.Equal((0, 0), (refusing.Events.Current.OomKill, elsewhere.Events.Current.OomKill));
    }

    // Wants 100 MB, one at a time, and gets as far as its group lets it.
    private static void Grow(World world, MemoryGroup group)
    {
        MemoryMember grower = Obedient(group, "grower", 0);
        Pending last = world.Charge(grower, 1000);
        for (int i = 1; i < 100 && last.Granted; i++)
        {
            last = world.Charge(grower, 1000);
        }

        Assert.True(last.Error is OomKilledException or ObjectDisposedException, $"{last.Error}");
    }

    private static MemoryMember Obedient(MemoryGroup group, string name, long bytes, int adjustment = 0)
    {
        MemoryMember member = group.CreateMember(name, new MemoryMemberOptions { OomScoreAdjustment = adjustment });
        member.Killed.UnsafeRegister(static state => ((MemoryMember)state!).Dispose(), member);
        Assert.True(member.TryCharge(bytes));
        return member;
    }

    // On real threads: it moves while its group is being killed. Either it stays and dies with the others, or it goes.
    [Fact]
    [Requirement("M28")]
    public void Member_that_moved_out_of_a_group_is_not_killed_with_it()
    {
        using MemoryRoot root = RacingRoot.On(new VirtualTime());
        MemoryGroup elsewhere = root.CreateGroup("elsewhere");
        bool isSent = false;
        root.ProbeHook = (point, _) =>
        {
            if (point == ProbePoint.KillSent)
            {
                Volatile.Write(ref isSent, true);
            }
        };
        for (int round = 0; round < 4000; round++)
        {
            MemoryGroup whole = root.CreateGroup("whole", new MemoryGroupOptions { KillWholeGroup = true });
            whole.CreateMember("largest").Charge(1000);
            MemoryMember[] movers = [.. Enumerable.Range(0, 8).Select(i => whole.CreateMember($"mover{i}"))];
            bool[] moved = new bool[movers.Length];
            Parallel.Invoke(
                new ParallelOptions { MaxDegreeOfParallelism = 2 },
                () => root.OomKiller.KillNowAsync().AsTask().GetAwaiter().GetResult(),
                () =>
                {
                    SpinWait.SpinUntil(() => Volatile.Read(ref isSent), TimeSpan.FromSeconds(10));
                    for (int i = movers.Length - 1; i >= 0; i--)
                    {
                        moved[i] = movers[i].MoveTo(elsewhere);
                    }
                });
            for (int i = 0; i < movers.Length; i++)
            {
                Assert.False(moved[i] && movers[i].IsKilled, $"round {round}: it had left the group that was killed");
                movers[i].Dispose();
            }

            whole.Dispose();
            isSent = false;
        }
    }
}
