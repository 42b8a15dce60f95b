// S003, who is a victim: a fact of the space, three separate mechanisms, one victim at a time, the killer's switch.
namespace MemoryGroups.Tests;

public sealed class S003VictimTests
{
    [Fact]
    [Requirement("S003-1")]
    public void Selection_reserve_and_counting_are_three_facts_that_change_at_different_moments()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        (MemoryMember hog, MemoryMember asker) = Full(world);
        var seen = new List<(bool Victim, bool Killed, bool Reserve, int InFlight)>();
        void Look() => seen.Add((
            hog.Space.IsVictim, hog.IsKilled, hog.Space.MayUseReserve, world.Root.OomKiller.VictimsInFlight));
        world.Once(ProbePoint.BeforeKillLock, Look);
        world.Once(ProbePoint.VictimChosen, Look);
        world.Once(ProbePoint.KillSent, Look);
        world.Once(ProbePoint.KillReturned, Look);

        world.Charge(asker, 200);

        Assert.Equal(
            [(false, false, false, 0), (true, false, false, 1), (true, true, false, 1), (true, true, true, 1)], seen);
    }

    [Fact]
    [Requirement("S003-1")]
    [Requirement("S003-9")]
    [Requirement("M23")]
    [Requirement("M30")]
    public async Task Hidden_victim_blocks_no_selection_but_still_holds_up_the_disabling()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world, hogBytes: 600);
        MemoryMember second = hog.Group.CreateMember("second");
        Assert.True(world.Charge(second, 400).Granted);
        world.Charge(asker, 100);
        world.Advance(TimeSpan.FromSeconds(3));
        Assert.True(hog.Space.IsHidden);
        Assert.True(second.IsKilled);
        second.Dispose();
        world.Run();
        Assert.Equal(1, world.Root.OomKiller.VictimsInFlight);

        Task<bool> disabling = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(5)).AsTask();
        world.Run();
        Assert.False(disabling.IsCompleted);
        hog.Dispose();
        world.Run();

        Assert.True(disabling.IsCompleted);
        Assert.True(await disabling);
    }

    [Fact]
    [Requirement("S003-2")]
    [Requirement("S003-3")]
    [Requirement("S003-8")]
    [Requirement("T47")]
    [Requirement("D5")]
    [Requirement("M27")]
    public void Members_of_a_shared_space_die_together_and_are_counted_once_at_its_owner()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup b = world.Root.CreateGroup("b");
        MemoryMember first = a.CreateMember("first");
        MemoryMember second = b.CreateMember("second", new MemoryMemberOptions { Space = first.Space });
        MemoryMember bystander = b.CreateMember("bystander");
        Assert.True(world.Charge(first, 900).Granted);
        Assert.True(world.Charge(second, 50).Granted);
        Assert.True(world.Charge(bystander, 5000).Granted);

        world.Charge(a.CreateMember("asker"), 200);

        Assert.True(first.IsKilled);
        Assert.True(second.IsKilled);
        Assert.False(bystander.IsKilled);
        Assert.True(second.Space.IsVictim);
        Assert.Equal(1, a.Events.Local.OomKill);
        Assert.Equal(0, b.Events.Current.OomKill);
        Assert.Equal(1, world.Root.OomKiller.VictimsInFlight);
        Assert.Equal(950, Assert.Single(world.Root.Reports.Latest()).VictimUsageBytes);
    }

    [Theory]
    [InlineData((int)ProbePoint.VictimChosen)]
    [InlineData((int)ProbePoint.KillSent)]
    [InlineData((int)ProbePoint.KillReturned)]
    [Requirement("S003-4")]
    public void Member_that_joins_the_space_around_the_kill_is_killed_too(int point)
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        MemoryMember? late = null;
        world.Once((ProbePoint)point, () =>
            late = asker.Group.CreateMember("late", new MemoryMemberOptions { Space = hog.Space }));

        world.Charge(asker, 200);

        Assert.True(late!.IsKilled);
        Assert.True(late.Killed.IsCancellationRequested);
        Assert.Equal(1, asker.Group.Events.Current.OomKill);
    }

    [Fact]
    [Requirement("S003-5")]
    public void Every_member_of_the_victims_space_may_use_the_reserve()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        (MemoryMember hog, MemoryMember asker) = Full(world);
        MemoryMember sharer = hog.Group.CreateMember("sharer", new MemoryMemberOptions { Space = hog.Space });
        MemoryMember stranger = hog.Group.CreateMember("stranger");
        world.Charge(asker, 200);

        Assert.True(world.Charge(hog, 40).Granted);
        Assert.True(world.Charge(sharer, 40).Granted);
        Assert.True(world.Charge(stranger, 20).Sleeps);

        Assert.Equal(80, world.Root.OomReserveUsed);
    }

    [Fact]
    [Requirement("S003-7")]
    [Requirement("T74")]
    public void Victim_that_never_runs_again_is_reaped_without_its_cooperation()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world, hogBytes: 0);
        MemoryCharge lease = hog.Lease(1000);
        hog.Space.AddReapable(new Buffer(lease));
        Pending asking = world.Charge(asker, 200);

        world.Advance(TimeSpan.FromSeconds(2));

        Assert.True(asking.Granted);
        Assert.False(hog.IsExited);
        Assert.Equal(200, world.Root.Usage);
    }

    [Fact]
    [Requirement("S003-9")]
    [Requirement("T78")]
    [Requirement("M30")]
    [Requirement("M38")]
    [Requirement("D5")]
    public async Task Disabling_waits_until_the_last_member_of_the_space_has_exited()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        MemoryGroup elsewhere = world.Root.CreateGroup("elsewhere");
        MemoryMember sharer = elsewhere.CreateMember("sharer", new MemoryMemberOptions { Space = hog.Space });
        world.Charge(asker, 200);

        Task<bool> disabling = world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(5)).AsTask();
        world.Advance(TimeSpan.FromSeconds(1));
        hog.Dispose();
        world.Run();
        Assert.False(disabling.IsCompleted);
        sharer.Dispose();
        world.Run();

        Assert.True(disabling.IsCompleted);
        Assert.True(await disabling);
        Assert.True(world.Root.OomKiller.IsDisabled);
    }

    [Fact]
    [Requirement("S003-10")]
    [Requirement("S003-12")]
    [Requirement("B25")]
    [Requirement("M30")]
    public void Kill_thaws_every_member_of_the_space_also_in_other_groups()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        MemoryMember sharer = world.Root.CreateGroup("elsewhere")
            .CreateMember("sharer", new MemoryMemberOptions { Space = hog.Space });
        MemoryMember stranger = hog.Group.CreateMember("stranger");
        hog.Freeze();
        sharer.Freeze();
        stranger.Freeze();
        Task first = hog.WaitWhileFrozenAsync().AsTask();
        Task second = sharer.WaitWhileFrozenAsync().AsTask();
        Assert.False(first.IsCompleted || second.IsCompleted);

        world.Charge(asker, 200);

        Assert.True(first.IsCompletedSuccessfully);
        Assert.True(second.IsCompletedSuccessfully);
        Assert.True(stranger.IsFrozen);
        hog.Freeze();
        Assert.False(hog.IsFrozen);
    }

    [Fact]
    [Requirement("S003-11")]
    [Requirement("T49")]
    [Requirement("M14")]
    [Requirement("M23")]
    public void Victim_in_flight_keeps_a_hundred_askers_from_killing_until_it_is_hidden()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup leaf = tenant.CreateGroup("leaf", new MemoryGroupOptions { Max = 600 });
        MemoryMember victim = leaf.CreateMember("victim");
        MemoryMember other = tenant.CreateMember("other");
        using SpacePin pin = victim.Space.Pin();
        Assert.True(world.Charge(victim, 600).Granted);
        Assert.True(world.Charge(other, 400).Granted);
        Pending[] asking =
        [
            .. Enumerable.Range(0, 50).Select(i => world.Charge(leaf.CreateMember($"in leaf {i}"), 1)),
            .. Enumerable.Range(0, 50).Select(i => world.Charge(tenant.CreateMember($"in tenant {i}"), 1)),
        ];

        Assert.All(asking, static one => Assert.True(one.Sleeps));
        Assert.True(victim.IsKilled);
        Assert.False(other.IsKilled);
        Assert.Equal(1, tenant.Events.Current.OomKill);
        world.Advance(TimeSpan.FromSeconds(2.8));
        Assert.Equal(1, tenant.Events.Current.OomKill);
        world.Advance(TimeSpan.FromSeconds(0.2));

        Assert.True(other.IsKilled);
        Assert.Equal(2, tenant.Events.Current.OomKill);
        other.Dispose();
        world.Run();
        Assert.All(asking[50..], static one => Assert.True(one.Granted));
    }

    [Fact]
    [Requirement("S003-11")]
    [Requirement("M23")]
    public void Victim_in_a_disjoint_subtree_keeps_nobody_from_killing()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        MemoryGroup neighbour = world.Root.CreateGroup("neighbour", new MemoryGroupOptions { Max = 500 });
        MemoryMember other = neighbour.CreateMember("other");
        Assert.True(world.Charge(other, 500).Granted);

        world.Charge(asker, 100);
        world.Charge(neighbour.CreateMember("asks too"), 100);

        Assert.True(hog.IsKilled);
        Assert.True(other.IsKilled);
    }

    [Fact]
    [Requirement("S003-12")]
    [Requirement("S003-11")]
    public void Asker_goes_on_killing_when_the_victims_last_member_below_its_group_has_exited()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup b = world.Root.CreateGroup("b");
        MemoryMember here = a.CreateMember("here");
        MemoryMember there = b.CreateMember("there", new MemoryMemberOptions { Space = here.Space });
        MemoryMember next = a.CreateMember("next");
        Assert.True(world.Charge(here, 100).Granted);
        Assert.True(world.Charge(there, 5000).Granted);
        Assert.True(world.Charge(next, 900).Granted);
        Pending asking = world.Charge(a.CreateMember("asker"), 500);
        Assert.True(there.IsKilled);
        Assert.False(next.IsKilled);

        here.Dispose();
        world.Run();

        Assert.False(there.IsExited);
        Assert.True(next.IsKilled);
        next.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Requirement("B23")]
    [Requirement("M30")]
    public void Victims_in_flight_end_at_zero_whether_they_exit_before_or_after_being_hidden(bool before)
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        Pending asking = world.Charge(asker, 200);
        if (before)
        {
            world.Once(ProbePoint.Reaped, hog.Dispose);
        }

        world.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(before ? 0 : 1, world.Root.OomKiller.VictimsInFlight);
        hog.Dispose();
        world.Run();

        Assert.Equal(before, asking.Granted);
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
        hog.Dispose();
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
    }

    private static (MemoryMember Hog, MemoryMember Asker) Full(World world, long hogBytes = 1000)
    {
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryMember asker = tenant.CreateMember("asker");
        Assert.True(world.Charge(hog, hogBytes).Granted);
        return (hog, asker);
    }

    private sealed class Buffer(MemoryCharge charge) : ReapableMemory(charge)
    {
        protected internal override bool TryFree() => true;
    }
}
