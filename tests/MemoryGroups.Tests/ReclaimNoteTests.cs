// What a charge that may not wait asks of reclaimers, and what its error says of them; and whom a shortage asks first.
namespace MemoryGroups.Tests;

public sealed class ReclaimNoteTests
{
    [Fact]
    public void Reclaimer_that_was_asked_on_the_callers_thread_may_be_asked_again()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = Full(world);
        var cache = new ScriptedReclaimer("cache", request => hog.Free(request.Bytes));
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
        slow.SetResult(hog.Free(10));
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
        slow.SetResult(hog.Free(1000));
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

    [Fact]
    public void Reclaimer_that_was_late_on_the_callers_thread_may_be_asked_again_when_it_is_over()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = Full(world);
        var slow = new TaskCompletionSource<long>();
        var reclaimer = new ScriptedReclaimer("slow", (_, _) => new ValueTask<long>(slow.Task));
        group.AddReclaimer(reclaimer);
        MemoryMember asker = group.CreateMember("asker");
        Assert.Throws<MemoryLimitExceededException>(() => asker.Charge(10));
        slow.SetResult(0);

        Assert.Throws<MemoryLimitExceededException>(() => asker.Charge(10));

        Assert.True(reclaimer.Calls.Count > 1);
        Assert.Equal(1000, hog.Usage);
    }

    // The one that was not called because the asker died is nobody's, not busy.
    [Fact]
    public void Reclaimer_after_the_one_that_killed_the_asker_may_be_asked_by_others()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = Full(world);
        MemoryMember asker = group.CreateMember("asker");
        var second = new ScriptedReclaimer("second", request => hog.Free(request.Bytes));
        using (group.AddReclaimer(new ScriptedReclaimer("first", _ =>
        {
            asker.Kill("test");
            return 0;
        })))
        {
            group.AddReclaimer(second);
            world.Charge(asker, 100);
            Assert.True(asker.IsKilled);
        }

        int calls = second.Calls.Count;
        Assert.True(world.Charge(group.CreateMember("other"), 100).Granted);
        Assert.Equal(calls + 1, second.Calls.Count);
    }

    [Fact]
    public void Group_is_not_said_to_be_below_its_low_by_a_reclaim_that_kept_to_it()
    {
        using var world = new World();
        MemoryGroup above = world.Root.CreateGroup("above");
        MemoryGroup group = above.CreateGroup("group", new MemoryGroupOptions { Low = 100 });
        MemoryMember member = group.CreateMember("member");
        member.Charge(150);
        group.AddReclaimer(new ScriptedReclaimer("generous", _ => member.Free(100)));
        above.Low = 100;

        world.Await(above.ReclaimAsync(10));

        Assert.Equal((50, 0), (group.Usage, group.Events.Local.Low));
    }

    [Fact]
    public void Requested_reclaim_ends_at_once_when_it_is_cancelled_in_the_middle_of_a_call()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember _) = Full(world);
        using var source = new CancellationTokenSource();
        var never = new TaskCompletionSource<long>();
        group.AddReclaimer(new ScriptedReclaimer(
            "hangs", (_, token) => new ValueTask<long>(never.Task.WaitAsync(token))));
        Task<long> reclaiming = group.ReclaimAsync(10, source.Token).AsTask();
        world.Run();
        Assert.False(reclaiming.IsCompleted);

        source.Cancel();
        world.Run();

        Assert.True(reclaiming.IsCompleted);
    }

    private static ScriptedReclaimer Using(MemoryGroup parent, string name, long bytes, long softLimit)
    {
        MemoryGroup group = parent.CreateGroup(name, new MemoryGroupOptions { SoftLimit = softLimit });
        MemoryMember member = group.CreateMember("m");
        Assert.True(member.TryCharge(bytes));
        var cache = new ScriptedReclaimer(name, request => member.Free(request.Bytes));
        group.AddReclaimer(cache);
        return cache;
    }

    private static (MemoryGroup Group, MemoryMember Hog) Full(World world)
    {
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000 });
        return (group, FullGroup.Fill(world, group));
    }
}
