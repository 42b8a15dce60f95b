// Reaping on request: of whom, when, with which answer, and that nothing is taken twice.
namespace MemoryGroups.Tests;

public sealed class RequestedReapTests
{
    [Fact]
    [Requirement("M34")]
    [Requirement("T76")]
    public void Reap_answers_for_alive_dying_and_gone_and_for_a_bad_argument()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("member");
        var memory = new FakeMemory(member.Lease(700));
        member.Space.AddReapable(memory);
        member.Charge(300);

        foreach (TimeSpan bad in (TimeSpan[])[TimeSpan.FromTicks(-1), TimeSpan.FromDays(50)])
        {
            Assert.Throws<ArgumentOutOfRangeException>((Action)(() => _ = member.ReapAsync(bad).AsTask()));
        }

        var alive = Assert.Throws<InvalidOperationException>(() => world.Await(member.ReapAsync()));
        Assert.Contains("root/tenant/member", alive.Message, StringComparison.Ordinal);
        Assert.Equal((0, false), (memory.Freed, member.Space.IsUnstable));
        member.Kill("test");

        Assert.Equal(ReapResult.Reaped, world.Await(member.ReapAsync()));
        Assert.Equal((1, 300), (memory.Freed, member.Usage));
        Assert.True(member.Space.IsUnstable && member.Space.IsHidden);
        Assert.Equal(ReapResult.Reaped, world.Await(member.ReapAsync(TimeSpan.FromSeconds(5))));
        Assert.Equal(1, memory.Freed);
        member.Dispose();
        Assert.Equal(ReapResult.Gone, world.Await(member.ReapAsync()));
        world.AssertQuiet();
    }

    [Fact]
    [Requirement("M34")]
    public void Finishing_member_is_reaped_only_when_all_who_share_its_memory_are_dying()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        MemoryMember sharer = world.Root.CreateMember("sharer", new MemoryMemberOptions { Space = member.Space });
        member.BeginExit();

        Assert.Throws<InvalidOperationException>(() => world.Await(member.ReapAsync()));
        sharer.Kill("test");

        Assert.Equal(ReapResult.Reaped, world.Await(member.ReapAsync()));
        Assert.Equal((false, true), (member.IsKilled, sharer.IsKilled));
    }

    [Fact]
    [Requirement("M34")]
    [Requirement("T76")]
    public void Victim_is_reaped_on_request_without_delay_and_the_reaper_finds_nothing_to_do()
    {
        using var world = new World();
        (MemoryMember hog, Pending asking, FakeMemory memory) = Killed(world);

        Assert.Equal(ReapResult.Reaped, world.Await(hog.ReapAsync()));

        Assert.Equal((1, 300), (memory.Freed, hog.Usage));
        Assert.True(asking.Granted);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal((OomOutcome.Reaped, 700, 0.0), (report.Outcome, report.ReapedBytes, report.TookMilliseconds));
        world.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(1, memory.Freed);
        Assert.Single(world.Trace, ProbePoint.BeforeReap);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("M34")]
    public void Memory_that_is_not_freed_makes_the_answer_partial_and_is_not_asked_again(bool throws)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        var stays = new FakeMemory(
            member.Lease(10), () => throws ? throw new InvalidOperationException("no") : false);
        var goes = new FakeMemory(member.Lease(10));
        member.Space.AddReapable(stays);
        member.Space.AddReapable(goes);
        member.Kill("test");

        Assert.Equal(ReapResult.Partial, world.Await(member.ReapAsync()));
        Assert.Equal(10, member.Usage);
        Assert.Equal(ReapResult.Partial, world.Await(member.ReapAsync()));
        Assert.Equal((1, 1), (stays.Freed, goes.Freed));
        Assert.True(member.Space.IsHidden);
    }

    [Fact]
    [Requirement("M34")]
    public void Pinned_space_is_tried_and_never_waited_for_longer_than_asked()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        var memory = new FakeMemory(member.Lease(10));
        member.Space.AddReapable(memory);
        member.Kill("test");
        SpacePin pin = member.Space.Pin();

        Assert.Equal(ReapResult.Partial, world.Await(member.ReapAsync()));
        Task<ReapResult> late = member.ReapAsync(TimeSpan.FromMilliseconds(150)).AsTask();
        world.Advance(TimeSpan.FromMilliseconds(149));
        Assert.False(late.IsCompleted);
        world.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(ReapResult.Partial, world.Await(new ValueTask<ReapResult>(late)));
        Task<ReapResult> patient = member.ReapAsync(TimeSpan.FromSeconds(1)).AsTask();
        world.Advance(TimeSpan.FromMilliseconds(250));
        pin.Dispose();
        Assert.Equal(0, memory.Freed);
        world.Advance(TimeSpan.FromMilliseconds(50));

        Assert.Equal(ReapResult.Reaped, world.Await(new ValueTask<ReapResult>(patient)));
        Assert.Equal((1, 0), (memory.Freed, world.Time.ArmedTimers));
    }

    [Fact]
    [Requirement("M34")]
    public void Reap_that_waits_can_be_interrupted_and_ends_when_the_member_exits()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        member.Kill("test");
        SpacePin pin = member.Space.Pin();
        using var cancel = new CancellationTokenSource();
        Task<ReapResult> interrupted = member.ReapAsync(TimeSpan.FromSeconds(9), cancel.Token).AsTask();
        Task<ReapResult> gone = member.ReapAsync(TimeSpan.FromSeconds(9)).AsTask();
        world.Run();

        cancel.Cancel();
        world.Run();
        Assert.True(interrupted.IsCanceled);
        member.Dispose();
        world.Advance(TimeSpan.FromMilliseconds(100));

        Assert.Equal(ReapResult.Gone, world.Await(new ValueTask<ReapResult>(gone)));
        Assert.False(member.Space.IsUnstable);
        pin.Dispose();
    }

    [Fact]
    [Requirement("M34")]
    public void Memory_that_hangs_while_it_is_freed_is_left_behind_after_the_deadline()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        Task<ReapResult>? second = null;
        var memory = new FakeMemory(member.Lease(10), () =>
        {
            // All this happens while the call has not returned.
            second = member.ReapAsync().AsTask();
            world.Advance(TimeSpan.FromSeconds(2));
            return true;
        });
        member.Space.AddReapable(memory);
        member.Kill("test");

        Assert.Equal(ReapResult.Partial, world.Await(member.ReapAsync()));

        Assert.Equal(ReapResult.Partial, world.Await(new ValueTask<ReapResult>(second!)));
        Assert.True(member.Space.IsHidden);
        Assert.Equal(0, member.Usage);
        Assert.Equal(ReapResult.Reaped, world.Await(member.ReapAsync()));
    }

    // It is hidden from the killer, so nobody may start to live in it.
    [Fact]
    [Requirement("M22")]
    public void Member_that_joins_a_space_reaped_on_request_is_killed_at_birth()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        member.Kill("test");
        Assert.Equal(ReapResult.Reaped, world.Await(member.ReapAsync()));

        Assert.True(world.Root.CreateMember("late", new MemoryMemberOptions { Space = member.Space }).IsKilled);
    }

    // Between the look at who lives in it and the first memory that goes.
    [Fact]
    [Requirement("M22")]
    public void Member_that_joins_a_space_in_the_moment_in_which_it_is_reaped_is_killed()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        member.Kill("test");
        MemoryMember? late = null;
        world.Once(
            ProbePoint.BeforeReap,
            () => late = world.Root.CreateMember("late", new MemoryMemberOptions { Space = member.Space }));

        Assert.Equal(ReapResult.Reaped, world.Await(member.ReapAsync()));

        Assert.True(late!.IsKilled);
        Assert.Equal("it joined a space that was killed", late.KillReason);
        Assert.Throws<OomKilledException>(() => late.Allocate(10));
    }

    // Who gave up hears so, whatever became of the memory.
    [Fact]
    public void Reap_that_is_cancelled_while_it_frees_is_cancelled_and_has_freed()
    {
        using var world = new World();
        using var source = new CancellationTokenSource();
        MemoryMember member = world.Root.CreateMember("member");
        member.Space.AddReapable(new FakeMemory(member.Lease(10), () =>
        {
            source.Cancel();
            return true;
        }));
        member.Kill("test");

        Task<ReapResult> reaping = member.ReapAsync(default, source.Token).AsTask();
        world.Run();

        Assert.True(reaping.IsCanceled);
        Assert.Equal(0, member.Usage);
    }

    private static (MemoryMember Hog, Pending Asking, FakeMemory Memory) Killed(World world)
    {
        MemoryGroup group = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = group.CreateMember("hog");
        var memory = new FakeMemory(hog.Lease(700));
        hog.Space.AddReapable(memory);
        hog.Charge(300);
        Pending asking = world.Charge(group.CreateMember("asker"), 200);
        Assert.True(hog.Space.IsVictim);
        return (hog, asking, memory);
    }

    private sealed class FakeMemory(MemoryCharge charge, Func<bool>? free = null) : ReapableMemory(charge)
    {
        public int Freed { get; private set; }

        protected internal override bool TryFree()
        {
            Freed++;
            return free is null || free();
        }
    }
}
