// Small requests pass a large one that does not fit, but not for ever: how it holds them back, and lets them go again.
namespace MemoryGroups.Tests;

public sealed class OomAgeingTests
{
    [Fact]
    public void Small_request_passes_a_large_one_that_does_not_fit()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending large = FullGroup.Ask(world, group, 500);
        Pending small = FullGroup.Ask(world, group, 100);

        hog.Uncharge(150);
        world.Run();

        Assert.True(small.Granted);
        Assert.True(large.Sleeps);
    }

    [Fact]
    public void Passed_too_often_a_large_request_holds_younger_ones_back_until_its_bytes_have_come_together()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending large = FullGroup.Ask(world, group, 150);
        PassOver(world, group, hog, OomRequest.PassesBeforeAged);
        world.Advance(group.WaitTimeout / 4);

        Pending young = FullGroup.Ask(world, group, 100);
        hog.Uncharge(100);
        world.Run();
        Assert.True(young.Sleeps);
        Pending newcomer = FullGroup.Ask(world, group, 10);
        Assert.True(newcomer.Sleeps);

        hog.Uncharge(50);
        world.Run();

        Assert.True(large.Granted);
        Assert.True(young.Sleeps);
        hog.Uncharge(110);
        world.Run();
        Assert.True(young.Granted);
        Assert.True(newcomer.Granted);
        Assert.Null(group.AgedRequest);
    }

    [Theory]
    [InlineData(OomRequest.PassesBeforeAged - 1, true)]
    [InlineData(OomRequest.PassesBeforeAged + 1, false)]
    public void Few_passes_or_a_short_wait_do_not_age(int passes, bool waitedLong)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending large = FullGroup.Ask(world, group, 150);
        if (waitedLong)
        {
            world.Advance(group.WaitTimeout / 4);
        }

        PassOver(world, group, hog, passes);
        hog.Uncharge(100);
        world.Run();

        Assert.True(large.Sleeps);
        Assert.True(FullGroup.Ask(world, group, 100).Granted);
    }

    [Fact]
    public void Woken_in_vain_is_not_passed_over()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        hog.Uncharge(50);
        List<Pending> waiting = [.. Enumerable.Range(0, OomRequest.PassesBeforeAged + 6).Select(
            _ => FullGroup.Ask(world, group, 100))];

        world.Advance(group.WaitTimeout / 4);

        // All look again, and all queue again.
        group.Max = 1001;
        world.Run();

        Assert.All(waiting, static one => Assert.True(one.Sleeps));
        Assert.True(FullGroup.Ask(world, group, 20).Granted);
    }

    [Fact]
    public void Requests_behind_an_aged_one_look_again_when_it_is_served_although_they_do_not_fit()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        MemoryMember holder = group.CreateMember("holder");
        Pending? holding = null;
        world.Once(ProbePoint.Marked, () => holding = world.Begin(holder, 400));
        Pending large = FullGroup.Ask(world, group, 150);
        Age(world, group, hog);
        Pending behind = FullGroup.Ask(world, group, 110);
        var cache = new Cache(hog);
        using IDisposable registered = group.AddReclaimer(cache);
        Assert.True(behind.Sleeps);

        // Nothing but the end of the aged request can tell the one behind it to ask the reclaimer.
        cache.Left = 110;
        hog.Uncharge(150);
        world.Run();

        Assert.True(large.Granted);
        Assert.True(holding!.Sleeps);
        Assert.True(behind.Granted);
    }

    [Fact]
    public void Requests_behind_an_aged_one_sleep_while_it_reclaims_although_they_fit()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending large = FullGroup.Ask(world, group, 150);
        Age(world, group, hog);
        hog.Uncharge(50);
        Pending behind = FullGroup.Ask(world, group, 10);
        using IDisposable registered = group.AddReclaimer(new Stuck());

        // Both are woken; the aged one is out of the queue for as long as its reclaimer takes.
        group.Max = 1001;
        world.Run();
        Assert.True(behind.Sleeps);

        hog.Uncharge(100);
        world.Advance(world.Root.ReclaimDeadline);
        Assert.True(large.Granted);
        hog.Uncharge(10);
        world.Run();
        Assert.True(behind.Granted);
    }

    [Fact]
    public void Aged_request_that_gives_up_lets_the_younger_ones_go()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending large = FullGroup.Ask(world, group, 500, cancel.Token);
        Age(world, group, hog);
        hog.Uncharge(100);
        Pending young = FullGroup.Ask(world, group, 100);
        Assert.True(young.Sleeps);

        cancel.Cancel();
        world.Run();

        Assert.True(young.Granted);
        large.Failed<OperationCanceledException>();
    }

    [Fact]
    public void Request_aged_in_two_groups_holds_nobody_back_once_it_is_over()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", FullGroup.Sleepy);
        MemoryGroup child = parent.CreateGroup("child", new MemoryGroupOptions { Max = 500 });
        MemoryMember hog = child.CreateMember("hog");
        MemoryMember neighbour = parent.CreateMember("neighbour");
        Assert.True(world.Charge(hog, 500).Granted);
        Assert.True(world.Charge(neighbour, 400).Granted);
        Pending large = FullGroup.Ask(world, child, 300);
        Age(world, child, hog);
        Assert.NotNull(child.AgedRequest);

        // Room in the child, none in the parent: it waits there, and is passed over there as well.
        Assert.True(world.Charge(neighbour, 100).Granted);
        hog.Uncharge(350);
        Assert.True(neighbour.TryCharge(350));
        world.Run();
        Assert.True(large.Sleeps);
        neighbour.Uncharge(100);
        world.Run();
        Assert.Same(parent.AgedRequest, Assert.Single(Sleepers.Of(parent)).Request);
        Assert.Null(child.AgedRequest);
        Pending inChild = FullGroup.Ask(world, child, 10);
        Assert.True(inChild.Sleeps);

        neighbour.Uncharge(300);
        world.Run();
        Assert.True(large.Granted);
        Assert.True(inChild.Granted);
        Assert.True(FullGroup.Ask(world, child, 10).Granted);
        Assert.True(FullGroup.Ask(world, parent, 10).Granted);
    }

    [Fact]
    public void Request_that_times_out_behind_an_aged_one_says_which_group_refused()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending large = FullGroup.Ask(world, group, 500);
        Age(world, group, hog);
        group.WaitTimeout = TimeSpan.FromSeconds(5);
        Pending behind = FullGroup.Ask(world, group, 10);

        world.Advance(TimeSpan.FromSeconds(5));

        MemoryLimitExceededException error = behind.Failed<MemoryLimitExceededException>();
        Assert.Equal(ChargeRefusal.TimedOut, error.Reason);
        Assert.Equal(group.Path, error.GroupPath);
        Assert.True(large.Sleeps);
    }

    [Theory]
    [InlineData(ChargeFlags.NoFail)]
    [InlineData(ChargeFlags.HighPriority)]
    [InlineData(ChargeFlags.FromReclaim)]
    [InlineData(ChargeFlags.NoWait)]
    public void Requests_that_must_not_wait_are_not_held_back_by_an_aged_one(ChargeFlags flags)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 500);
        Age(world, group, hog);
        hog.Uncharge(100);

        Assert.True(world.Charge(hog, 100, flags).Granted);
    }

    [Fact]
    public void Victim_is_not_held_back_by_an_aged_request()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        FullGroup.Ask(world, group, 500);
        Age(world, group, hog);
        MemoryMember victim = group.CreateMember("victim");
        hog.Uncharge(100);
        victim.ReceiveKill("by hand");

        Assert.True(world.Charge(victim, 10).Granted);
    }

    // Woken by the cut, it would go back to sleep behind the older one, which still can be granted.
    [Fact]
    public void Held_back_request_that_can_never_fit_any_more_leaves_at_once()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        Pending large = FullGroup.Ask(world, group, 150);
        Age(world, group, hog);
        Pending larger = FullGroup.Ask(world, group, 300);
        Assert.True(larger.Sleeps);

        group.Max = 200;
        world.Run();

        Assert.Equal(ChargeRefusal.Impossible, Assert.IsType<MemoryLimitExceededException>(larger.Error).Reason);
        Assert.True(large.Sleeps);
        Assert.NotNull(group.AgedRequest);
    }

    [Fact]
    public void Request_without_a_deadline_ages_after_a_quarter_of_the_usual_one()
    {
        using var world = new World();
        var request = new OomRequest(world.Root, null, 10, ChargeFlags.None, Timeout.InfiniteTimeSpan);
        for (int passes = 0; passes <= OomRequest.PassesBeforeAged; passes++)
        {
            Assert.False(request.AgesByPassLocked());
        }

        world.Advance(MemoryRootOptions.DefaultWaitTimeout / 4);

        Assert.True(request.AgesByPassLocked());
    }

    // Each time a younger request gets the bytes that were too few for whoever waits longest.
    private static void PassOver(World world, MemoryGroup group, MemoryMember hog, int times)
    {
        for (int i = 0; i < times; i++)
        {
            using MemoryMember passing = group.CreateMember("passing");
            Pending small = world.Charge(passing, 100);
            hog.Uncharge(100);
            world.Run();
            Assert.True(small.Granted, $"pass {i} was not let through");
            Assert.True(passing.Books.TryMoveTo(hog.Books, 100));
        }
    }

    // Until whoever waits longest has been passed over too often and for too long.
    private static void Age(World world, MemoryGroup group, MemoryMember hog)
    {
        PassOver(world, group, hog, OomRequest.PassesBeforeAged);
        world.Advance(group.WaitTimeout / 4);
        hog.Uncharge(100);
        Assert.True(hog.TryCharge(100));
        world.Run();
    }

    // Has nothing to give until a test says so.
    private sealed class Cache(MemoryMember owner) : MemoryReclaimer("cache")
    {
        public long Left { get; set; }

        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
        {
            long given = Math.Min(Left, request.Bytes);
            Left -= given;
            owner.Uncharge(given);
            return ValueTask.FromResult(given);
        }
    }

    private sealed class Stuck() : MemoryReclaimer("stuck")
    {
        private readonly TaskCompletionSource<long> _never = new();

        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken) =>
            new(_never.Task);
    }
}
