// Bugs that the memory controllers before us had, told in a sentence each and replayed here: what a charge may get.
namespace MemoryGroups.Tests;

public sealed partial class HistoricalBugTests
{
    // A task that was marked as "in OOM" here was let through everywhere, over limits that had nothing to do with it.
    [Fact]
    [Requirement("B08")]
    public void Asker_in_one_groups_oom_gets_nothing_extra_elsewhere()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup here = world.Root.CreateGroup("here", FullGroup.Sleepy);
        MemoryGroup there = world.Root.CreateGroup("there", FullGroup.Sleepy);
        FullGroup.Fill(world, here);
        FullGroup.Fill(world, there);
        MemoryMember asker = here.CreateMember("asker");
        MemoryMember alias = there.CreateMember("alias", new MemoryMemberOptions { Space = asker.Space });

        Assert.True(world.Charge(asker, 100).Sleeps);
        Assert.True(here.Oom.UnderOom);

        Assert.False(alias.TryCharge(1));
        Assert.False(asker.TryCharge(1));
        Assert.Throws<MemoryLimitExceededException>(() => alias.Charge(1));
        Assert.True(world.Charge(alias, 1).Sleeps);
        Assert.Equal((1000, 1000), (here.Usage, there.Usage));
    }

    [Theory]
    [Requirement("B08")]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(3, false)]
    [InlineData(4, true)]
    public void Usage_never_exceeds_the_limit_by_more_than_was_forced_and_the_reserve(int seed, bool forcing)
    {
        var random = new Random(seed);
        using var world = new World(configure: static options => options with { OomReserveBytes = 200 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 2000 });
        long forced = 0;
        Action<ProbePoint, object?>? scripted = world.Root.ProbeHook;
        long worst = long.MinValue;
        world.Root.ProbeHook = (point, subject) =>
        {
            // Noted, because what is thrown here ends in somebody's task.
            worst = Math.Max(worst, tenant.Usage - tenant.Max - forced);
            scripted!(point, subject);
        };
        for (int i = 0; i < 120; i++)
        {
            MemoryMember member = tenant.CreateMember($"m{i}");
            long bytes = 1 + random.Next(400);
            ChargeFlags flags = forcing && random.Next(10) == 0 ? ChargeFlags.HighPriority : ChargeFlags.None;
            long over = flags == ChargeFlags.None ? 0 : bytes;
            forced += over;

            // A victim takes what it can get before it goes.
            member.Killed.UnsafeRegister(_ =>
            {
                for (int more = 0; more < 10; more++)
                {
                    world.Begin(member, 1 + random.Next(100));
                }

                world.Time.CreateTimer(_ =>
                {
                    member.Dispose();
                    forced -= over;
                }, null, TimeSpan.FromMilliseconds(20), Timeout.InfiniteTimeSpan);
            }, null);
            world.Begin(member, bytes, flags);
            while (random.Next(3) > 0 && world.RunOne())
            {
            }

            world.Time.Advance(TimeSpan.FromMilliseconds(random.Next(10)));
        }

        world.Run();
        world.Advance(TimeSpan.FromSeconds(60));
        Assert.True(worst <= 200, $"seed {seed}: {worst} bytes above the limit and what was forced");
        Assert.True(tenant.Events.Current.OomKill > 10, $"seed {seed}: too few kills to mean anything");
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    // The kill was put off to a later point of the task, and whoever could not get there was told "out of memory".
    [Fact]
    [Requirement("B09")]
    public void Charge_that_may_wait_never_fails_while_somebody_can_be_killed()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 3000 });
        MemoryMember[] hogs = [.. Enumerable.Range(0, 3).Select(i => tenant.CreateMember($"hog{i}"))];
        foreach (MemoryMember hog in hogs)
        {
            Assert.True(hog.TryCharge(1000));
            hog.Killed.UnsafeRegister(_ => world.Time.CreateTimer(
                _ => hog.Dispose(), null, TimeSpan.FromMilliseconds(700), Timeout.InfiniteTimeSpan), null);
        }

        Pending[] asking =
            [.. Enumerable.Range(0, 12).Select(i => world.Charge(tenant.CreateMember($"asker{i}"), 250))];
        world.Advance(TimeSpan.FromSeconds(5));

        Assert.All(asking, static one => Assert.True(one.Granted, one.Error?.ToString()));
        Assert.Equal(3, tenant.Events.Current.OomKill);
        world.AssertQuiet(leftAtRoot: 3000);
    }

    // Who was dying was charged whatever it asked for, so a task that took its time to die could eat the machine.
    [Theory]
    [Requirement("B13")]
    [InlineData("exiting")]
    [InlineData("killed by request")]
    [InlineData("victim")]
    public void Dying_member_that_charges_in_a_loop_exceeds_the_limit_by_no_more_than_the_reserve(string state)
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember dying = FullGroup.Fill(world, tenant);
        switch (state)
        {
            case "exiting":
                dying.BeginExit();
                break;
            case "victim":
                FullGroup.Ask(world, tenant, 100);
                break;
            default:
                dying.Kill("its client went away");
                break;
        }

        int granted = 0;
        while (granted < 10_000 && world.Charge(dying, 3).Granted)
        {
            granted++;
            Assert.InRange(tenant.Usage, 1000, 1100);
        }

        Assert.InRange(granted, 0, 33);
        Assert.InRange(tenant.Usage, 1000, 1100);
    }

    // A dying task could neither charge, nor kill, nor be reaped, and went round in the charge for hours.
    [Theory]
    [Requirement("B15")]
    [InlineData("victim", 100)]
    [InlineData("victim", 0)]
    [InlineData("killed by request", 0)]
    [InlineData("exiting", 0)]
    public void Dying_member_that_needs_a_little_more_in_a_full_group_is_gone_within_five_seconds(
        string state, long reserve)
    {
        using var world = new World(configure: options => options with { OomReserveBytes = reserve });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember neighbour = tenant.CreateMember(
            "neighbour", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        Assert.True(neighbour.TryCharge(400));
        MemoryMember dying = tenant.CreateMember("dying");
        Assert.True(dying.TryCharge(600));
        Task? cleaning = null;
        async Task CleanUpAsync()
        {
            try
            {
                await dying.ChargeAsync(10);
            }
            catch (OomKilledException)
            {
                // Nothing left for it: it goes without.
            }

            dying.Dispose();
        }

        dying.Killed.UnsafeRegister(_ => cleaning = CleanUpAsync(), null);
        if (state == "victim")
        {
            FullGroup.Ask(world, tenant, 100);
        }
        else if (state == "killed by request")
        {
            dying.Kill("its client went away");
        }
        else
        {
            dying.BeginExit();
            cleaning = CleanUpAsync();
        }

        world.Advance(TimeSpan.FromSeconds(5));

        Assert.True(dying.IsExited);
        Assert.True(cleaning!.IsCompletedSuccessfully);
        Assert.Equal(0, world.Root.OomReserveUsed);
        Assert.True(FullGroup.Ask(world, tenant, 500).Granted);
    }

    // What was protected from ordinary reclaim was skipped in the last round too, and somebody was killed for want of
    // memory that was there; the repair then divided by a usage of zero.
    [Theory]
    [Requirement("B32")]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_that_only_low_protects_is_reclaimed_before_anybody_is_killed(bool recursive)
    {
        using var world = new World(configure: options => options with { RecursiveProtection = recursive });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000, Low = 1000 });
        MemoryGroup cached = tenant.CreateGroup("cached", new MemoryGroupOptions { Low = 1000 });
        MemoryGroup empty = tenant.CreateGroup("empty", new MemoryGroupOptions { Low = 1000 });
        MemoryMember cache = cached.CreateMember("cache");
        cached.AddReclaimer(new ScriptedReclaimer("cache", request =>
        {
            long gives = Math.Min(request.Bytes, cache.Usage);
            cache.Uncharge(gives);
            return gives;
        }));
        empty.AddReclaimer(new ScriptedReclaimer("empty", static _ => 0));

        // Nobody uses anything yet: every share is zero of zero.
        Assert.Equal(0, world.Await(tenant.ReclaimAsync(100)));
        Assert.Equal(0, world.Await(world.Root.ReclaimAsync(100)));
        Assert.True(cache.TryCharge(1000));

        Assert.True(FullGroup.Ask(world, tenant, 300).Granted);

        Assert.False(cache.IsKilled);
        Assert.True(cached.Events.Local.Low > 0);
        Assert.Equal((0, 0), (tenant.Events.Current.Oom, tenant.Events.Current.OomKill));
        world.AssertQuiet(leftAtRoot: cache.Usage + 300);
    }
}
