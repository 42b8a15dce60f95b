// A kill step by step: what comes before it, in which order it happens, who is spared, and what the victim's end does.
namespace MemoryGroups.Tests;

public sealed class KillScenarioTests
{
    [Fact]
    [Requirement("M13")]
    public void Oom_is_counted_before_anybody_is_told_or_killed_and_counts_although_nobody_may_be_killed()
    {
        using var world = new World();
        (MemoryGroup tenant, MemoryMember hog) = Full(world);
        tenant.Oom.KillDisabled = true;
        long beforeNotify = -1;
        world.Once(ProbePoint.BeforeNotify, () => beforeNotify = tenant.Events.Current.Oom);
        Pending asleep = FullGroup.Ask(world, tenant, 100);
        Assert.True(asleep.Sleeps);
        Assert.Equal((0, 1), (beforeNotify, tenant.Events.Current.Oom));

        long beforeKill = -1;
        world.Once(ProbePoint.BeforeKillLock, () => beforeKill = tenant.Events.Current.Oom);
        tenant.Oom.KillDisabled = false;
        world.Run();

        Assert.True(hog.IsKilled);
        Assert.Equal((2, 2), (beforeKill, tenant.Events.Current.Oom));
    }

    [Theory]
    [InlineData(OomPanic.Never, 0)]
    [InlineData(OomPanic.CapacityOnly, 0)]
    [InlineData(OomPanic.Always, 1)]
    [Requirement("T44")]
    [Requirement("M19")]
    public void Grower_in_a_group_dies_in_it_whatever_is_outside_and_only_the_strictest_policy_stops_the_process(
        OomPanic policy, int stops)
    {
        using var world = new World(1_000_000, options => options with { PanicOnOom = policy });
        MemoryMember outside = Filled(world.Root, "outside", 500_000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 50_000 });
        MemoryMember grower = tenant.CreateGroup("session").CreateMember("grower");
        var signal = new MemorySignal();
        tenant.Oom.Register(signal);
        var told = new List<long>();
        world.Root.Panicking = _ => told.Add(signal.Total);

        Pending last = world.Charge(grower, 1000);
        for (int mebibytes = 2; mebibytes <= 51 && last.Granted; mebibytes++)
        {
            last = world.Charge(grower, 1000);
        }

        last.Failed<OomKilledException>();
        Assert.Equal((true, false), (grower.IsKilled, outside.IsKilled));
        Assert.Equal(Enumerable.Repeat(1L, stops), told);
        Assert.Equal(0, world.Root.Events.Current.OomKill);
    }

    [Fact]
    [Requirement("M19")]
    public void Group_in_which_nobody_may_be_killed_refuses_and_the_rest_of_the_system_is_not_looked_at()
    {
        using var world = new World(100_000, static options => options with { PanicOnOom = OomPanic.CapacityOnly });
        MemoryMember outside = Filled(world.Root, "outside", 90_000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        Filled(tenant, "immune", 1000, MemoryMember.NeverKill);
        int stopped = 0;
        world.Root.Panicking = _ => stopped++;
        var chain = new ScriptedReclaimer("chain", static _ => 0);
        using IDisposable registered = world.Root.AddLastResortReclaimer(chain);

        MemoryLimitExceededException error = FullGroup.Ask(world, tenant, 100).Failed<MemoryLimitExceededException>();

        Assert.Equal((ChargeRefusal.NoVictim, "root/tenant"), (error.Reason, error.GroupPath));
        Assert.False(outside.IsKilled);
        Assert.Equal((0, 0), (stopped, chain.Calls.Count));
    }

    [Fact]
    [Requirement("M20")]
    public void Policy_that_stops_the_process_leaves_dying_askers_administrators_and_a_disabled_killer_alone()
    {
        using var world = new World(configure: static options => options with
        {
            PanicOnOom = OomPanic.Always,
            OomReserveBytes = 100,
        });
        (MemoryGroup tenant, MemoryMember hog) = Full(world);
        int stopped = 0;
        world.Root.Panicking = _ => stopped++;
        MemoryMember leaving = tenant.CreateMember("leaving");
        leaving.BeginExit();

        Assert.True(world.Charge(leaving, 50).Granted);
        Assert.Equal((0, true, false), (stopped, leaving.Space.IsVictim, hog.IsKilled));
        leaving.Dispose();
        Assert.True(world.Await(world.Root.OomKiller.DisableAsync()));
        FullGroup.Ask(world, tenant, 100).Failed<MemoryLimitExceededException>();
        Assert.Equal(0, stopped);
        world.Root.OomKiller.Enable();

        Assert.Equal("root/tenant/hog", world.Await(world.Root.OomKiller.KillNowAsync())?.VictimPath);
        Assert.Equal(0, stopped);
    }

    [Fact]
    [Requirement("M21")]
    public void Dying_member_whose_space_was_given_up_is_not_waited_for_again()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember stuck = Filled(tenant, "stuck", 400);
        MemoryMember sibling = Filled(tenant, "sibling", 600);
        MemoryMember immortal = tenant.CreateMember("immortal", new MemoryMemberOptions
        {
            Space = stuck.Space,
            OomScoreAdjustment = MemoryMember.NeverKill,
        });
        stuck.BeginExit();
        immortal.BeginExit();
        OomReaper.Hide(world.Root, stuck.Space, OomOutcome.NotReapable);

        world.Charge(stuck, 100);

        Assert.True(sibling.IsKilled);
        Assert.False(stuck.Space.IsVictim);
    }

    [Fact]
    [Requirement("M27")]
    public void Kill_counts_then_sends_then_grants_then_reaches_the_sharers_and_queues_the_reaper_last()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup session = tenant.CreateGroup("session");
        MemoryMember hog = Filled(session, "hog", 1000);
        MemoryMember sharer = world.Root.CreateGroup("elsewhere").CreateMember(
            "sharer", new MemoryMemberOptions { Space = hog.Space });
        var seen = new List<(long Counted, bool Sent, bool Reserve, bool SharerSent, bool Queued)>();
        void Look() => seen.Add((
            session.Events.Local.OomKill, hog.IsKilled, hog.MayUseReserve, sharer.IsKilled,
            hog.Space.IsQueuedForReaping));
        world.Once(ProbePoint.VictimChosen, Look);
        world.Once(ProbePoint.KillSent, Look);
        world.Once(ProbePoint.KillReturned, Look);

        FullGroup.Ask(world, tenant, 100);

        Assert.Equal(
            [
                (0, false, false, false, false), (1, true, false, false, false), (1, true, true, true, true),
            ],
            seen);
        Assert.Equal((0, 1), (tenant.Events.Local.OomKill, tenant.Events.Current.OomKill));
        Assert.Equal(1, world.Root.OomKiller.VictimsInFlight);
    }

    [Fact]
    [Requirement("M27")]
    public void Candidate_that_has_exited_in_the_meantime_is_passed_over_and_not_counted()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember gone = Filled(tenant, "gone", 1000);
        var request = new OomRequest(world.Root, null, 0, ChargeFlags.None, TimeSpan.Zero);
        var kill = new OomKill(request, tenant, "a test");
        var candidate = new OomCandidate(gone, 1000, "a test");
        gone.Dispose();

        Assert.False(kill.Execute(candidate));

        Assert.Equal(0, tenant.Events.Current.OomKill);
        Assert.Equal(0, world.Root.OomKiller.VictimsInFlight);
        Assert.False(gone.Space.IsVictim);
    }

    [Fact]
    [Requirement("S003-10")]
    public void Member_that_is_let_finish_is_not_paused_any_more()
    {
        using var world = new World();
        (_, MemoryMember hog) = Full(world);
        hog.BeginExit();
        world.Charge(hog, 100);
        Assert.True(hog.Space.IsVictim && !hog.IsKilled);

        hog.Freeze();

        Assert.False(hog.IsFrozen);
    }

    [Fact]
    [Requirement("M33")]
    public void Victims_exit_hides_its_space_only_when_its_bytes_are_back()
    {
        Action? atFirstWake = null;
        using var world = new World(configure: options => options with
        {
            PostHook = item =>
            {
                Interlocked.Exchange(ref atFirstWake, null)?.Invoke();
                options.PostHook!(item);
            },
        });
        (MemoryGroup tenant, MemoryMember hog) = Full(world);
        Pending asking = FullGroup.Ask(world, tenant, 100);
        (bool Hidden, long Usage)? whenBytesCameBack = null;
        atFirstWake = () => whenBytesCameBack = (hog.Space.IsHidden, tenant.Usage);

        hog.Dispose();
        Assert.Equal((false, 0), whenBytesCameBack);
        Assert.True(hog.Space.IsHidden);
        world.Run();

        Assert.True(asking.Granted);
    }

    [Fact]
    [Requirement("T75")]
    [Requirement("M31")]
    public void Victim_hit_by_every_path_that_kills_is_reaped_once_and_its_bytes_come_back_once()
    {
        using var world = new World(5000);
        MemoryGroup parent = world.Root.CreateGroup(
            "parent", new MemoryGroupOptions { Max = 2000, KillWholeGroup = true });
        MemoryGroup child = parent.CreateGroup("child", new MemoryGroupOptions { Max = 1000 });
        MemoryMember victim = child.CreateMember("victim");
        var memory = new CountedMemory(victim.Lease(1000));
        victim.Space.AddReapable(memory);
        MemoryMember other = Filled(parent, "other", 1000);

        // The OOM of its group; the administrator, twice; a dying charge of its own; its group's kill; a request.
        Pending first = world.Charge(child.CreateMember("asker"), 100);
        Assert.True(victim.Space.IsVictim);
        Assert.NotNull(world.Await(world.Root.OomKiller.KillNowAsync()));
        Assert.True(other.IsKilled);
        Assert.Null(world.Await(world.Root.OomKiller.KillNowAsync()));
        world.Charge(victim, 500).Failed<OomKilledException>();
        child.Kill("asked for");
        first.Failed<OomKilledException>();
        world.Charge(world.Root.CreateMember("at root"), 3500);

        world.Advance(TimeSpan.FromSeconds(5));

        Assert.Equal(1, memory.Freed);
        Assert.Equal(0, child.Usage);

        // The victim; with the parent's other member died the child's asker.
        Assert.Equal((2, 3), (child.Events.Current.OomKill, parent.Events.Current.OomKill));
        victim.Dispose();
        Assert.Equal((0, 0), (child.Usage, world.Root.BooksErrorCount));
    }

    private static (MemoryGroup Tenant, MemoryMember Hog) Full(World world)
    {
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        return (tenant, FullGroup.Fill(world, tenant));
    }

    private static MemoryMember Filled(MemoryGroup group, string name, long bytes, int adjustment = 0)
    {
        MemoryMember member = group.CreateMember(name, new MemoryMemberOptions { OomScoreAdjustment = adjustment });
        Assert.True(member.TryCharge(bytes));
        return member;
    }

    private sealed class CountedMemory(MemoryCharge charge) : ReapableMemory(charge)
    {
        public int Freed { get; private set; }

        protected internal override bool TryFree()
        {
            Freed++;
            return true;
        }
    }
}
