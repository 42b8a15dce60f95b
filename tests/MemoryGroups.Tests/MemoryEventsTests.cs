// Event counters: at which groups each event counts, and how a watcher sees them change.
namespace MemoryGroups.Tests;

public sealed class MemoryEventsTests
{
    // Only a hang reaches it.
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(60);

    [Fact]
    [Requirement("T63")]
    [Requirement("M47")]
    public void Oom_kill_in_a_leaf_counts_locally_there_and_once_at_each_level_above_but_the_root()
    {
        using var world = new World();
        MemoryGroup[] levels = Levels(world, limitedAt: 3);
        MemoryMember hog = FullGroup.Fill(world, levels[3]);
        hog.OomScoreAdjustment = 0;

        FullGroup.Ask(world, levels[3], 10);

        Assert.True(hog.IsKilled);
        Assert.All(
            levels, static level => Assert.Equal((1, 1), (level.Events.Current.Oom, level.Events.Current.OomKill)));
        Assert.All(levels[..3], static level => Assert.Equal(default, level.Events.Local));
        Assert.Equal((1, 1), (levels[3].Events.Local.Oom, levels[3].Events.Local.OomKill));
        Assert.Equal(default, world.Root.Events.Current);
    }

    [Fact]
    [Requirement("T63")]
    public void Oom_counts_at_the_group_that_was_full_and_the_kill_where_the_victim_was()
    {
        using var world = new World();
        MemoryGroup[] levels = Levels(world, limitedAt: 1);
        MemoryMember hog = levels[3].CreateMember("hog");
        Assert.True(world.Charge(hog, 1000).Granted);

        FullGroup.Ask(world, levels[3], 10);

        Assert.Equal((1, 0), (levels[1].Events.Local.Oom, levels[1].Events.Local.OomKill));
        Assert.Equal((0, 1), (levels[3].Events.Local.Oom, levels[3].Events.Local.OomKill));
        Assert.Equal((0, 1), (levels[2].Events.Current.Oom, levels[2].Events.Current.OomKill));
        Assert.Equal((1, 1), (levels[0].Events.Current.Oom, levels[0].Events.Current.OomKill));
    }

    [Fact]
    [Requirement("M47")]
    public void Events_of_the_root_itself_count_there_and_nowhere_else()
    {
        using var world = new World(capacity: 1000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(world.Charge(hog, 1000).Granted);

        Assert.Throws<MemoryLimitExceededException>(() => tenant.CreateMember("other").Charge(10));

        Assert.Equal((1, 1), (world.Root.Events.Local.Max, world.Root.Events.Current.Max));
        Assert.Equal(0, tenant.Events.Current.Max);
    }

    [Fact]
    [Requirement("M10")]
    [Requirement("D8")]
    public void Max_counts_each_refused_round_and_waits_each_sleep_but_oom_each_acquire()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        FullGroup.Fill(world, tenant);

        FullGroup.Ask(world, tenant, 10);
        FullGroup.Ask(world, tenant, 10);
        Assert.Equal((2, 1, 2), Counts(tenant));

        tenant.Max = 1001;
        world.Run();
        Assert.Equal(4, tenant.Events.Current.Max);
        Assert.Equal(4, tenant.Events.Current.Waits);
        Assert.Equal(2, tenant.Events.Current.Oom);
    }

    [Fact]
    [Requirement("M47")]
    public void Kill_of_a_whole_group_counts_once_at_that_group()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = 1000, KillWholeGroup = true });
        MemoryGroup session = tenant.CreateGroup("session");
        Assert.True(world.Charge(session.CreateMember("a"), 600).Granted);
        Assert.True(world.Charge(session.CreateMember("b"), 400).Granted);

        FullGroup.Ask(world, tenant, 10);

        Assert.Equal(1, tenant.Events.Local.OomGroupKill);
        Assert.Equal(0, session.Events.Local.OomGroupKill);
        Assert.Equal(0, session.Events.Current.OomGroupKill);
    }

    [Fact]
    [Requirement("M47")]
    public void Every_kind_counts_at_its_group_and_at_all_above_but_the_root()
    {
        using var world = new World();
        MemoryGroup[] levels = Levels(world, limitedAt: 3);
        foreach (MemoryEvent kind in Enum.GetValues<MemoryEvent>())
        {
            for (int times = 0; times <= (int)kind; times++)
            {
                levels[2].Events.Raise(kind);
            }
        }

        var all = new MemoryEventCounts(Low: 1, High: 2, Max: 3, Oom: 4, OomKill: 5, OomGroupKill: 6, Waits: 7)
        {
            BudgetKill = 8,
        };
        Assert.Equal([all, all, all, default], levels.Select(static level => level.Events.Current));
        Assert.Equal([default, default, all, default], levels.Select(static level => level.Events.Local));
        Assert.Equal((default, default), (world.Root.Events.Current, world.Root.Events.Local));
    }

    // I13: a reader that compares must never see more events in a group than in its subtree.
    [Fact]
    [Requirement("I13")]
    public void Local_never_exceeds_hierarchical_while_events_are_raised()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryEvents events = tenant.Events;
        bool done = false;
        using var both = new Barrier(2);
        var raiser = new Thread(() =>
        {
            both.SignalAndWait();
            for (int i = 0; i < 300_000; i++)
            {
                events.Raise(MemoryEvent.High);
            }

            Volatile.Write(ref done, true);
        });
        raiser.Start();
        both.SignalAndWait();

        long worst = 0;
        while (!Volatile.Read(ref done))
        {
            long local = events.Local.High;
            worst = Math.Max(worst, local - events.Current.High);
        }

        raiser.Join();
        Assert.Equal(0, worst);
        Assert.Equal(300_000, events.Local.High);
    }

    [Fact]
    public async Task Watching_yields_now_then_after_a_change_below_and_ends_with_the_group()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryGroup session = tenant.CreateGroup("session");
        await using IAsyncEnumerator<MemoryEventCounts> watch = tenant.Events.WatchAsync().GetAsyncEnumerator();

        Assert.True(await watch.MoveNextAsync());
        Assert.Equal(default, watch.Current);
        Task<bool> next = watch.MoveNextAsync().AsTask();
        Assert.False(next.IsCompleted);

        session.Events.Raise(MemoryEvent.High);
        Assert.True(await next.WaitAsync(Watchdog));
        Assert.Equal(1, watch.Current.High);

        // What happened between two looks is seen as one.
        session.Events.Raise(MemoryEvent.High);
        session.Events.Raise(MemoryEvent.Low);
        Assert.True(await watch.MoveNextAsync().AsTask().WaitAsync(Watchdog));
        Assert.Equal((2, 1), (watch.Current.High, watch.Current.Low));

        Task<bool> last = watch.MoveNextAsync().AsTask();
        tenant.Dispose();
        while (await last.WaitAsync(Watchdog))
        {
            last = watch.MoveNextAsync().AsTask();
        }
    }

    [Fact]
    public async Task Watching_ends_when_it_is_cancelled()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        await using IAsyncEnumerator<MemoryEventCounts> watch =
            world.Root.Events.WatchAsync(cancel.Token).GetAsyncEnumerator();
        Assert.True(await watch.MoveNextAsync());
        Task<bool> next = watch.MoveNextAsync().AsTask();

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next);
    }

    private static (long Max, long Oom, long Waits) Counts(MemoryGroup group) =>
        (group.Events.Current.Max, group.Events.Current.Oom, group.Events.Current.Waits);

    private static MemoryGroup[] Levels(World world, int limitedAt)
    {
        var levels = new MemoryGroup[4];
        MemoryGroup at = world.Root;
        for (int i = 0; i < levels.Length; i++)
        {
            long max = i == limitedAt ? 1000 : long.MaxValue;
            levels[i] = at = at.CreateGroup($"level{i}", new MemoryGroupOptions { Max = max });
        }

        return levels;
    }
}
