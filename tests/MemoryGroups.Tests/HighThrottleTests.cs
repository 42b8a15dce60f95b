// Above High nobody dies: who charges is slowed down, the more the further above.
namespace MemoryGroups.Tests;

public sealed class HighThrottleTests
{
    private const long M = 1 << 20;

    [Theory]
    [Requirement("M40")]
    [Requirement("T24")]
    [InlineData(100, 64, 0)]
    [InlineData(101, 64, 0)]
    [InlineData(102, 64, 25)]
    [InlineData(105, 64, 159)]
    [InlineData(110, 64, 639)]
    [InlineData(115, 64, 1439)]
    [InlineData(118, 64, 2000)]
    [InlineData(900, 64, 2000)]
    [InlineData(110, 32, 319)]
    public void Pause_grows_with_the_square_of_the_overage(long usageMiB, long pages, long milliseconds) =>
        Assert.InRange(
            HighThrottle.DelayMilliseconds(usageMiB * M, 100 * M, pages * 4096), milliseconds - 1, milliseconds + 1);

    [Theory]
    [InlineData(41, 0)]
    [InlineData(45, 0)]
    [InlineData(46, 11)]
    public void Pause_of_ten_milliseconds_is_not_worth_it(long bytes, long milliseconds) =>
        Assert.Equal(milliseconds, HighThrottle.DelayMilliseconds(2 << 20, 1 << 20, bytes));

    [Fact]
    public void High_of_zero_and_huge_usage_do_not_overflow() =>
        Assert.Equal(2000, HighThrottle.DelayMilliseconds(long.MaxValue, 0, MemoryMember.MaxChargeBytes));

    [Fact]
    [Requirement("T24")]
    public void Charge_above_high_is_granted_and_then_paused()
    {
        using var world = new World();
        MemoryGroup group = Group(world);
        MemoryMember member = group.CreateMember("m");
        Assert.True(member.TryCharge(110 * M));

        Pending charge = world.Charge(member, 256 * 1024);

        Assert.True(charge.Sleeps);
        Assert.Equal((110 * M) + (256 * 1024), member.Usage);
        Assert.True(group.Events.Local.High > 0);
        world.Advance(TimeSpan.FromMilliseconds(600));
        Assert.True(charge.Sleeps);
        world.Advance(TimeSpan.FromMilliseconds(120));
        Assert.True(charge.Granted);
        Assert.Equal(0, member.Waiters?.Count ?? 0);
        Assert.Equal(0, group.Events.Local.Oom);
    }

    [Fact]
    [Requirement("T24")]
    public void Kill_ends_the_pause_at_once_and_the_dying_are_not_paused()
    {
        using var world = new World();
        MemoryMember member = Group(world).CreateMember("m");
        Assert.True(member.TryCharge(150 * M));
        Pending charge = world.Charge(member, 256 * 1024);
        Assert.True(charge.Sleeps);

        member.Kill("enough");
        world.Run();

        Assert.False(charge.Sleeps);
        Assert.True(world.Charge(member, 256 * 1024).Granted);
    }

    [Fact]
    [Requirement("T22")]
    public void Reclaimable_memory_is_reclaimed_instead_of_pausing()
    {
        using var world = new World();
        MemoryGroup group = Group(world);
        MemoryMember cache = group.CreateMember("cache");
        Assert.True(cache.TryCharge(80 * M));
        var reclaimer = new GivesBack(cache);
        group.AddReclaimer(reclaimer);
        MemoryMember member = group.CreateMember("m");
        Assert.True(member.TryCharge(25 * M));

        Assert.True(world.Charge(member, 256 * 1024).Granted);

        Assert.True(group.Usage <= 100 * M);
        Assert.Equal(0, group.Events.Local.Oom);
    }

    [Fact]
    public void Write_of_high_takes_stock_back_even_when_nothing_is_above_it()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(group);

        group.High = Stocked.AmpleLimit / 2;

        Assert.Equal(0, member.Books.Held);
        Assert.Equal(member.Usage, group.Usage);
    }

    // A round that got nowhere counts only until one gets somewhere.
    [Fact]
    public void Reclaim_in_the_background_goes_on_for_as_long_as_the_usage_falls()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group");
        MemoryMember member = group.CreateMember("member");
        member.Charge(300);
        var cache = new ScriptedReclaimer("cache", _ =>
        {
            member.Uncharge(1);
            return 1;
        });
        group.AddReclaimer(cache);

        group.High = 100;
        world.Run();

        Assert.Equal((100, 200), (group.Usage, cache.Calls.Count));
    }

    private static MemoryGroup Group(World world) =>
        world.Root.CreateGroup("g", new MemoryGroupOptions { High = 100 * M, BatchBytes = 1 });

    private sealed class GivesBack(MemoryMember cache) : MemoryReclaimer("cache")
    {
        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
        {
            long give = Math.Min(request.Bytes, cache.Usage);
            cache.Uncharge(give);
            return ValueTask.FromResult(give);
        }
    }
}
