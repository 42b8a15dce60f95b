// Allocation budgets: when they trip, whom they kill, what the report says, and what keeps them from it; and threads
// that never come back from their work.
namespace MemoryGroups.Tests;

public sealed class AllocationBudgetTests
{
    private const int Piece = 16 * 1024;

    [Fact]
    public void Exceeded_budget_kills_its_member_and_says_so()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember member = tenant.CreateMember("member");
        MemoryMember bystander = tenant.CreateMember("bystander");
        Assert.True(world.Charge(bystander, 1 << 20).Granted);
        member.AllocationBudget = 100 * Piece;

        Spend(member, 90);
        world.Run();
        Assert.False(member.IsKilled);
        Spend(member, 20);
        world.Run();

        Assert.True(member.IsKilled);
        Assert.True(member.Killed.IsCancellationRequested);
        Assert.False(bystander.IsKilled);
        Assert.Equal("it allocated 1.7M, more than its AllocationBudget of 1.5M", member.KillReason);
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal($"an allocation budget was exceeded; {member.KillReason}", report.Reason);
        Assert.Equal((member.Path, tenant.Path), (report.VictimPath, report.RefusingGroup));
        Assert.Equal((1, 1), (tenant.Events.Local.BudgetKill, tenant.Events.Local.OomKill));
        Assert.Throws<OomKilledException>(member.Enter);
        member.Dispose();
    }

    [Fact]
    public void Budget_lowered_below_what_was_allocated_trips_at_once()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("member");
        Spend(member, 20);

        member.AllocationBudget = 10 * Piece;
        world.Run();

        Assert.True(member.IsKilled);
        member.Dispose();
    }

    [Fact]
    public void Budget_raised_before_the_kill_spares_the_member_until_it_is_spent()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        member.AllocationBudget = 10 * Piece;
        Spend(member, 20);
        member.AllocationBudget = 40 * Piece;
        world.Run();
        Assert.False(member.IsKilled);

        Spend(member, 40);
        world.Run();

        Assert.True(member.IsKilled);
        Assert.Equal(40 * Piece, member.AllocationBudget);
        member.Dispose();
    }

    [Fact]
    public void Member_without_a_budget_any_more_is_spared()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        Assert.Null(member.AllocationBudget);
        member.AllocationBudget = 0;
        member.AllocationBudget = null;
        Spend(member, 20);
        world.Run();

        Assert.False(member.IsKilled);
        Assert.Null(member.AllocationBudget);
    }

    [Fact]
    public void Member_whose_budget_is_raised_to_what_it_has_allocated_is_spared()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        member.AllocationBudget = 10 * Piece;
        Spend(member, 20);
        member.AllocationBudget = member.AllocatedBytes;
        world.Run();
        Assert.False(member.IsKilled);

        member.AllocationBudget--;
        world.Run();

        Assert.True(member.IsKilled);
    }

    [Fact]
    public void Member_that_was_killed_before_its_budget_is_looked_at_is_killed_once()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember member = tenant.CreateMember("member");
        member.AllocationBudget = 10 * Piece;
        Spend(member, 20);
        member.ReceiveKill("by hand");

        world.Run();

        Assert.Equal("by hand", member.KillReason);
        Assert.Empty(world.Root.Reports.Latest());
        Assert.Equal((0, 0), (tenant.Events.Local.BudgetKill, tenant.Events.Local.OomKill));
    }

    [Fact]
    public void Disabled_killer_spares_the_member_until_it_is_enabled_and_more_is_allocated()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        Assert.True(world.Await(world.Root.OomKiller.DisableAsync()));
        member.AllocationBudget = 10 * Piece;
        Spend(member, 20);
        world.Run();
        Assert.False(member.IsKilled);

        world.Root.OomKiller.Enable();
        Spend(member, 1);
        world.Run();

        Assert.True(member.IsKilled);
        member.Dispose();
    }

    [Fact]
    public void Member_that_is_never_killed_is_left_alone()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember(
            "member", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        member.AllocationBudget = 10 * Piece;
        Spend(member, 20);
        world.Run();

        Assert.False(member.IsKilled);
        Assert.Equal(0, world.Root.Events.Local.BudgetKill);
    }

    [Fact]
    public void Group_that_dies_as_a_whole_dies_with_its_member()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { KillWholeGroup = true });
        MemoryMember member = tenant.CreateMember("member");
        MemoryMember other = tenant.CreateMember("other");
        member.AllocationBudget = 10 * Piece;
        Spend(member, 20);
        world.Run();

        Assert.True(member.IsKilled);
        Assert.True(other.IsKilled);
        member.Dispose();
        other.Dispose();
    }

    // Its exit adds its last bytes, which are too many: the kill is asked for, and comes when it has gone.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Member_that_exits_over_its_budget_takes_nobody_with_it(bool isLoweredAfterwards)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { KillWholeGroup = true });
        var options = new MemoryMemberOptions { Space = new MemorySpace() };
        MemoryMember member = tenant.CreateMember("member", options);
        MemoryMember sharer = tenant.CreateMember("sharer", options);
        MemoryMember other = tenant.CreateMember("other");
        member.AllocationBudget = isLoweredAfterwards ? 40 * Piece : 10 * Piece;
        using (member.Enter())
        {
            MeteringTests.Allocate(20);
            member.Dispose();
        }

        member.AllocationBudget = 10 * Piece;
        world.Run();

        Assert.False(sharer.IsKilled || other.IsKilled, sharer.KillReason);
        Assert.Equal((0, 0), (tenant.Events.Local.OomKill, tenant.Events.Local.BudgetKill));
    }

    // The kill has seen the raised budget, and gives the kill lock to who waits for it, when the budget falls again.
    [Fact]
    public void Budget_lowered_while_a_kill_comes_to_nothing_trips_at_once()
    {
        Action? onPost = null;
        using var world = new World(configure: options => options with
        {
            PostHook = item =>
            {
                onPost?.Invoke();
                options.PostHook!(item);
            },
        });
        MemoryMember member = world.Root.CreateMember("member");
        member.AllocationBudget = 10 * Piece;
        Assert.True(world.Root.KillLock.TryAcquire());
        Spend(member, 20);
        world.Run();
        Task<OomReport?> next = world.Root.OomKiller.KillNowAsync().AsTask();
        member.AllocationBudget = null;
        world.Root.KillLock.Release();
        onPost = () =>
        {
            onPost = null;
            member.AllocationBudget = 10 * Piece;
        };

        world.Run();

        Assert.Null(onPost);
        Assert.True(next.IsCompleted);
        Assert.True(member.IsKilled);
        member.Dispose();
    }

    [Fact]
    public void Member_that_moves_before_its_kill_is_decided_is_killed_where_it_is_then()
    {
        using var world = new World();
        MemoryGroup from = world.Root.CreateGroup("from");
        MemoryGroup to = world.Root.CreateGroup("to");
        MemoryMember member = from.CreateMember("member");
        member.AllocationBudget = 10 * Piece;
        Assert.True(world.Root.KillLock.TryAcquire());
        Spend(member, 20);
        world.Run();
        Assert.True(member.MoveTo(to));
        world.Root.KillLock.Release();

        world.Run();

        Assert.True(member.IsKilled);
        Assert.Equal((0, 1), (from.Events.Local.BudgetKill, to.Events.Local.BudgetKill));
        member.Dispose();
    }

    [Fact]
    public void Budget_that_is_negative_is_an_error_and_changes_nothing()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        member.AllocationBudget = 5;

        ArgumentOutOfRangeException error = Assert.Throws<ArgumentOutOfRangeException>(
            () => member.AllocationBudget = -1);

        Assert.Contains("0 bytes or more, or null", error.Message, StringComparison.Ordinal);
        Assert.Equal(5, member.AllocationBudget);
    }

    [Fact]
    public void Events_of_a_thread_count_as_an_estimate_until_its_stretch_ends()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        DateTime now = TimeProvider.System.GetUtcNow().UtcDateTime;
        const long Told = 1L << 40;
        using (member.Enter())
        {
            long id = MeteredThread.SystemIdOfThis;
            Assert.NotEqual(0, id);
            MeteredThread.LookAtAll(now);
            Assert.True(MeteredThread.LookAtAll(now).Long);

            // Too early: of a stretch before this one.
            Assert.Null(MeteredThread.Credit(id, now.AddHours(-1), Told));
            Assert.Null(MeteredThread.Credit(-1, now.AddHours(1), Told));
            Assert.Equal(0, MeteredThread.EstimateOf(member));
            Assert.Same(member, MeteredThread.Credit(id, now.AddHours(1), Told));
            Assert.Equal(Told, MeteredThread.EstimateOf(member));

            // Who reads it on the thread itself knows exactly.
            MeteringTests.Allocate(10);
            MeteringTests.AssertPieces(10, member);
            Assert.Null(MeteredThread.Credit(id, now.AddHours(1), Told));
        }

        MeteringTests.AssertPieces(10, member);
    }

    [Fact]
    public void Events_of_a_number_that_the_system_gave_out_again_are_about_the_new_thread()
    {
        using var world = new World();
        MemoryMember before = world.Root.CreateMember("before");
        MemoryMember after = world.Root.CreateMember("after");
        DateTime now = TimeProvider.System.GetUtcNow().UtcDateTime;
        const long Number = long.MaxValue;

        // It ends without leaving its scope.
        MeteringTests.OnThread(flows: false, () =>
        {
            before.Enter();
            MeteredThread.NoteSystemId(Number);
        });
        MeteringTests.OnThread(flows: false, () =>
        {
            using (after.Enter())
            {
                MeteredThread.NoteSystemId(Number);
                MeteredThread.LookAtAll(now);
                Assert.Same(after, MeteredThread.Credit(Number, now.AddHours(1), 1));
            }
        });
    }

    [Fact]
    public void Events_are_listened_to_only_while_a_thread_stays_away_and_the_process_allocates()
    {
        var rule = new ListeningRule();
        long total = 0;
        Look(isLong: false, ListeningRule.InEarnest, listens: false);
        Look(isLong: true, ListeningRule.InEarnest - 1, listens: false);
        Look(isLong: true, ListeningRule.InEarnest, listens: true);

        // Somebody comes back and stays away again: nothing is switched.
        for (int i = 1; i < ListeningRule.LooksUntilOff; i++)
        {
            Look(isLong: false, ListeningRule.InEarnest, listens: true);
        }

        Look(isLong: true, ListeningRule.InEarnest, listens: true);
        for (int i = 1; i < ListeningRule.LooksUntilOff; i++)
        {
            Look(isLong: true, 0, listens: true);
        }

        Look(isLong: true, 0, listens: false);

        void Look(bool isLong, long allocated, bool listens)
        {
            total += allocated;
            rule.Look(isLong, total);
            Assert.Equal(listens, rule.IsListening);
        }
    }

    [Fact]
    public void Loop_that_never_comes_back_is_seen_and_killed()
    {
        using var root = new MemoryRoot();
        using MemoryMember member = root.CreateMember("member");
        using MemoryMember idle = root.CreateMember("idle");
        member.AllocationBudget = 64L << 20;
        long pieces = 0;
        long start = TimeProvider.System.GetTimestamp();
        using (member.Enter())
        {
            MeteringTests.OnThread(flows: true, () =>
            {
                while (!member.IsKilled && TimeProvider.System.GetElapsedTime(start) < TimeSpan.FromSeconds(60))
                {
                    MeteringTests.NewPiece();
                    pieces++;
                }
            });
        }

        Assert.True(member.IsKilled);
        Assert.Contains("AllocationBudget", member.KillReason, StringComparison.Ordinal);

        // The estimate has given way to what was really allocated.
        Assert.InRange(member.AllocatedBytes, pieces * Piece, (pieces * Piece * 102 / 100) + Piece);
        Assert.Equal(0, idle.AllocatedBytes);
    }

    private static void Spend(MemoryMember member, int pieces)
    {
        using (member.Enter())
        {
            MeteringTests.Allocate(pieces);
        }
    }
}
