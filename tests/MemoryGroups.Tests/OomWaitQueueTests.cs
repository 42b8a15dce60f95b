// Who is woken by what, in which order, and that no wake is lost on somebody who does not use it.
namespace MemoryGroups.Tests;

public sealed class OomWaitQueueTests
{
    [Fact]
    public void Oldest_waiter_is_served_first()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        List<Pending> waiting = [.. Enumerable.Range(0, 3).Select(i => FullGroup.Ask(world, group, 100))];

        hog.Uncharge(200);
        world.Run();

        Assert.Equal([true, true, false], waiting.Select(static one => one.Granted));
        hog.Uncharge(100);
        world.Run();
        Assert.True(waiting[2].Granted);
    }

    [Fact]
    public void Woken_waiter_that_has_to_wait_again_keeps_its_place()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending holder = FullGroup.Ask(world, group, 900);
        Pending first = FullGroup.Ask(world, group, 100);
        Pending second = FullGroup.Ask(world, group, 100);
        hog.Uncharge(100);
        Assert.True(hog.TryCharge(100));
        world.Run();
        Assert.True(first.Sleeps);

        hog.Uncharge(100);
        world.Run();

        Assert.True(first.Granted);
        Assert.True(second.Sleeps);
        Assert.True(holder.Sleeps);
    }

    [Fact]
    public void Older_waiter_of_an_ancestor_comes_before_a_younger_one_of_the_group_itself()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", FullGroup.Sleepy);
        MemoryGroup full = parent.CreateGroup("full", new MemoryGroupOptions { Max = 500 });
        MemoryGroup other = parent.CreateGroup("other");
        MemoryMember hog = full.CreateMember("hog");
        Assert.True(world.Charge(hog, 500).Granted);
        Assert.True(world.Charge(other.CreateMember("rest"), 500).Granted);
        Pending older = FullGroup.Ask(world, other, 100);
        Pending younger = FullGroup.Ask(world, full, 100);

        hog.Uncharge(100);
        world.Run();

        Assert.True(older.Granted);
        Assert.True(younger.Sleeps);
    }

    [Fact]
    public void Hint_is_handed_on_when_the_woken_one_is_cancelled()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending holder = FullGroup.Ask(world, group, 900);
        Pending first = FullGroup.Ask(world, group, 100, cancel.Token);
        Pending second = FullGroup.Ask(world, group, 100);

        hog.Uncharge(100);
        cancel.Cancel();
        world.Run();

        first.Failed<OperationCanceledException>();
        Assert.True(second.Granted);
        Assert.True(holder.Sleeps);
    }

    [Fact]
    public void Hint_is_handed_on_when_the_woken_one_exits()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending holder = FullGroup.Ask(world, group, 900);
        MemoryMember leaver = group.CreateMember("leaver");
        Pending first = world.Charge(leaver, 100);
        Pending second = FullGroup.Ask(world, group, 100);

        hog.Uncharge(100);
        leaver.Dispose();
        world.Run();

        first.Failed<ObjectDisposedException>();
        Assert.True(second.Granted);
        Assert.True(holder.Sleeps);
    }

    [Fact]
    public void Bytes_are_not_kept_for_one_who_is_already_leaving()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending holder = FullGroup.Ask(world, group, 900);
        Pending first = FullGroup.Ask(world, group, 100, cancel.Token);
        Pending second = FullGroup.Ask(world, group, 100);

        cancel.Cancel();
        hog.Uncharge(100);
        world.Run();

        first.Failed<OperationCanceledException>();
        Assert.True(second.Granted);
        Assert.True(holder.Sleeps);
    }

    [Fact]
    public void High_priority_waiter_at_the_root_is_woken_by_bytes_that_only_it_may_use()
    {
        using var world = new World(1000, options => options with { MinWatermarkBytes = 200 });
        MemoryMember hog = world.Root.CreateMember("hog");
        MemoryMember urgent = world.Root.CreateMember("urgent", new() { OomScoreAdjustment = MemoryMember.NeverKill });
        Assert.True(world.Charge(hog, 800).Granted);
        Assert.True(world.Charge(urgent, 90, ChargeFlags.HighPriority).Granted);
        Pending asking = world.Charge(urgent, 40, ChargeFlags.HighPriority);
        Assert.True(hog.IsKilled);
        Assert.True(asking.Sleeps);

        hog.Uncharge(50);
        world.Run();

        Assert.True(asking.Granted);
    }

    [Fact]
    public void Member_of_a_killed_shared_space_wakes_its_group_when_it_exits()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup elsewhere = world.Root.CreateGroup("elsewhere");
        MemoryMember here = group.CreateMember("here");
        MemoryMember there = elsewhere.CreateMember("there", new MemoryMemberOptions { Space = here.Space });
        MemoryMember next = group.CreateMember("next");
        Assert.True(world.Charge(there, 5000).Granted);
        Assert.True(world.Charge(here, 100).Granted);
        Assert.True(world.Charge(next, 900).Granted);
        Pending asking = FullGroup.Ask(world, group, 500);
        Assert.True(here.IsKilled);

        // What it frees is too little, and the rest of the space is no business of this group any more.
        here.Dispose();
        world.Run();

        Assert.True(next.IsKilled);
        next.Dispose();
        world.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    public void Wake_runs_nothing_on_the_thread_that_gave_the_bytes_back()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending waiting = FullGroup.Ask(world, group, 100);

        hog.Uncharge(100);

        Assert.True(waiting.Sleeps);
        Assert.Equal(1, world.PostedCount);
        world.Run();
        Assert.True(waiting.Granted);
    }

    [Fact]
    public void Waiter_of_a_group_is_woken_whatever_it_would_have_to_leave_free_at_the_root()
    {
        using var world = new World(1 << 20, options => options with { MinWatermarkBytes = 1 << 16 });
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending asking = FullGroup.Ask(world, group, 100);

        hog.Uncharge(100);
        world.Run();

        Assert.True(asking.Granted);
    }
}
