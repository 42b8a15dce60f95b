// Reclaim: on request, in which order, how much from whom, and what soft limits change when the whole root is short.
namespace MemoryGroups.Tests;

public sealed class ReclaimScenarioTests
{
    private const long M = 1 << 20;
    private const long Entry = 64 * 1024;

    [Fact]
    [Requirement("T26")]
    public void Requested_reclaim_reaches_its_goal_and_says_so_when_it_does_not()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { BatchBytes = 1 });
        var cache = new LeaseCache(group);
        cache.Fill(world, 50 * M);
        MemoryMember anonymous = group.CreateMember("anonymous");

        for (int tries = 0; tries < 5 && group.Usage > 30 * M; tries++)
        {
            long goal = group.Usage - (30 * M);
            bool done = world.Await(group.ReclaimAsync(goal)) >= goal;
            Assert.True(!done || group.Usage <= 30 * M, "it says that it is done, and is not");
        }

        Tolerance.AssertClose(30 * M, group.Usage, 3);
        Assert.True(anonymous.TryCharge(20 * M));
        Assert.Equal(30 * M, world.Await(group.ReclaimAsync(40 * M)));
        Assert.Equal((20 * M, 0), (group.Usage, cache.Count));
        Assert.Equal(default, group.Events.Current);
    }

    // 10 and 50 MB over their soft limits, and 20 MB are missing.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Requirement("T33")]
    [Requirement("M46")]
    public void Larger_excess_over_the_soft_limit_pays_first_when_the_root_is_short(bool background)
    {
        using var world = new World(200 * M, options => background
            ? options with { LowWatermarkBytes = 1, HighWatermarkBytes = 20 * M }
            : options);
        LeaseCache small = Over(world, "small", softLimit: 20 * M, bytes: 30 * M);
        LeaseCache large = Over(world, "large", softLimit: 20 * M, bytes: 70 * M);
        LeaseCache without = Over(world, "without", softLimit: long.MaxValue, bytes: 100 * M - 1);
        Assert.Empty((ReclaimRequest[])[.. small.Calls, .. large.Calls, .. without.Calls]);
        MemoryMember asker = world.Root.CreateGroup("asker").CreateMember("asker");

        if (background)
        {
            // The last byte: granted at once, and what is missing to HIGH is fetched behind its back.
            Assert.True(world.Begin(asker, 1).Granted);
            Assert.Empty(large.Calls);
            world.Run();
        }
        else
        {
            // Nobody is waited for.
            asker.Charge(1);
            asker.Charge(20 * M);
        }

        Assert.Equal((30 * M, 50 * M, (100 * M) - 1), (small.Held, large.Held, without.Held));
        Assert.Equal(0, world.Root.Events.Current.OomKill);
        Assert.Equal(0, world.Root.WaitingCharges);
    }

    [Fact]
    [Requirement("M46")]
    public void Soft_limits_yield_in_the_order_of_their_excess_and_then_everybody_pays()
    {
        using var world = new World(100 * M);
        LeaseCache small = Over(world, "small", softLimit: 20 * M, bytes: 30 * M);
        LeaseCache large = Over(world, "large", softLimit: 10 * M, bytes: 30 * M);
        LeaseCache without = Over(world, "without", softLimit: long.MaxValue, bytes: 40 * M);

        world.Root.CreateGroup("asker").CreateMember("asker").Charge(40 * M);

        Assert.Equal(20 * M, large.Calls[0].Bytes);
        Assert.Equal(10 * M, small.Calls[0].Bytes);
        Assert.Equal(60 * M, small.Held + large.Held + without.Held);
        Assert.True(small.Held < 20 * M && large.Held < 10 * M && without.Held < 40 * M);
        Assert.Equal(0, world.Root.Events.Current.OomKill);
    }

    [Fact]
    [Requirement("T33")]
    [Requirement("M46")]
    public void Soft_limits_mean_nothing_to_the_limit_of_a_group_and_never_break_a_min()
    {
        using var world = new World(1000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 200 });
        LeaseCache over = Over(world, "over", softLimit: 0, bytes: 100, tenant);
        LeaseCache within = Over(world, "within", softLimit: 100, bytes: 100, tenant);
        tenant.CreateMember("member").Charge(20);
        Assert.InRange(over.Held, 89, 91);
        Assert.Equal(180, over.Held + within.Held);

        over.Member.Group.Min = 80;
        tenant.Min = 150;
        world.Root.CreateMember("hog").Charge(800);
        world.Root.CreateMember("asker").Charge(10);

        Assert.Equal(80, over.Held);
        Assert.True(within.Held < 89, "the rest of the demand concerns everybody");
    }

    // Same usage, unlike protection: each is asked by what it uses above it, rounded up, so never for less than a byte.
    [Fact]
    [Requirement("M42")]
    public void Demand_is_spread_by_what_each_uses_above_its_protection()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { BatchBytes = 1 });
        LeaseCache open = Protected(world, parent, "open", 0);
        LeaseCache half = Protected(world, parent, "half", 50 * M);
        LeaseCache nearly = Protected(world, parent, "nearly", (100 * M) - 1);
        LeaseCache closed = Protected(world, parent, "closed", 100 * M);

        world.Await(parent.ReclaimAsync(12 * M));

        // The first step is a quarter of the demand: 3 MB, shared 100 : 50, to an entry.
        Assert.InRange(open.Calls[0].Bytes, (2 * M) - Entry, (2 * M) + Entry);
        Assert.InRange(half.Calls[0].Bytes, M - Entry, M + Entry);
        Assert.Equal(1, Assert.Single(nearly.Calls).Bytes);
        Assert.Empty(closed.Calls);
    }

    // It has one thing, larger than what it uses above Low: asked for that part only, it cannot give it.
    [Fact]
    [Requirement("M42")]
    public void Part_that_low_withheld_is_tried_before_anybody_is_killed()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup low = tenant.CreateGroup("low", new MemoryGroupOptions { Low = 50 });
        MemoryMember cache = low.CreateMember("cache");
        Assert.True(cache.TryCharge(60));
        var block = new ScriptedReclaimer("one block", request =>
        {
            long gives = request.Bytes >= 30 ? 60 : 0;
            cache.Uncharge(gives);
            return gives;
        });
        low.AddReclaimer(block);
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(940));

        Assert.True(world.Charge(tenant.CreateMember("asker"), 30).Granted);

        Assert.False(hog.IsKilled);
        Assert.Equal([10, 30], block.Calls.Select(static call => call.Bytes));
        Assert.Equal(1, low.Events.Local.Low);
    }

    // Everybody's share first, then whoever still has something, and who is protected by Low only after all of them.
    [Fact]
    [Requirement("M45")]
    public void Low_is_asked_last_and_nobody_dies_before_everybody_was_asked()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        var order = new List<string>();
        Giving("empty", 500, 0, 0);
        MemoryMember little = Giving("little", 200, 0, 100);
        Giving("low", 200, 200, 100);
        MemoryMember hog = tenant.CreateMember("hog");
        Assert.True(hog.TryCharge(100));
        MemoryMember asker = tenant.CreateMember(
            "asker", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });

        // A share of it each; the rest from who gave; Low is left alone because something came.
        Assert.True(world.Charge(asker, 100).Granted);
        Assert.Equal(["empty", "little", "little"], order);

        // Nothing comes any more: now Low is asked, and only then is anybody killed.
        order.Clear();
        little.Uncharge(little.Usage);
        Assert.True(hog.TryCharge(100));
        Assert.True(world.Charge(asker, 100).Granted);
        Assert.Equal(["empty", "empty", "low"], order.Take(3));
        order.Clear();
        hog.Killed.Register(() => order.Add("killed"));
        Assert.True(world.Charge(asker, 150).Sleeps);
        Assert.Equal(["empty", "empty", "low", "killed"], order.Take(4));

        MemoryMember Giving(string name, long uses, long low, long atMost)
        {
            MemoryGroup group = tenant.CreateGroup(name, new MemoryGroupOptions { Low = low });
            MemoryMember member = group.CreateMember(
                name, new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
            Assert.True(member.TryCharge(uses));
            long left = atMost;
            group.AddReclaimer(new ScriptedReclaimer(name, request =>
            {
                order.Add(name);
                long gives = Math.Min(request.Bytes, left);
                left -= gives;
                member.Uncharge(gives);
                return gives;
            }));
            return member;
        }
    }

    private static LeaseCache Over(
        World world, string name, long softLimit, long bytes, MemoryGroup? parent = null)
    {
        var options = new MemoryGroupOptions { SoftLimit = softLimit, BatchBytes = 1 };
        var cache = new LeaseCache((parent ?? world.Root).CreateGroup(name, options));
        cache.Fill(world, bytes, entry: bytes >= M ? Entry : 1);
        return cache;
    }

    private static LeaseCache Protected(World world, MemoryGroup parent, string name, long min)
    {
        var cache = new LeaseCache(parent.CreateGroup(name, new MemoryGroupOptions { Min = min }));
        cache.Fill(world, 100 * M, entry: Entry);
        return cache;
    }
}
