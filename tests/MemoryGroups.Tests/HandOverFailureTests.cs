// No memory to hand work over to the pool: what was to be run is not, and nothing waits for it, or is shut, for ever.
namespace MemoryGroups.Tests;

public sealed class HandOverFailureTests
{
    private bool _fails;

    [Fact]
    public void Reclaimer_that_could_not_be_asked_is_asked_the_next_time()
    {
        using World world = NewWorld();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        group.AddReclaimer(new ScriptedReclaimer("cache", request => hog.Free(request.Bytes)));
        MemoryMember asker = group.CreateMember("asker");

        _fails = true;
        world.Charge(asker, 100).Failed<OutOfMemoryException>();
        Assert.Equal((0, 0), (asker.Usage, asker.Waiters!.Count));
        Pending again = world.Charge(asker, 100);

        Assert.True(again.Granted);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    public void Last_resort_that_could_not_be_asked_is_over_for_all_who_wait_for_it()
    {
        using World world = NewWorld(capacity: 1000);
        MemoryMember hog = world.Root.CreateMember("hog");
        Assert.True(world.Charge(hog, 1000).Granted);
        MemoryMember asker = world.Root.CreateMember("asker");
        using IDisposable registered = world.Root.AddLastResortReclaimer(
            new ScriptedReclaimer("cache", request => hog.Free(request.Bytes)));

        _fails = true;
        Pending first = world.Charge(asker, 100);
        Assert.True(first.Sleeps && hog.IsKilled, "nothing was freed, so somebody has to die");
        hog.Dispose();
        world.Run();

        Assert.True(first.Granted);
        Assert.True(world.Charge(world.Root.CreateMember("hog"), 900).Granted);
    }

    [Fact]
    public void Charge_is_granted_although_nobody_can_reclaim_in_the_background()
    {
        using World world = NewWorld(capacity: 1000, low: 500);
        MemoryMember cache = world.Root.CreateMember("cache");
        int calls = 0;
        world.Root.AddReclaimer(new ScriptedReclaimer("cache", _ => calls++));

        _fails = true;
        Assert.True(cache.TryCharge(600));
        Assert.Equal(600, cache.Usage);
        world.Run();
        Assert.Equal(0, calls);
        Assert.True(cache.TryCharge(1));
        world.Run();

        Assert.Equal(1, calls);
    }

    // The bytes are charged when it comes to that.
    [Fact]
    public void Charge_that_could_not_be_slowed_down_is_granted()
    {
        using World world = NewWorld();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { High = 100 });
        group.AddReclaimer(new ScriptedReclaimer("cache", static _ => 0));
        MemoryMember member = group.CreateMember("member");

        _fails = true;
        Pending charge = world.Charge(member, 101);

        Assert.True(charge.Granted, $"{charge.Error}");
        Assert.False(_fails);
        Assert.Equal((101, 0), (member.Usage, member.Waiters?.Count ?? 0));
    }

    private World NewWorld(long capacity = long.MaxValue, long low = 0) => new(capacity, options => options with
    {
        LowWatermarkBytes = low,
        PostHook = item =>
        {
            if (_fails)
            {
                _fails = false;
                throw new InsufficientMemoryException();
            }

            options.PostHook!(item);
        },
    });
}
