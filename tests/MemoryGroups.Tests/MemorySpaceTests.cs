// The space: who is in it, pins against the reaper, and what the reaper may take.
namespace MemoryGroups.Tests;

public sealed class MemorySpaceTests
{
    [Fact]
    public void Usage_is_that_of_all_members_and_falls_with_each_that_leaves()
    {
        using var world = new World();
        MemoryMember first = world.Root.CreateMember("first");
        MemoryMember second = world.Root.CreateGroup("group").CreateMember(
            "second", new MemoryMemberOptions { Space = first.Space });
        first.Charge(100);
        second.Charge(50);
        Assert.Equal((150, first), (first.Space.Usage, first.Space.Owner));

        first.Dispose();

        Assert.Equal((50, second), (second.Space.Usage, second.Space.Owner));
        second.Dispose();
        Assert.Equal((0, true), (second.Space.Usage, second.Space.IsGone));
    }

    [Fact]
    [Requirement("B36")]
    public void Space_whose_members_all_left_by_themselves_can_be_joined_and_its_new_member_can_be_killed()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember before = tenant.CreateMember("before");
        before.Dispose();
        Assert.False(before.Space.IsHidden);
        MemoryMember after = tenant.CreateMember("after", new MemoryMemberOptions { Space = before.Space });
        after.Charge(1000);

        world.Charge(tenant.CreateMember("asker"), 100);

        Assert.True(after.IsKilled);
    }

    [Fact]
    [Requirement("S003-4")]
    public void Member_that_joins_a_killed_space_is_killed_at_birth()
    {
        using var world = new World();
        MemoryMember victim = world.Root.CreateMember("victim");
        victim.Charge(100);
        Assert.NotNull(world.Await(world.Root.OomKiller.KillNowAsync()));

        MemoryMember late = world.Root.CreateMember("late", new MemoryMemberOptions { Space = victim.Space });

        Assert.True(late.IsKilled);
        Assert.Equal("it joined a space that was killed", late.KillReason);
        Assert.Equal(victim.KillReport, late.KillReport);
    }

    [Fact]
    [Requirement("M32")]
    [Requirement("T74")]
    public void Every_pin_has_to_be_let_go_before_the_space_is_reaped_and_none_is_granted_after()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        SpacePin first = member.Space.Pin();
        SpacePin second = member.Space.Pin();
        Assert.False(member.Space.TryBeginReap());
        first.Dispose();
        first.Dispose();
        Assert.False(member.Space.TryBeginReap());
        second.Dispose();

        Assert.True(member.Space.TryBeginReap());

        Assert.True(member.Space.IsUnstable);
        Assert.False(member.Space.TryBeginReap());
        var error = Assert.Throws<OomKilledException>(member.Space.Pin);
        Assert.Equal("root/member", error.MemberPath);
    }

    [Fact]
    [Requirement("M32")]
    [Requirement("T74")]
    public void Access_to_a_reaped_space_whose_members_are_gone_fails_clearly()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        Assert.True(member.Space.TryBeginReap());
        member.Dispose();

        var error = Assert.Throws<OomKilledException>(member.Space.Pin);

        Assert.Contains("taken back", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Requirement("T75")]
    public void Memory_is_in_the_hands_of_the_reaper_or_of_its_owner_never_of_both()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        var kept = new Buffer(member.Lease(10));
        var freed = new Buffer(member.Lease(10));
        member.Space.AddReapable(kept);
        member.Space.AddReapable(freed);

        Assert.True(member.Space.RemoveReapable(freed));
        Assert.False(member.Space.RemoveReapable(freed));
        Assert.Equal([kept], member.Space.TakeReapables());
        Assert.False(member.Space.RemoveReapable(kept));
        Assert.Empty(member.Space.TakeReapables());
    }

    [Fact]
    [Requirement("M32")]
    public void Memory_cannot_be_registered_once_reaping_has_begun()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("member");
        var buffer = new Buffer(member.Lease(10));
        Assert.True(member.Space.TryBeginReap());

        Assert.Throws<OomKilledException>(() => member.Space.AddReapable(buffer));

        Assert.Empty(member.Space.TakeReapables());
        Assert.Throws<ArgumentNullException>(() => member.Space.AddReapable(null!));
        Assert.Throws<ArgumentNullException>(() => new Buffer(null!));
    }

    private sealed class Buffer(MemoryCharge charge) : ReapableMemory(charge)
    {
        protected internal override bool TryFree() => true;
    }
}
