// A member's life: charging, being killed, paused, leaving.
namespace MemoryGroups.Tests;

public sealed class MemoryMemberTests
{
    [Fact]
    public void Killed_is_cancelled_on_a_work_item_of_its_own_and_under_no_lock()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        bool? guarded = null;
        using CancellationTokenRegistration registered =
            member.Killed.Register(() => guarded = world.Root.Guard.IsHeldByCurrentThread);

        member.Kill("asked for");
        Assert.Null(guarded);
        world.Run();

        Assert.False(guarded);
    }

    [Fact]
    public void Registration_on_killed_that_throws_harms_nobody()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        bool second = false;
        using CancellationTokenRegistration good = member.Killed.Register(() => second = true);
        using CancellationTokenRegistration bad = member.Killed.Register(
            static () => throw new InvalidOperationException("broken"));

        member.Kill("asked for");
        world.Run();

        Assert.True(second);
    }

    [Fact]
    public void Work_that_starts_after_the_kill_sees_it_at_once()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");

        member.Kill("asked for");

        Assert.True(member.Killed.IsCancellationRequested);
        Assert.True(member.IsKilled);
    }

    [Fact]
    public void Second_kill_changes_nothing_and_the_first_reason_stays()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");

        member.Kill("first");
        member.Kill("second");

        Assert.Equal("first", member.KillReason);
        Assert.Null(member.KillReport);
        Assert.Throws<ArgumentException>(() => member.Kill(" "));
    }

    [Fact]
    public void Kill_of_a_member_that_has_exited_or_is_never_killed_does_nothing()
    {
        using var world = new World();
        MemoryMember gone = world.Root.CreateMember("gone");
        MemoryMember immune = world.Root.CreateMember(
            "immune", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        gone.Dispose();

        gone.Kill("late");
        immune.Kill("asked for");

        Assert.False(gone.IsKilled || immune.IsKilled);
        Assert.False(immune.Killed.IsCancellationRequested);
    }

    [Fact]
    public void Kill_by_request_does_not_kill_sharers_and_grants_no_reserve()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        MemoryMember sharer = world.Root.CreateMember("sharer", new MemoryMemberOptions { Space = member.Space });

        member.Kill("asked for");

        Assert.False(sharer.IsKilled);
        Assert.False(member.Space.MayUseReserve || member.Space.IsVictim);
    }

    [Fact]
    public void Exception_of_a_victim_names_it_its_reason_and_its_report()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 0 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = tenant.CreateMember("hog");
        hog.Charge(1000);
        world.Charge(tenant.CreateMember("asker"), 100);

        var error = Assert.Throws<OomKilledException>(() => hog.Charge(1));

        Assert.Equal("root/tenant/hog", error.MemberPath);
        Assert.Equal("root/tenant/hog", error.Report!.VictimPath);
        Assert.Contains("root/tenant/hog", error.Message, StringComparison.Ordinal);
        OomKilledException around = error.WithInner(new InvalidOperationException("engine"));
        Assert.Equal((error.Message, error.MemberPath, error.Report), (
            around.Message, around.MemberPath, around.Report));
        Assert.Equal("engine", around.InnerException!.Message);
    }

    [Fact]
    public void Frozen_member_waits_until_it_is_thawed()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        Assert.True(member.WaitWhileFrozenAsync().AsTask().IsCompleted);
        member.Freeze();
        member.Freeze();
        Task waiting = member.WaitWhileFrozenAsync().AsTask();
        Assert.True(member.IsFrozen);
        Assert.False(waiting.IsCompleted);

        member.Thaw();

        Assert.True(waiting.IsCompletedSuccessfully);
        Assert.False(member.IsFrozen);
        member.Thaw();
    }

    [Fact]
    public async Task Frozen_wait_can_be_given_up_and_the_member_stays_frozen()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        member.Freeze();
        using var cancel = new CancellationTokenSource();
        Task waiting = member.WaitWhileFrozenAsync(cancel.Token).AsTask();

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Assert.True(member.IsFrozen);
    }

    [Theory]
    [InlineData("kill")]
    [InlineData("exit")]
    [Requirement("B25")]
    public void Dead_member_is_not_frozen_and_cannot_be(string end)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        member.Freeze();
        Task waiting = member.WaitWhileFrozenAsync().AsTask();

        if (end == "kill")
        {
            member.Kill("asked for");
        }
        else
        {
            member.Dispose();
        }

        Assert.True(waiting.IsCompletedSuccessfully);
        member.Freeze();
        Assert.False(member.IsFrozen);
        Assert.True(member.WaitWhileFrozenAsync().AsTask().IsCompleted);
    }

    [Fact]
    public void Exit_returns_what_is_left_ends_what_waits_and_later_uncharges_are_harmless()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        MemoryMember member = tenant.CreateMember("member");
        MemoryCharge lease = member.Lease(400);
        member.Charge(600);
        Pending waiting = world.Charge(member, 100);
        Assert.True(waiting.Sleeps);

        member.Dispose();
        world.Run();

        waiting.Failed<ObjectDisposedException>();
        Assert.Equal((0, 1000), (tenant.Usage, world.Root.BytesLeftAtExit));
        lease.Dispose();
        member.Uncharge(600);
        member.Dispose();
        Assert.Equal((0, 0, 1000), (world.Root.Usage, world.Root.BooksErrorCount, world.Root.BytesLeftAtExit));
        Assert.Empty(tenant.Members);
        Assert.Throws<ObjectDisposedException>(() => member.Charge(1));
        Assert.Throws<ObjectDisposedException>(() => member.TryCharge(1));
    }

    [Fact]
    public void Exit_of_a_member_that_holds_nothing_ends_what_it_waits_for()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        tenant.CreateMember("other").Charge(1000);
        MemoryMember member = tenant.CreateMember("member");
        Pending waiting = world.Charge(member, 100);

        member.Dispose();
        world.Run();

        waiting.Failed<ObjectDisposedException>();
        world.AssertQuiet(leftAtRoot: 1000);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(long.MinValue)]
    [InlineData((1L << 60) + 1)]
    public void Charge_out_of_range_is_refused_and_says_the_range(long bytes)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");

        Assert.Throws<ArgumentOutOfRangeException>(() => member.TryCharge(bytes));
        Assert.Throws<ArgumentOutOfRangeException>(() => member.Charge(bytes));
        Assert.Throws<ArgumentOutOfRangeException>(() => member.TryLease(bytes));
        Assert.Throws<ArgumentNullException>(() => member.TryMoveTo(null!, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => world.Root.CreateMember("lease").Lease(bytes));
        var error = world.Begin(member, bytes).Failed<ArgumentOutOfRangeException>();

        Assert.Contains($"{1L << 60}", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, world.Root.Usage);
    }

    [Theory]
    [InlineData(-1001)]
    [InlineData(1001)]
    public void Adjustment_out_of_range_is_refused_at_birth_and_later(int adjustment)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");

        Assert.Throws<ArgumentOutOfRangeException>(() => member.OomScoreAdjustment = adjustment);
        Assert.Throws<ArgumentOutOfRangeException>(
            () => world.Root.CreateMember("other", new MemoryMemberOptions { OomScoreAdjustment = adjustment }));

        Assert.Equal(0, member.OomScoreAdjustment);
        member.OomScoreAdjustment = Math.Sign(adjustment) * 1000;
        Assert.Equal(Math.Sign(adjustment) * 1000, member.OomScoreAdjustment);
    }

    [Fact]
    [Requirement("S001-4")]
    public void Two_dumps_at_the_same_time_end_separately()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        IDisposable first = member.BeginDump();
        using IDisposable second = member.BeginDump();

        first.Dispose();
        first.Dispose();

        Assert.True(member.IsDumping);
        second.Dispose();
        Assert.False(member.IsDumping);
    }

    [Fact]
    [Requirement("M21")]
    public void Member_that_is_dumped_is_not_about_to_free_its_memory_and_another_one_dies()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember sibling = tenant.CreateMember("sibling");
        sibling.Charge(800);
        MemoryMember asker = tenant.CreateMember("asker");
        asker.Charge(200);
        asker.BeginExit();
        using IDisposable dump = asker.BeginDump();

        world.Charge(asker, 100);

        Assert.True(sibling.IsKilled);
        Assert.False(asker.Space.IsVictim);
    }

    [Fact]
    [Requirement("M21")]
    public void Leaving_member_with_a_sharer_that_stays_is_not_about_to_free_its_memory()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember sibling = tenant.CreateMember("sibling");
        sibling.Charge(900);
        MemoryMember asker = tenant.CreateMember("asker");
        asker.Charge(100);
        tenant.CreateMember("stays", new MemoryMemberOptions { Space = asker.Space });
        asker.BeginExit();

        world.Charge(asker, 100);

        Assert.True(sibling.IsKilled);
        Assert.False(asker.Space.IsVictim);
    }

    [Fact]
    [Requirement("S001-4")]
    public void Victim_that_is_dumped_gets_nothing_from_the_reserve_until_the_dump_is_over()
    {
        using var world = new World(configure: options => options with { OomReserveBytes = 500 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember victim = tenant.CreateMember("victim");
        victim.Charge(1000);
        world.Charge(tenant.CreateMember("asker"), 100);
        Assert.True(victim.Space.IsVictim);

        using (victim.BeginDump())
        {
            world.Charge(victim, 100).Failed<OomKilledException>();
            Assert.Equal(0, world.Root.OomReserveUsed);
        }

        Assert.True(world.Charge(victim, 100).Granted);
        Assert.Equal(100, world.Root.OomReserveUsed);
        victim.Dispose();
    }

    [Fact]
    public void Charge_of_a_member_that_has_exited_leaves_no_trace_in_peaks_and_refusals()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = tenant.CreateMember("member");
        member.Dispose();

        Assert.Throws<ObjectDisposedException>(() => member.Charge(600));
        Assert.Throws<ObjectDisposedException>(() => member.TryCharge(5000));

        Assert.Equal(0, tenant.PeakUsage);
        Assert.Equal(0, tenant.RefusalCount);
    }

    [Fact]
    public void Who_outlives_the_victim_it_shares_its_memory_with_has_no_report_of_a_kill()
    {
        using var world = new World(1000);
        MemoryMember victim = world.Root.CreateMember("victim");
        MemoryMember spared = world.Root.CreateMember("spared", new MemoryMemberOptions
        {
            Space = victim.Space,
            OomScoreAdjustment = MemoryMember.NeverKill,
        });
        victim.Charge(1000);

        world.Charge(world.Root.CreateMember("asker"), 100);

        Assert.Equal((true, false), (victim.IsKilled, spared.IsKilled));
        Assert.NotNull(victim.KillReport);
        Assert.Null(spared.KillReport);
        victim.Dispose();
        spared.Dispose();
    }

    [Fact]
    public void Token_that_is_first_asked_for_after_the_kill_is_cancelled()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");

        member.Kill("test");

        Assert.True(member.Killed.IsCancellationRequested);
    }
}
