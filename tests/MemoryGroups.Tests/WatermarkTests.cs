// The root's watermarks: who may use how much of the last bytes, and the reclaim that starts before they are gone.
namespace MemoryGroups.Tests;

public sealed class WatermarkTests
{
    public enum Asker
    {
        Ordinary,
        Victim,
    }

    [Theory]
    [InlineData(1000, ChargeFlags.None, Asker.Ordinary)]
    [InlineData(500, ChargeFlags.HighPriority, Asker.Ordinary)]
    [InlineData(375, ChargeFlags.HighPriority | ChargeFlags.NoWait, Asker.Ordinary)]
    [InlineData(500, ChargeFlags.None, Asker.Victim)]
    [InlineData(250, ChargeFlags.HighPriority, Asker.Victim)]
    [InlineData(1000, ChargeFlags.NoReserve, Asker.Victim)]
    [InlineData(1000, ChargeFlags.NoReserve | ChargeFlags.FromReclaim, Asker.Ordinary)]
    [InlineData(0, ChargeFlags.FromReclaim, Asker.Ordinary)]
    [Requirement("T73")]
    [Requirement("M36")]
    public void Request_is_granted_only_while_more_than_its_floor_is_free(long floor, ChargeFlags flags, Asker kind)
    {
        using var world = new World(100_000, static options => options with { MinWatermarkBytes = 1000 });
        MemoryMember filler = world.Root.CreateMember(
            "filler", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        MemoryMember asker = world.Root.CreateMember("asker");
        asker.Charge(1);
        if (kind == Asker.Victim)
        {
            Assert.NotNull(world.Await(world.Root.OomKiller.KillNowAsync()));
        }

        filler.Charge(100_000 - floor - 2, ChargeFlags.NoFail);
        asker.Charge(1, flags);

        Assert.Equal(floor, world.Root.Capacity - world.Root.Usage);
        Exception? refused = Record.Exception(() => asker.Charge(1, flags));
        Assert.True(refused is MemoryLimitExceededException or OomKilledException, $"{refused}");
        Assert.Equal(floor, world.Root.Capacity - world.Root.Usage);
    }

    [Fact]
    [Requirement("T73")]
    public void High_priority_request_that_waits_at_the_root_is_woken_as_soon_as_its_own_floor_allows()
    {
        using var world = new World(10_000, static options => options with { MinWatermarkBytes = 1000 });
        MemoryMember hog = world.Root.CreateMember("hog");
        Assert.True(world.Charge(hog, 9000).Granted);
        hog.Charge(900, ChargeFlags.NoFail);
        Pending asking = world.Charge(world.Root.CreateMember("asker"), 200, ChargeFlags.HighPriority);
        Assert.True(asking.Sleeps);

        hog.Uncharge(600);
        world.Run();

        Assert.True(asking.Granted);
        Assert.Equal(9500, world.Root.Usage);
    }

    [Fact]
    public void Watermarks_and_reserve_follow_the_capacity_unless_set_by_hand()
    {
        var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 128_000, OomReserveBytes = 77 });
        Assert.Equal((1000, 1250, 1500), (root.MinWatermark, root.LowWatermark, root.HighWatermark));

        root.Capacity = 256_000;

        Assert.Equal((2000, 2500, 3000), (root.MinWatermark, root.LowWatermark, root.HighWatermark));
        Assert.Equal(77, root.OomReserveBytes);
        Assert.Equal(64_000, root.CostlyChargeBytes);
        root.Capacity = long.MaxValue;
        Assert.Equal((0, 0, 0), (root.MinWatermark, root.LowWatermark, root.HighWatermark));
        Assert.Equal(long.MaxValue, root.CostlyChargeBytes);
    }

    [Theory]
    [InlineData(10, 5L, null)]
    [InlineData(10, 20L, 15L)]
    [InlineData(2000, null, null)]
    public void Watermarks_out_of_order_are_refused_with_their_values(long min, long? low, long? high)
    {
        var options = new MemoryRootOptions
        {
            CapacityBytes = 1000,
            MinWatermarkBytes = min,
            LowWatermarkBytes = low,
            HighWatermarkBytes = high,
        };

        ArgumentException error = Assert.Throws<ArgumentException>(() => new MemoryRoot(options));

        Assert.Contains($"{min}", error.Message, StringComparison.Ordinal);
        Assert.Contains("1000", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Requirement("M46")]
    public void Background_reclaim_starts_below_low_and_stops_at_high()
    {
        using World world = WithLowAndHigh();
        MemoryMember cache = world.Root.CreateMember("cache");
        var reclaimer = Giving(cache, 100);
        using IDisposable registered = world.Root.AddReclaimer(reclaimer);

        world.Charge(cache, 8000);
        Assert.Empty(reclaimer.Calls);
        world.Charge(cache, 1);

        Assert.Equal(7000, world.Root.Usage);
        Assert.All(reclaimer.Calls, static call => Assert.Equal(ReclaimReason.Capacity, call.Reason));
        Assert.Equal(1001, reclaimer.Calls[0].Bytes);
    }

    [Fact]
    [Requirement("T33")]
    [Requirement("M46")]
    public void Groups_above_their_soft_limit_pay_first_and_the_largest_excess_pays_most()
    {
        using World world = WithLowAndHigh();
        MemoryGroup small = world.Root.CreateGroup("small", new MemoryGroupOptions { SoftLimit = 1000 });
        MemoryGroup large = world.Root.CreateGroup("large", new MemoryGroupOptions { SoftLimit = 1000 });
        MemoryGroup without = world.Root.CreateGroup("without");
        MemoryMember inSmall = small.CreateMember("cache");
        MemoryMember inLarge = large.CreateMember("cache");
        MemoryMember other = without.CreateMember("cache");
        using IDisposable one = small.AddReclaimer(Giving(inSmall, long.MaxValue));
        using IDisposable two = large.AddReclaimer(Giving(inLarge, long.MaxValue));
        using IDisposable three = without.AddReclaimer(Giving(other, long.MaxValue));
        world.Charge(inSmall, 1200);
        world.Charge(inLarge, 1900);
        Assert.Equal(1200, inSmall.Usage);

        world.Charge(other, 4950);

        Assert.Equal(7000, world.Root.Usage);
        Assert.Equal((1050, 1000, 4950), (inSmall.Usage, inLarge.Usage, other.Usage));
    }

    [Fact]
    public void Background_reclaim_believes_a_boasting_reclaimer_for_a_bounded_number_of_rounds()
    {
        using World world = WithLowAndHigh();
        MemoryMember cache = world.Root.CreateMember("cache");
        var boasting = new ScriptedReclaimer("boasts", static request => request.Bytes);
        using IDisposable registered = world.Root.AddReclaimer(boasting);

        world.Charge(cache, 8001);

        Assert.InRange(boasting.Calls.Count, 1, ChargeAttempt.MaxRounds);
        Assert.False(cache.IsKilled);
    }

    [Fact]
    public void Background_reclaim_gets_another_chance_after_a_reclaimer_threw()
    {
        using World world = WithLowAndHigh();
        MemoryMember cache = world.Root.CreateMember("cache");
        bool broken = true;
        using IDisposable registered = world.Root.AddReclaimer(new ScriptedReclaimer("sometimes", request =>
        {
            if (broken)
            {
                throw new InvalidOperationException("not now");
            }

            return cache.Free(request.Bytes);
        }));
        world.Charge(cache, 8001);
        Assert.Equal(8001, world.Root.Usage);
        broken = false;

        world.Charge(cache, 1);

        Assert.Equal(7000, world.Root.Usage);
    }

    private static World WithLowAndHigh() => new(10_000, static options => options with
    {
        MinWatermarkBytes = 1000,
        LowWatermarkBytes = 2000,
        HighWatermarkBytes = 3000,
    });

    private static ScriptedReclaimer Giving(MemoryMember member, long atMost) => new("cache", request =>
    {
        long bytes = Math.Min(Math.Min(request.Bytes, atMost), member.Usage);
        member.Uncharge(bytes);
        return bytes;
    });
}
