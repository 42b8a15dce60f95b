// Max: how it is written, what it admits, and what becomes of those who are over it when it falls.
namespace MemoryGroups.Tests;

public sealed class LimitScenarioTests
{
    private const long M = 1 << 20;
    private const long Page = 4096;

    // The unit of account is the byte, so nothing is rounded: not away, and not up.
    [Theory]
    [InlineData(Page - 1)]
    [InlineData(Page + 1)]
    [InlineData(1)]
    [Requirement("T08")]
    [Requirement("M7")]
    public void Limit_reads_back_as_written_and_holds_to_the_byte(long limit)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group");
        group.Max = limit;
        MemoryMember member = group.CreateMember("member");

        Assert.Equal(limit, group.Max);
        Assert.True(member.TryCharge(limit));
        Assert.False(member.TryCharge(1));
    }

    [Fact]
    [Requirement("T09")]
    [Requirement("M7")]
    public void Text_that_is_no_limit_is_refused_and_keeps_the_limit()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 10 * M });

        group.Max = ByteSize.Parse("max");
        Assert.Equal(long.MaxValue, group.GetStatistics().EffectiveLimitBytes);
        group.Max = ByteSize.Parse("10m");
        foreach (string text in (string[])["1.0", "1xx", "xx"])
        {
            Assert.Throws<FormatException>(() => group.Max = ByteSize.Parse(text));
        }

        Assert.Equal(10 * M, group.Max);
    }

    // Nothing ever fits, so a request is refused rather than have its member killed for it; who is over is killed.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("T12")]
    public void Limit_of_zero_refuses_every_byte_and_kills_who_holds_any(bool cache)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group");
        MemoryMember member = group.CreateMember("member");
        member.Killed.Register(member.Dispose);
        var entries = new LeaseCache(group, reclaimable: cache);
        Assert.True(member.TryCharge(Page));
        if (cache)
        {
            entries.Fill(world, Page);
        }

        Assert.True(world.Await(group.SetMaxAsync(0)));

        Assert.True(member.IsKilled);
        Assert.Equal((0, 0), (group.Usage, entries.Count));
        MemoryMember next = group.CreateMember("next");
        Assert.False(next.TryCharge(1));
        Assert.Throws<MemoryLimitExceededException>(() => next.Charge(Page));
        Assert.Equal(
            ChargeRefusal.Impossible, world.Charge(next, Page).Failed<MemoryLimitExceededException>().Reason);
    }

    [Theory]
    [InlineData(2 * Page)]
    [InlineData(Page)]
    [InlineData(1)]
    [Requirement("T13")]
    public void Two_pages_in_a_limit_of_one_end_in_a_refusal_or_a_kill(long step)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = Page });
        MemoryMember member = group.CreateMember("member");
        Pending? last = null;
        for (long pinned = 0; pinned < 2 * Page && last is not { Granted: false }; pinned += step)
        {
            last = world.Charge(member, step);
        }

        Exception? error = last!.Error;
        Assert.True(step > Page
            ? error is MemoryLimitExceededException { Reason: ChargeRefusal.Impossible }
            : error is OomKilledException && member.IsKilled, $"{error}");
        Assert.InRange(group.Usage, 0, Page);
    }

    [Fact]
    [Requirement("T25")]
    public void Max_kills_who_cannot_be_reclaimed_and_caps_who_can()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 30 * M, BatchBytes = 1 });
        MemoryMember anonymous = group.CreateMember("anonymous");
        Pending charge = world.Charge(anonymous, Page);
        for (long held = Page; held < 100 * M && charge.Granted; held += Page)
        {
            charge = world.Charge(anonymous, Page);
        }

        charge.Failed<OomKilledException>();
        Assert.True(anonymous.IsKilled);
        Assert.Equal(30 * M, group.Usage);
        anonymous.Dispose();
        new LeaseCache(group).Fill(world, 50 * M);

        Tolerance.AssertClose(30 * M, group.Usage, 5);
        Assert.InRange(group.Usage, 1, 30 * M);
        Assert.True(group.Events.Current.Max > 1);
        Assert.Equal(1, group.Events.Current.OomKill);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("T27")]
    [Requirement("M39")]
    public void Shrunk_max_is_installed_first_and_kills_until_the_usage_fits_or_nobody_is_left(bool immune)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 100 * M, BatchBytes = 1 });
        MemoryMember[] processes = [.. Enumerable.Range(0, 3).Select(i => group.CreateMember(
            $"p{i}", new MemoryMemberOptions { OomScoreAdjustment = immune ? MemoryMember.NeverKill : 0 }))];
        var cache = new LeaseCache(group);
        cache.Fill(world, 4 * M);
        foreach (MemoryMember process in processes)
        {
            Assert.True(process.TryCharge(20 * M));
            process.Killed.Register(process.Dispose);
        }

        bool fits = world.Await(group.SetMaxAsync(30 * M));

        Assert.Equal((!immune, 30 * M), (fits, group.Max));
        Assert.Equal(immune ? 0 : 2, processes.Count(process => process.IsKilled));
        Assert.Equal(immune ? 60 * M : 20 * M, group.Usage);
        MemoryEventCounts events = group.Events.Current;
        Assert.True(events.Oom >= 1);
        Assert.Equal(immune ? 0 : 2, events.OomKill);

        // Installed before the first question, and nobody died before the cache was empty.
        Assert.All(cache.Calls, static call => Assert.Equal(30 * M, call.Group.Max));
        Assert.Equal(0, cache.Count);
    }

    [Fact]
    [Requirement("M39")]
    public void Shrunk_max_asks_a_boasting_reclaimer_sixteen_rounds_at_most_before_each_kill()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        hog.Killed.Register(hog.Dispose);
        int before = 0;
        var boasting = new ScriptedReclaimer("boasts", request =>
        {
            before += hog.IsKilled ? 0 : 1;
            return request.Bytes;
        });
        group.AddReclaimer(boasting);

        Assert.True(world.Await(group.SetMaxAsync(500)));

        Assert.Equal(ChargeAttempt.MaxRounds, before);
        Assert.Equal((1, 1), (group.Events.Current.Oom, group.Events.Current.OomKill));
    }

    [Fact]
    [Requirement("M39")]
    public void Shrunk_max_takes_idle_stock_back_before_it_asks_or_kills()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(group);
        Stocked.FillOwnStock(group);
        var reclaimer = new ScriptedReclaimer("futile", static _ => 0);
        group.AddReclaimer(reclaimer);
        Assert.True(group.Usage > 1 << 20);

        Assert.True(world.Await(group.SetMaxAsync(1 << 20)));

        Assert.Empty(reclaimer.Calls);
        Assert.False(member.IsKilled);
    }

    [Fact]
    [Requirement("T28")]
    [Requirement("M5")]
    [Requirement("M39")]
    public void Careful_write_below_what_is_pinned_is_refused_and_keeps_the_limit()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 4 * Page });
        MemoryMember process = group.CreateMember("process");
        Assert.True(process.TryCharge(2 * Page));
        var cache = new LeaseCache(group);
        cache.Fill(world, 2 * Page);

        Assert.False(world.Await(group.TrySetMaxAsync(1)));

        Assert.Equal(4 * Page, group.Max);
        Assert.False(process.IsKilled);
        Assert.Equal((0, 0), (cache.Count, group.Events.Current.Oom));
        Assert.True(cache.Calls.Count <= 4, "who has nothing more to give is asked again and again");
        Assert.True(world.Await(group.TrySetMaxAsync(2 * Page)));
        Assert.Equal(2 * Page, group.Max);
    }

    // Between the look at the usage and the new limit a charge comes in: the old limit is back, and it looks again.
    [Theory]
    [InlineData(300, true)]
    [InlineData(0, false)]
    [Requirement("M5")]
    public void Usage_that_grows_while_the_limit_is_swapped_restores_it_and_is_looked_at_again(long gives, bool set)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = group.CreateMember("member");
        Assert.True(member.TryCharge(500));
        long limitAtTheQuestion = 0;
        group.AddReclaimer(new ScriptedReclaimer("cache", request =>
        {
            limitAtTheQuestion = group.Max;
            member.Uncharge(gives);
            return gives;
        }));
        world.Once(ProbePoint.BeforeSwap, () => Assert.True(member.TryCharge(300)));

        Assert.Equal(set, world.Await(group.TrySetMaxAsync(600)));

        Assert.Equal(1000, limitAtTheQuestion);
        Assert.Equal(set ? 600 : 1000, group.Max);
        Assert.Equal(800 - gives, group.Usage);
    }

    [Fact]
    [Requirement("M39")]
    public void Careful_write_that_is_given_up_while_it_reclaims_keeps_the_limit()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = FullGroup.Fill(world, group);
        var reclaimer = new ScriptedReclaimer("slowly", _ =>
        {
            cancel.Cancel();
            member.Uncharge(1);
            return 1;
        });
        group.AddReclaimer(reclaimer);

        Assert.False(world.Await(group.TrySetMaxAsync(500, cancel.Token)));

        Assert.Equal(1000, group.Max);
        Assert.InRange(reclaimer.Calls.Count, 1, 3);
    }

    [Fact]
    [Requirement("T29")]
    [Requirement("M39")]
    public void Plain_write_returns_at_once_and_leaves_reclaim_and_kill_to_the_next_charge()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 100 * M, BatchBytes = 1 });
        MemoryMember workload = group.CreateMember("workload");
        Assert.True(workload.TryCharge(50 * M));
        var cache = new LeaseCache(group);
        cache.Fill(world, 10 * M);

        group.Max = 30 * M;
        Assert.Equal(0, world.PostedCount);
        Assert.Equal((60 * M, 0, false), (group.Usage, cache.Calls.Count, workload.IsKilled));

        world.Charge(workload, Page).Failed<OomKilledException>();
        Assert.Equal((0, true), (cache.Count, workload.IsKilled));
    }
}
