// Limit changes that meet a growing workload, a busy reclaimer, a cancellation, or a killer that is switched off.
namespace MemoryGroups.Tests;

public sealed class LimitChangeRaceTests
{
    [Fact]
    public void Set_max_kills_nobody_where_killing_is_switched_off()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);

        Assert.False(world.Await(tenant.SetMaxAsync(500)));

        Assert.False(hog.IsKilled);
        Assert.Equal(500, tenant.Max);
    }

    [Fact]
    [Requirement("B33")]
    [Requirement("M39")]
    public void Set_max_wins_against_a_workload_that_grows_meanwhile()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember cache = tenant.CreateMember("cache");
        Assert.True(world.Charge(cache, 900).Granted);
        MemoryMember grower = tenant.CreateMember("grower");
        int refusals = 0;
        tenant.AddReclaimer(new ScriptedReclaimer("cache", request =>
        {
            cache.Uncharge(10);
            refusals += grower.TryCharge(10) ? 0 : 1;
            return 10;
        }));

        Assert.True(world.Await(tenant.SetMaxAsync(850)));

        Assert.Equal(850, tenant.Usage);
        Assert.Equal(5, refusals);
        Assert.False(cache.IsKilled);
    }

    // Found by schedules 5018807 and 6583903: the setter looked at a limit of 1000 and meant to lower it to 600; when
    // it came to it, it raised it from 300.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("M39")]
    [Requirement("I3")]
    public async Task Lower_limit_that_comes_after_a_still_lower_one_wakes_who_waits_for_that(bool refusing)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        using MemoryMember stuck = tenant.CreateMember("stuck");
        Assert.True(stuck.TryCharge(400));
        Task<bool>? lowering = null;
        world.Once(ProbePoint.BeforeSwap, () =>
        {
            lowering = tenant.SetMaxAsync(300).AsTask();
            world.Run();
            Assert.True(stuck.IsKilled && !lowering.IsCompleted);
        });

        if (refusing)
        {
            Assert.True(world.Await(tenant.TrySetMaxAsync(600)));
        }
        else
        {
            tenant.Max = 600;
            world.Run();
        }

        Assert.True(lowering!.IsCompleted);
        Assert.True(await lowering);
        Assert.Equal(600, tenant.Max);
    }

    [Fact]
    [Requirement("M39")]
    public void Set_max_reclaims_before_it_kills_and_waits_for_a_busy_reclaimer()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember cache = FullGroup.Fill(world, tenant);
        var busy = new TaskCompletionSource<long>();
        tenant.AddReclaimer(new ScriptedReclaimer("cache", (_, _) => new ValueTask<long>(busy.Task)));
        Task<long> other = tenant.ReclaimAsync(100).AsTask();
        world.Run();

        Task<bool> setting = tenant.SetMaxAsync(700).AsTask();
        world.Run();
        Assert.False(cache.IsKilled);
        cache.Uncharge(300);
        busy.SetResult(300);
        world.Advance(TimeSpan.FromMilliseconds(10));

        Assert.True(Answer(setting) && other.IsCompleted);
        Assert.False(cache.IsKilled);
    }

    [Fact]
    [Requirement("M39")]
    public void Cancelled_set_max_stops_and_the_limit_stays()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, tenant);
        using var cancel = new CancellationTokenSource();
        Task<bool> setting = tenant.SetMaxAsync(500, cancel.Token).AsTask();
        world.Run();
        Assert.True(hog.IsKilled);
        Assert.False(setting.IsCompleted);

        cancel.Cancel();
        world.Run();

        Assert.False(Answer(setting));
        Assert.Equal((500, 0), (tenant.Max, world.Root.WaitingCharges));
    }

    [Fact]
    [Requirement("M39")]
    public void Try_set_max_reclaims_and_then_sets()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember cache = FullGroup.Fill(world, tenant);
        var reclaimer = new ScriptedReclaimer("cache", request => cache.Free(request.Bytes));
        tenant.AddReclaimer(reclaimer);

        Assert.True(world.Await(tenant.TrySetMaxAsync(600)));

        Assert.Equal((600, 600), (tenant.Max, tenant.Usage));
        Assert.All(reclaimer.Calls, static call => Assert.Equal(ReclaimReason.LimitLowered, call.Reason));
    }

    // The usage grew in between, so the old limit comes back; not over the one that somebody else has set meanwhile.
    [Fact]
    [Requirement("M39")]
    public void Refused_try_set_max_does_not_undo_the_same_limit_set_by_somebody_else()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(member.TryCharge(500));
        bool isSet = false;
        world.Once(ProbePoint.BeforeSwap, () =>
        {
            Assert.True(member.TryCharge(200));
            world.Once(ProbePoint.BeforeSwap, () =>
            {
                isSet = true;
                tenant.Max = 600;
            });
        });

        Assert.False(world.Await(tenant.TrySetMaxAsync(600)));

        Assert.Equal(isSet ? 600 : 1000, tenant.Max);
        Assert.Equal(700, tenant.Usage);
    }

    [Theory]
    [InlineData("Max")]
    [InlineData("TrySetMax")]
    [InlineData("SetMax")]
    [Requirement("T59")]
    [Requirement("I3")]
    public void Raised_limit_wakes_who_waits_whichever_way_it_was_raised(string way)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        FullGroup.Fill(world, tenant);
        Pending waiter = FullGroup.Ask(world, tenant, 100);
        Assert.True(waiter.Sleeps);

        switch (way)
        {
            case "Max":
                tenant.Max = 1100;
                break;
            case "TrySetMax":
                Assert.True(world.Await(tenant.TrySetMaxAsync(1100)));
                break;
            default:
                Assert.True(world.Await(tenant.SetMaxAsync(1100)));
                break;
        }

        world.Run();
        Assert.True(waiter.Granted);
    }

    [Fact]
    [Requirement("T12")]
    public void Limit_of_zero_admits_nothing_but_zero_bytes_and_kills_for_neither()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 0 });
        MemoryMember member = tenant.CreateMember("member");

        Assert.True(member.TryCharge(0));
        Assert.Equal(ChargeRefusal.Impossible, world.Charge(member, 1).Failed<MemoryLimitExceededException>().Reason);
        Assert.False(member.IsKilled);
    }

    private static bool Answer(Task<bool> setting)
    {
        Assert.True(setting.IsCompleted, "it should have ended by now");
        return setting.GetAwaiter().GetResult();
    }
}
