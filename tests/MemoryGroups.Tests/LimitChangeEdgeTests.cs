// Careful and enforced writes of Max at their edges: boasting and silent reclaimers, reclaimers that are busy, tokens.
namespace MemoryGroups.Tests;

public sealed class LimitChangeEdgeTests
{
    [Fact]
    public void Careful_write_raises_at_once_and_asks_nobody_for_the_limit_that_is_there()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = InUse(world);
        var cache = new ScriptedReclaimer("cache", static _ => 0);
        group.AddReclaimer(cache);
        group.Max = 300;

        Assert.True(world.Await(group.TrySetMaxAsync(300)));
        Assert.True(world.Await(group.TrySetMaxAsync(2000)));

        Assert.Equal((2000, 600), (group.Max, hog.Usage));
        Assert.Empty(cache.Calls);
    }

    [Fact]
    public void Careful_write_counts_no_idle_stock()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(group);
        Assert.True(group.Usage > member.Usage);

        Assert.True(world.Await(group.TrySetMaxAsync(member.Usage)));

        Assert.Equal((group.Max, member.Usage), (member.Usage, group.Usage));
    }

    [Fact]
    public void Careful_write_refuses_who_sleeps_for_more_than_can_ever_fit_now()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", FullGroup.Sleepy);
        FullGroup.Fill(world, parent);
        MemoryGroup child = parent.CreateGroup("child", new MemoryGroupOptions { Max = 1000 });
        Pending asking = FullGroup.Ask(world, child, 500);
        Assert.True(asking.Sleeps);

        Assert.True(world.Await(child.TrySetMaxAsync(400)));
        world.Run();

        Assert.Equal(ChargeRefusal.Impossible, asking.Failed<MemoryLimitExceededException>().Reason);
    }

    // What counts is the usage, not what a reclaimer says it gave; and exactly enough is enough.
    [Fact]
    public void Careful_write_believes_the_usage_and_not_the_reclaimer()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = InUse(world);
        group.AddReclaimer(new ScriptedReclaimer("silent", _ =>
        {
            hog.Uncharge(300);
            return 0;
        }));

        Assert.True(world.Await(group.TrySetMaxAsync(300)));

        Assert.Equal((300, 300), (group.Max, group.Usage));
    }

    [Fact]
    public void Careful_write_goes_on_as_long_as_something_comes()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = InUse(world);
        group.AddReclaimer(new ScriptedReclaimer("slow", _ => hog.Free(50)));

        Assert.True(world.Await(group.TrySetMaxAsync(100)));

        Assert.Equal((100, 100), (group.Max, group.Usage));
    }

    [Fact]
    public void Careful_write_gives_up_on_a_boasting_reclaimer_and_leaves_the_limit()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = InUse(world);
        var boasting = new ScriptedReclaimer("boasting", static request => request.Bytes);
        group.AddReclaimer(boasting);

        Assert.False(world.Await(group.TrySetMaxAsync(300)));

        Assert.Equal((1000, 600), (group.Max, hog.Usage));
        Assert.InRange(boasting.Calls.Count, 2, 100);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Write_that_is_cancelled_waits_for_no_reclaimer_and_asks_no_other(bool enforced)
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = InUse(world);
        var never = new TaskCompletionSource<long>();
        var cache = new ScriptedReclaimer("stuck", (_, cancel) => new ValueTask<long>(never.Task.WaitAsync(cancel)));
        group.AddReclaimer(cache);
        using var cancelling = new CancellationTokenSource();
        Task<bool> writing = enforced
            ? group.SetMaxAsync(300, cancelling.Token).AsTask()
            : group.TrySetMaxAsync(300, cancelling.Token).AsTask();
        world.Run();
        Assert.False(writing.IsCompleted);

        await cancelling.CancelAsync();
        world.Run();

        Assert.True(writing.IsCompleted, "it waits for the reclaimer");
        Assert.False(await writing);
        Assert.Single(cache.Calls);
        Assert.False(hog.IsKilled);
        Assert.Equal(enforced ? 300 : 1000, group.Max);
    }

    // A kill while somebody else's reclaim is under way would be early.
    [Fact]
    public async Task Enforced_write_lets_a_reclaim_that_is_under_way_finish_before_it_kills()
    {
        using var world = new World();
        (MemoryGroup group, MemoryMember hog) = InUse(world);
        var slow = new TaskCompletionSource<long>();
        group.AddReclaimer(new ScriptedReclaimer("slow", (_, _) => new ValueTask<long>(slow.Task)));
        ValueTask<long> reclaiming = group.ReclaimAsync(10);
        world.Run();
        Task<bool> writing = group.SetMaxAsync(300).AsTask();
        world.Advance(TimeSpan.FromMilliseconds(15));
        Assert.False(writing.IsCompleted || hog.IsKilled, "it did not wait");

        slow.SetResult(hog.Free(500));
        world.Advance(TimeSpan.FromMilliseconds(200));

        Assert.True(reclaiming.IsCompleted);
        Assert.True(writing.IsCompleted && await writing);
        Assert.False(hog.IsKilled);
    }

    private static (MemoryGroup Group, MemoryMember Hog) InUse(World world)
    {
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(hog.TryCharge(600));
        return (group, hog);
    }
}
