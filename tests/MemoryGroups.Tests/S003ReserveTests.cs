// S003, what a victim may use to finish: the OOM reserve above its group's limit, and part of the MIN watermark.
namespace MemoryGroups.Tests;

public sealed class S003ReserveTests
{
    [Fact]
    [Requirement("S003-6")]
    [Requirement("B26")]
    [Requirement("B13")]
    [Requirement("D6")]
    public void Victims_together_overdraw_no_more_than_the_reserve()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryMember first = Victim(world, "one");
        MemoryMember second = Victim(world, "two");

        Assert.True(world.Charge(first, 60).Granted);
        world.Charge(second, 41).Failed<OomKilledException>();
        Assert.True(world.Charge(second, 40).Granted);
        world.Charge(first, 1).Failed<OomKilledException>();

        Assert.Equal(100, world.Root.OomReserveUsed);
        Assert.Equal(2100, world.Root.Usage);
        first.Dispose();
        Assert.Equal(40, world.Root.OomReserveUsed);
        second.Dispose();
        Assert.Equal(0, world.Root.OomReserveUsed);
    }

    // Two charges of one member sleep for a victim that does not go. It says that it is finishing; its next charge is
    // let use the reserve, and so is, from that moment, the one that sleeps.
    [Fact]
    [Requirement("I3")]
    [Requirement("S003-5")]
    public void Sleeper_that_fits_once_its_member_may_use_the_reserve_is_woken()
    {
        using var world = new World(1000, static options => options with
        {
            MinWatermarkBytes = 100,
            LowWatermarkBytes = 100,
            HighWatermarkBytes = 100,
        });
        using MemoryMember stuck = world.Root.CreateMember("stuck");
        using MemoryMember finishing = world.Root.CreateMember("finishing");
        Assert.True(stuck.TryCharge(800) && finishing.TryCharge(100));
        Pending small = world.Charge(finishing, 10);
        Pending large = world.Charge(finishing, 300);
        Assert.True(stuck.IsKilled && small.Sleeps && large.Sleeps);
        finishing.BeginExit();
        world.Run();
        Assert.True(small.Sleeps);

        Assert.True(world.Charge(finishing, 20).Granted);

        Assert.True(small.Granted);
        Assert.True(large.Sleeps);
        stuck.Dispose();
        world.Run();
        Assert.True(large.Granted);
    }

    [Fact]
    [Requirement("S003-6")]
    public void Reserve_gets_back_what_the_victim_uncharges_and_not_more()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryMember victim = Victim(world, "one");
        Assert.True(world.Charge(victim, 50).Granted);

        victim.Uncharge(30);
        Assert.Equal(20, world.Root.OomReserveUsed);
        victim.Uncharge(500);

        Assert.Equal(0, world.Root.OomReserveUsed);
        Assert.Equal(520, victim.Usage);
        Assert.Equal(520, world.Root.Usage);
    }

    [Fact]
    [Requirement("S003-6")]
    [Requirement("B15")]
    public void Victim_in_a_full_group_gets_the_few_bytes_it_needs_to_finish_without_waiting()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryMember victim = Victim(world, "one");

        Pending async = world.Begin(victim, 10);
        Assert.True(async.Granted);
        victim.Charge(10);

        Assert.Equal(20, world.Root.OomReserveUsed);
        Assert.False(victim.TryCharge(10));
    }

    // Whoever hears that the counter fell finds the reserve still lent: it must not be lent twice above one limit.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Requirement("S003-6")]
    [Requirement("I8")]
    public void Counter_falls_before_the_reserve_is_repaid(bool exits)
    {
        Action? posted = null;
        using var world = new World(configure: options => options with
        {
            OomReserveBytes = 100,
            PostHook = item =>
            {
                posted?.Invoke();
                options.PostHook!(item);
            },
        });
        MemoryMember victim = Victim(world, "one");
        Assert.True(world.Charge(victim, 100).Granted);
        long lent = -1;
        posted = () => lent = lent < 0 ? world.Root.OomReserveUsed : lent;

        if (exits)
        {
            victim.Dispose();
        }
        else
        {
            victim.Uncharge(1100);
        }

        Assert.Equal(100, lent);
        Assert.Equal(0, world.Root.OomReserveUsed);
    }

    // It was let finish and not killed: its cell was open, and must not keep what repays the reserve.
    [Fact]
    [Requirement("S003-6")]
    [Requirement("M21")]
    public void Member_that_is_let_finish_repays_with_every_byte_it_returns()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = tenant.CreateMember("member");
        member.Charge(1 << 20);
        MemoryMember sharer = world.Root.CreateGroup("elsewhere").CreateMember(
            "sharer", new MemoryMemberOptions { Space = member.Space });
        for (int i = 0; i < 16; i++)
        {
            Assert.True(sharer.TryCharge(1 << 16));
        }

        Assert.True(sharer.Books.Held > 0);
        member.BeginExit();
        sharer.BeginExit();
        world.Root.Stocks.Drain(tenant);
        MemoryMember other = tenant.CreateMember("other");
        Assert.True(world.Charge(other, tenant.Max - tenant.Usage).Granted);
        Assert.True(world.Charge(member, 100).Granted);

        Assert.True(member.Space.IsVictim);
        Assert.Equal(0, sharer.Books.Held);
        Assert.False(member.IsKilled || other.IsKilled);
        Assert.Equal(100, world.Root.OomReserveUsed);
        other.Uncharge(tenant.Max / 2);
        for (int i = 0; i < 16; i++)
        {
            Assert.True(member.TryCharge(100));
        }

        Assert.Equal(0, member.Books.Held);
        member.Uncharge(1000);
        Assert.Equal(0, world.Root.OomReserveUsed);
    }

    [Fact]
    [Requirement("S003-6")]
    [Requirement("D6")]
    public void Member_that_was_merely_killed_by_request_gets_no_reserve()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(world.Charge(member, 1000).Granted);
        member.Kill("its client went away");

        Assert.Throws<OomKilledException>(() => member.Charge(10));

        Assert.Equal(0, world.Root.OomReserveUsed);
        Assert.Equal(1000, world.Root.Usage);
    }

    [Fact]
    [Requirement("S003-6")]
    public void Immortal_sharer_of_a_victims_space_gets_nothing_from_the_reserve()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember victim = tenant.CreateMember("victim");
        victim.Charge(1000);
        MemoryMember immortal = tenant.CreateMember("immortal", new MemoryMemberOptions
        {
            Space = victim.Space,
            OomScoreAdjustment = MemoryMember.NeverKill,
        });
        world.Charge(tenant.CreateMember("asker"), 100);
        Assert.True(victim.IsKilled && !immortal.IsKilled);

        Assert.Throws<MemoryLimitExceededException>(() => immortal.Charge(10));

        Assert.Equal(0, world.Root.OomReserveUsed);
        victim.Charge(10);
        Assert.Equal(10, world.Root.OomReserveUsed);
    }

    [Fact]
    [Requirement("S003-6")]
    public void Request_without_reserve_gets_none_even_from_a_victim()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryMember victim = Victim(world, "one");

        world.Charge(victim, 10, ChargeFlags.NoReserve).Failed<OomKilledException>();

        Assert.Equal(0, world.Root.OomReserveUsed);
    }

    [Fact]
    [Requirement("S003-6")]
    public void Overdraft_returns_nothing_to_the_reserve_when_the_root_has_no_room_for_it()
    {
        using var world = new World(1000, static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 900 });
        MemoryMember victim = tenant.CreateMember("victim");
        Assert.True(world.Charge(victim, 900).Granted);
        Assert.True(world.Charge(world.Root.CreateMember("other"), 90).Granted);
        world.Charge(tenant.CreateMember("asker"), 100);
        Assert.True(victim.Space.IsVictim);

        world.Charge(victim, 50).Failed<OomKilledException>();
        Assert.True(world.Charge(victim, 10).Granted);

        Assert.Equal(10, world.Root.OomReserveUsed);
        Assert.Equal(1000, world.Root.Usage);
    }

    [Fact]
    [Requirement("S003-6")]
    public void Exit_between_taking_from_the_reserve_and_charging_leaves_nothing_behind()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryMember victim = Victim(world, "one");
        Assert.True(world.Charge(victim, 60).Granted);
        victim.Dispose();

        Assert.False(victim.Books.TryOverdraw(10, 0));

        Assert.Equal(0, world.Root.OomReserveUsed);
        Assert.Equal(0, world.Root.Usage);
    }

    [Fact]
    [Requirement("S003-6")]
    [Requirement("B13")]
    [Requirement("D6")]
    public void Exiting_member_in_a_full_group_is_let_finish_within_the_reserve_and_nobody_is_killed()
    {
        using var world = new World(configure: static options => options with { OomReserveBytes = 100 });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember big = tenant.CreateMember("big");
        MemoryMember leaving = tenant.CreateMember("leaving");
        Assert.True(world.Charge(big, 900).Granted);
        Assert.True(world.Charge(leaving, 100).Granted);
        leaving.BeginExit();

        Assert.True(world.Charge(leaving, 70).Granted);
        world.Charge(leaving, 70).Failed<OomKilledException>();

        Assert.False(big.IsKilled);
        Assert.False(leaving.IsKilled);
        Assert.Equal(0, tenant.Events.Current.OomKill);
        Assert.Equal(70, world.Root.OomReserveUsed);
        Assert.Equal(1070, tenant.Usage);
    }

    private static MemoryMember Victim(World world, string name)
    {
        MemoryGroup group = world.Root.CreateGroup(name, new MemoryGroupOptions { Max = 1000 });
        MemoryMember victim = group.CreateMember("victim");
        Assert.True(world.Charge(victim, 1000).Granted);
        world.Charge(group.CreateMember("asker"), 1000);
        Assert.True(victim.Space.IsVictim);
        return victim;
    }
}
