// Effective protection by the rules, and what a reclaim makes of it.
namespace MemoryGroups.Tests;

public sealed class MemoryProtectionTests
{
    private const long M = 1 << 20;

    // usage, its parent's, setting, the parent's effective, sum of the siblings' protected usage, recursive, expected
    [Theory]
    [Requirement("M43")]
    [InlineData(50, 200, 75, 50, 75, false, 33)]
    [InlineData(50, 200, 25, 50, 75, false, 16)]
    [InlineData(50, 200, 30, 100, 60, false, 30)]
    [InlineData(10, 200, 30, 100, 40, false, 10)]
    [InlineData(50, 150, 0, 100, 50, true, 25)]
    [InlineData(50, 150, 0, 100, 50, false, 0)]
    [InlineData(0, 0, 100, 100, 0, true, 0)]
    public void Effective_protection_follows_the_rules(
        long usage, long parent, long setting, long effective, long siblings, bool recursive, long expected) =>
        Assert.Equal(expected, MemoryProtection.Effective(usage, parent, setting, effective, siblings, recursive));

    [Fact]
    public void Huge_numbers_do_not_overflow()
    {
        long half = long.MaxValue / 2;

        Assert.Equal(half / 2, MemoryProtection.Effective(half, long.MaxValue, half, half, half * 2, false), 1.0);
    }

    [Fact]
    [Requirement("T32")]
    [Requirement("M41")]
    public void Target_is_not_protected_from_its_own_reclaim()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("p", new MemoryGroupOptions { Min = 75 * M });
        MemoryGroup child = parent.CreateGroup("c", new MemoryGroupOptions { Min = 75 * M });
        Assert.True(child.CreateMember("m").TryCharge(29 * M));

        Assert.Equal(default, new MemoryProtection(child).Of(child));
        Assert.Equal(29 * M, new MemoryProtection(parent).Of(child).Min);
        Assert.Equal(29 * M, new MemoryProtection(world.Root).Of(child).Min);
    }

    // Scaled from the kernel's own test: a parent that claims 50 shares it 75 : 25 among children that use 50 each.
    [Fact]
    [Requirement("T30")]
    public void Reclaim_leaves_each_child_its_share_of_the_parents_min()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = 200_000 });
        MemoryGroup b = a.CreateGroup("b", new MemoryGroupOptions { Min = 50_000 });
        CacheOf c = Child("c", 75_000, 50_000);
        CacheOf d = Child("d", 25_000, 50_000);
        CacheOf e = Child("e", 0, 50_000);
        MemoryMember grower = a.CreateGroup("g").CreateMember("grower");

        Assert.True(world.Charge(grower, 148_000).Granted);
        Pending tooMuch = world.Charge(grower, 22_000);

        // Shares are rounded down, so a byte for each child is lost at most.
        Assert.InRange(b.Usage, 49_997, 52_000);
        Assert.InRange(c.Held, 33_000, 39_000);
        Assert.InRange(d.Held, 12_000, 17_000);
        Assert.Equal(0, e.Held);
        Assert.True(grower.IsKilled, "protected memory was taken instead of killing");
        Assert.False(tooMuch.Granted);

        CacheOf Child(string name, long min, long held) =>
            new(b.CreateGroup(name, new MemoryGroupOptions { Min = min }), held);
    }

    [Fact]
    [Requirement("T31")]
    [Requirement("M41")]
    public void Low_yields_before_anybody_is_killed_and_is_counted()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = 200_000 });
        MemoryGroup b = a.CreateGroup("b", new MemoryGroupOptions { Low = 50_000 });
        var cache = new CacheOf(b, 50_000);
        MemoryMember grower = a.CreateGroup("g").CreateMember("grower");
        Assert.True(world.Charge(grower, 150_000).Granted);
        Assert.Equal(50_000, cache.Held);

        Pending more = world.Charge(grower, 20_000);

        Assert.True(more.Granted);
        Assert.False(grower.IsKilled);
        Assert.InRange(cache.Held, 1, 30_000);
        Assert.True(b.Events.Local.Low > 0);
        Assert.Equal(0, a.Events.Current.Oom);
    }

    // A cache that gives back exactly what it is asked for.
    private sealed class CacheOf : MemoryReclaimer
    {
        private readonly MemoryMember _member;

        public CacheOf(MemoryGroup group, long held)
            : base("cache of " + group.Name)
        {
            _member = group.CreateMember(
                "cache", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
            Assert.True(_member.TryCharge(held));
            Held = held;
            group.AddReclaimer(this);
        }

        public long Held { get; private set; }

        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
        {
            long give = Math.Min(request.Bytes, Held);
            Held -= give;
            _member.Uncharge(give);
            return ValueTask.FromResult(give);
        }
    }
}
