// What a charge that may not wait asks of reclaimers, and what its error says of them; and whom a shortage asks first.
namespace MemoryGroups.Tests;

public sealed class ReclaimNoteTests
{
    [Fact]
    public void Reclaimer_that_was_asked_on_the_callers_thread_may_be_asked_again()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = Full(world);
        var cache = new ScriptedReclaimer("cache", request => Free(hog, request.Bytes));
        group.AddReclaimer(cache);
        MemoryMember asker = group.CreateMember("asker");

        asker.Charge(100);
        asker.Charge(200);

        Assert.Equal([100, 200], cache.Calls.Select(static call => call.Bytes));
    }

    [Fact]
    public void Reclaimer_that_works_for_somebody_else_is_said_to_be_busy()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = Full(world);
        var slow = new TaskCompletionSource<long>();
        group.AddReclaimer(new ScriptedReclaimer("slow", (_, _) => new ValueTask<long>(slow.Task)));
        ValueTask<long> reclaiming = group.ReclaimAsync(10);
        world.Run();

        var error = Assert.Throws<MemoryLimitExceededException>(() => group.CreateMember("asker").Charge(10));
        slow.SetResult(Free(hog, 10));
        world.Run();

        Assert.Contains("slow gave 0 (busy)", error.Message, StringComparison.Ordinal);
        Assert.True(reclaiming.IsCompletedSuccessfully);
    }

    // It may be waiting for one of those who sleep: then nobody gets anywhere, and that is worth a word.
    [Theory]
    [InlineData(false, "slow gave 0 (late)")]
    [InlineData(true, "slow gave 0 (late, and charges wait for memory here: it may be waiting for one of them)")]
    public void Late_reclaimer_is_suspected_only_while_somebody_sleeps(bool sleeper, string said)
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = Full(world);
        group.Oom.KillDisabled = true;
        Pending? asking = sleeper ? FullGroup.Ask(world, group, 500) : null;
        var slow = new TaskCompletionSource<long>();
        group.AddReclaimer(new ScriptedReclaimer("slow", (_, _) => new ValueTask<long>(slow.Task)));

        var error = Assert.Throws<MemoryLimitExceededException>(() => group.CreateMember("asker").Charge(10));
        slow.SetResult(Free(hog, 1000));
        world.Run();

        Assert.Contains(said, error.Message, StringComparison.Ordinal);
        Assert.True(asking is null or { Granted: true });
    }

    [Fact]
    public void Soft_limits_are_for_a_shortage_of_the_capacity_and_not_for_that_of_a_group()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        ScriptedReclaimer over = Using(tenant, "over", 500, softLimit: 100);
        ScriptedReclaimer within = Using(tenant, "within", 500, softLimit: 500);

        Assert.True(world.Charge(tenant.CreateMember("asker"), 100).Granted);

        Assert.InRange(over.Calls[0].Bytes, 45, 55);
        Assert.InRange(within.Calls[0].Bytes, 45, 55);
    }

    [Fact]
    public void Reclaim_that_was_asked_for_by_name_ignores_soft_limits_also_at_the_root()
    {
        using var world = new World(capacity: 2000);
        ScriptedReclaimer over = Using(world.Root, "over", 500, softLimit: 100);
        ScriptedReclaimer within = Using(world.Root, "within", 500, softLimit: 500);

        Assert.Equal(100, world.Await(world.Root.ReclaimAsync(100)));

        Assert.InRange(over.Calls[0].Bytes, 45, 55);
        Assert.InRange(within.Calls[0].Bytes, 45, 55);
    }

    [Fact]
    public void Group_that_is_furthest_over_its_soft_limit_pays_first_however_much_others_use()
    {
        using var world = new World(capacity: 1000);
        ScriptedReclaimer little = Using(world.Root, "little", 600, softLimit: 550);
        ScriptedReclaimer far = Using(world.Root, "far", 400, softLimit: 100);

        Assert.True(world.Charge(world.Root.CreateMember("asker"), 100).Granted);

        Assert.Equal(100, Assert.Single(far.Calls).Bytes);
        Assert.Empty(little.Calls);
    }

    private static ScriptedReclaimer Using(MemoryGroup parent, string name, long bytes, long softLimit)
    {
        MemoryGroup group = parent.CreateGroup(name, new MemoryGroupOptions { SoftLimit = softLimit });
        MemoryMember member = group.CreateMember("m");
        Assert.True(member.TryCharge(bytes));
        var cache = new ScriptedReclaimer(name, request => Free(member, request.Bytes));
        group.AddReclaimer(cache);
        return cache;
    }

    private static long Free(MemoryMember hog, long bytes)
    {
        hog.Uncharge(bytes);
        return bytes;
    }

    private static (MemoryGroup Group, MemoryMember Hog) Full(World world)
    {
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(hog.TryCharge(1000));
        return (group, hog);
    }
}
