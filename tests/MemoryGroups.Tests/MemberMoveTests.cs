// Moving a member to another group: what moves with it, what stays, and who may not be moved.
namespace MemoryGroups.Tests;

public sealed class MemberMoveTests
{
    [Theory]
    [InlineData(2000)]
    [InlineData(1000)]
    [InlineData(0)]
    [Requirement("T16")]
    public void Charges_stay_where_they_were_made_and_the_move_kills_nobody(long limit)
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        MemoryGroup child = parent.CreateGroup("child", new MemoryGroupOptions { Max = limit });
        MemoryMember member = parent.CreateMember("member");
        member.Charge(1000);

        Assert.True(member.MoveTo(child));
        world.Run();

        Assert.Equal((1000, 0, 1000), (parent.Usage, child.Usage, member.Usage));
        Assert.Equal((child, "root/parent/child/member"), (member.Group, member.Path));
        Assert.Equal([member], child.Members);
        Assert.Empty(parent.Members);
        Assert.False(member.IsKilled);
        Assert.Equal((0, 0), (child.Events.Current.Max, world.Root.OomKiller.VictimsInFlight));
        Assert.Equal(limit > 0, member.TryCharge(100));
        Assert.Equal(limit > 0 ? 100 : 0, child.Usage);
        member.Uncharge(1000);
        Assert.Equal((child.Usage, child.Usage), (parent.Usage, member.Usage));
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    [Fact]
    [Requirement("T16")]
    public void Lease_goes_back_to_the_group_that_was_charged_and_raw_bytes_relieve_the_oldest_group_first()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryCharge early = member.Lease(300);
        member.Charge(100);
        member.MoveTo(b);
        MemoryCharge late = member.Lease(50);
        member.Charge(20);
        Assert.Equal((400, 70, 470), (a.Usage, b.Usage, member.Usage));

        early.Dispose();
        Assert.Equal((100, 70), (a.Usage, b.Usage));
        member.Uncharge(110);
        Assert.Equal((0, 60), (a.Usage, b.Usage));
        late.Dispose();
        Assert.Equal((0, 10, 10), (a.Usage, b.Usage, member.Usage));
        member.Uncharge(10);

        world.AssertQuiet();
    }

    // The raw pair of the new group relieves the old one, so the old lease finds nothing there: it takes from the new.
    [Fact]
    [Requirement("T16")]
    [Requirement("I5")]
    public void Leases_and_raw_pairs_that_are_mixed_across_moves_end_at_exact_totals()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryGroup c = world.Root.CreateGroup("c", new MemoryGroupOptions { Max = 10_000 });
        MemoryCharge inA = member.Lease(100);
        member.MoveTo(b);
        MemoryCharge inB = member.Lease(30);
        member.Charge(100);
        member.MoveTo(c);
        member.Charge(5);

        member.Uncharge(105);
        Assert.Equal((0, 125, 5), (a.Usage, b.Usage, c.Usage));
        inA.Dispose();
        inB.Dispose();

        Assert.Equal((0, 0, 0), (a.Usage, b.Usage, c.Usage));
        Assert.False(member.HasLeftBooks);
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    [Fact]
    [Requirement("M4")]
    public void Uncharging_more_than_a_moved_member_has_anywhere_is_counted_as_an_error()
    {
        using var root = new MemoryRoot();
        root.Books.AssertInDebug = false;
        MemoryGroup a = root.CreateGroup("a", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = a.CreateMember("member");
        Assert.True(member.TryCharge(10));
        member.MoveTo(root.CreateGroup("b", new MemoryGroupOptions { Max = 1000 }));
        Assert.True(member.TryCharge(10));

        member.Uncharge(25);

        Assert.Equal((1, 0, 0), (root.BooksErrorCount, root.Usage, member.Usage));
        Assert.Contains("uncharged 5 bytes more", root.FirstBooksError, StringComparison.Ordinal);
    }

    [Fact]
    public void Exit_returns_what_is_left_in_every_group()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryCharge lease = member.Lease(100);
        member.MoveTo(b);
        member.Charge(20);

        member.Dispose();
        lease.Dispose();
        member.Uncharge(20);

        Assert.Equal((0, 0, 120), (a.Usage, b.Usage, world.Root.BytesLeftAtExit));
        Assert.Equal((0, 0), (a.LeftBooks.Length, world.Root.BooksErrorCount));
    }

    [Fact]
    public void Member_keeps_no_stock_while_it_holds_bytes_elsewhere_and_stocks_up_again_after()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryGroup b = world.Root.CreateGroup("b", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(a);

        member.MoveTo(b);
        world.Root.Stocks.Drain(world.Root);
        Assert.Equal((1 << 20, 0, 1 << 20), (a.Usage, b.Usage, member.Usage));
        for (int i = 0; i < 16; i++)
        {
            member.TryLease(4096)!.Dispose();
        }

        Assert.Equal((0, 1 << 20), (member.Books.Held, member.Usage));
        member.MoveTo(a);
        ChargeOften(member);
        Assert.True(member.Books.Held > 0, "back where all its bytes are, it may keep stock");
        member.MoveTo(b);
        member.Uncharge(1 << 20);
        Assert.True(member.TryCharge(1 << 20));
        ChargeOften(member);
        Assert.True(member.Books.Held > 0, "all it holds is in its group again");
        member.Uncharge(1 << 20);
        world.AssertQuiet();
    }

    // The charge was begun in the old group, and the move comes between its look at the limit and its swap; by then
    // the old books were empty and put away, and the new ones have stock.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Charge_that_lands_after_the_move_is_charged_where_it_was_begun(bool exits)
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a");
        MemoryGroup b = world.Root.CreateGroup("b", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = a.CreateMember("member");
        bool granted = false;
        world.Once(ProbePoint.BeforeSwap, () =>
        {
            member.MoveTo(b);
            Assert.Equal((false, 0), (member.HasLeftBooks, a.LeftBooks.Length));
            Assert.True(member.TryCharge(1 << 20));
            ChargeOften(member);
            Assert.True(member.Books.Held > 0);
            if (exits)
            {
                member.Dispose();
            }
        });

        Exception? error = Record.Exception(() => granted = member.TryCharge(10_000));
        Assert.Equal((0, !exits), (member.Books.Held, member.HasLeftBooks));
        world.Root.Stocks.Drain(world.Root);

        Assert.Equal(!exits, granted);
        Assert.Equal(exits, error is ObjectDisposedException);
        Assert.Equal(exits ? (0, 0) : (10_000, 1 << 20), (a.Usage, b.Usage));
        if (!exits)
        {
            Assert.True(member.TryCharge(1));
            Assert.Equal(0, member.Books.Held);
            member.Uncharge((1 << 20) + 10_001);
        }

        world.AssertQuiet();
    }

    [Fact]
    public void Request_that_sleeps_at_the_move_stays_a_request_of_the_old_group()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", FullGroup.Sleepy);
        MemoryGroup b = world.Root.CreateGroup("b");
        MemoryMember hog = FullGroup.Fill(world, a);
        MemoryMember asker = a.CreateMember("asker");
        Pending asking = world.Charge(asker, 100);

        Assert.True(asker.MoveTo(b));
        world.Run();
        Assert.True(asking.Sleeps);
        Assert.Equal((1, 0), (a.GetStatistics().WaitingCharges, b.GetStatistics().WaitingCharges));

        // What waits is the member, and that is work of the new group now.
        Assert.Equal((1, 0, 1, 1), (a.LiveMembers, a.StalledMembers, b.LiveMembers, b.StalledMembers));
        Assert.True(world.Charge(asker, 10_000).Granted);
        hog.Uncharge(100);
        world.Run();

        Assert.True(asking.Granted);
        Assert.Equal((1000, 10_000, 10_100), (a.Usage, b.Usage, asker.Usage));
    }

    [Fact]
    public void Request_of_a_moved_member_ends_when_the_old_group_is_closed_and_the_member_lives_on()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", FullGroup.Sleepy);
        MemoryGroup b = world.Root.CreateGroup("b");
        FullGroup.Fill(world, a);
        MemoryMember asker = a.CreateMember("asker");
        Pending asking = world.Charge(asker, 100);
        asker.MoveTo(b);

        a.Dispose();
        world.Run();

        asking.Failed<ObjectDisposedException>();
        Assert.False(asker.IsExited);
        Assert.Equal((0, 0), (a.Usage, world.Root.WaitingCharges));
        Assert.True(asker.TryCharge(100));
    }

    [Fact]
    [Requirement("M22")]
    public void Killer_looks_at_membership_now_and_scores_all_that_a_member_holds()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup b = world.Root.CreateGroup("b", new MemoryGroupOptions { Max = 1000 });
        MemoryMember mover = a.CreateMember("mover");
        mover.Charge(900);
        MemoryMember local = b.CreateMember("local");
        local.Charge(600);
        mover.MoveTo(b);
        mover.Charge(10);

        // Nobody is left in a who could be killed, and nothing there is on its way.
        var error = world.Charge(a.CreateMember("asker"), 200).Failed<MemoryLimitExceededException>();
        Assert.Equal(ChargeRefusal.NoVictim, error.Reason);
        Assert.False(mover.IsKilled);
        Pending asking = world.Charge(b.CreateMember("asker"), 500);

        Assert.Equal((true, false), (mover.IsKilled, local.IsKilled));
        Assert.Equal(910, mover.KillReport!.VictimUsageBytes);
        mover.Dispose();
        world.Run();
        Assert.Equal(0, a.Usage);
        Assert.False(asking.Granted);
    }

    [Fact]
    public void Group_that_is_closed_keeps_what_a_moved_member_left_there_until_it_is_returned()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup a = parent.CreateGroup("a").CreateGroup("deep");
        MemoryMember member = a.CreateMember("member");
        MemoryCharge lease = member.Lease(900);
        member.MoveTo(world.Root);

        a.Parent!.Dispose();

        Assert.Equal((900, 900, 900), (a.Usage, parent.Usage, member.Usage));
        Assert.False(member.IsExited);
        Assert.Equal(
            ChargeRefusal.NoVictim,
            world.Charge(parent.CreateMember("asker"), 200).Failed<MemoryLimitExceededException>().Reason);
        Assert.Equal(1, parent.LeftBooks.Length);
        lease.Dispose();
        Assert.Equal((0, 0, 0), (a.Usage, parent.Usage, parent.LeftBooks.Length));
        Assert.Throws<ObjectDisposedException>(() => member.MoveTo(a));
    }

    [Fact]
    public void Member_that_cannot_be_moved_is_told_why_and_stays()
    {
        using var world = new World();
        using var elsewhere = new MemoryRoot();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryGroup closed = world.Root.CreateGroup("closed");
        closed.Dispose();

        Assert.True(member.MoveTo(a));
        Assert.False(member.HasMoved);
        Assert.Throws<ArgumentNullException>(() => member.MoveTo(null!));
        Assert.Contains("another root", Assert.Throws<ArgumentException>(() => member.MoveTo(elsewhere)).Message,
            StringComparison.Ordinal);
        Assert.Throws<ObjectDisposedException>(() => member.MoveTo(closed));
        member.BeginExit();
        Assert.False(member.MoveTo(b));
        member.Dispose();
        Assert.Throws<ObjectDisposedException>(() => member.MoveTo(b));

        MemoryMember killed = a.CreateMember("killed");
        killed.Kill("test");
        Assert.False(killed.MoveTo(b));
        Assert.Equal(a, killed.Group);
        Assert.Equal([killed], a.Members);
    }

    [Fact]
    public void Member_that_shares_the_memory_of_a_victim_stays()
    {
        using var world = new World();
        (MemoryGroup a, MemoryGroup b, MemoryMember member) = Moving(world);
        MemoryMember sharer = b.CreateMember("sharer", new MemoryMemberOptions
        {
            Space = member.Space,
            OomScoreAdjustment = MemoryMember.NeverKill,
        });
        member.Charge(100);
        Assert.True(sharer.MoveTo(a));
        Assert.NotNull(world.Await(world.Root.OomKiller.KillNowAsync()));

        Assert.False(sharer.IsKilled);
        Assert.False(sharer.MoveTo(b));
    }

    private static (MemoryGroup A, MemoryGroup B, MemoryMember Member) Moving(World world)
    {
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = 10_000 });
        MemoryGroup b = world.Root.CreateGroup("b", new MemoryGroupOptions { Max = 10_000 });
        return (a, b, a.CreateMember("member"));
    }

    private static void ChargeOften(MemoryMember member)
    {
        for (int i = 0; i < 16; i++)
        {
            Assert.True(member.TryCharge(4096));
            member.Uncharge(4096);
        }
    }
}
