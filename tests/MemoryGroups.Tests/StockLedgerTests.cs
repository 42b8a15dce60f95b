// Who holds stock, when a stock may open, and that it comes back before anybody is refused, reclaimed or killed.
namespace MemoryGroups.Tests;

public sealed class StockLedgerTests
{
    [Fact]
    [Requirement("I12")]
    public void Stock_counts_as_used_and_the_bounds_enclose_the_truth()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(tenant);
        Stocked.FillOwnStock(tenant);

        Assert.Equal(1 << 20, tenant.UsageLower);
        Assert.True(tenant.UsageUpper > tenant.UsageLower);
        Assert.Equal(tenant.UsageUpper - tenant.UsageLower, world.Root.Stocks.HeldIn(tenant));
        Assert.Equal(1 << 20, member.Usage);
    }

    [Fact]
    [Requirement("M8")]
    [Requirement("M11")]
    public void Lone_charger_reaches_the_limit_to_the_byte_while_siblings_hold_stock()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        Stocked.FillOwnStock(parent.CreateGroup("idle"));
        Stocked.Member(parent.CreateGroup("busy"));
        Stocked.FillOwnStock(parent);
        MemoryMember lone = parent.CreateGroup("lone").CreateMember("lone");
        long free = Stocked.AmpleLimit - (1 << 20);

        Assert.True(lone.TryCharge(free - 1));
        Assert.True(lone.TryCharge(1));
        Assert.False(lone.TryCharge(1));

        Assert.Equal(Stocked.AmpleLimit, parent.Usage);
        Assert.Equal(0, world.Root.Stocks.HeldIn(parent));
        Assert.Equal(default, parent.Events.Current);
    }

    // Another member fetches ahead before each of its looks at the limit, as fast as it drains.
    [Fact]
    [Requirement("M11")]
    public void Charge_is_not_refused_for_stock_that_comes_back_as_fast_as_it_drains()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember busy = Stocked.Member(parent);
        MemoryMember greedy = parent.CreateGroup("greedy").CreateMember("greedy");
        long free = parent.Max - busy.Usage;
        int looks = 0;
        bool isBusy = false;
        world.Root.ProbeHook = (point, subject) =>
        {
            if (point == ProbePoint.BeforeSwap && subject == greedy.Group.Counter && !isBusy)
            {
                isBusy = true;
                looks++;
                busy.Charge(1000);
                busy.Charge(1000);
                busy.Uncharge(2000);
                isBusy = false;
            }
        };

        Assert.True(greedy.TryCharge(free), $"refused after {looks} looks, {busy.Books.Held} bytes idle");
        Assert.InRange(looks, 3, 10);
        world.Root.ProbeHook = null;
        greedy.Uncharge(free);
        Assert.True(Stocked.Member(parent.CreateGroup("later")).Books.Held > 0);
    }

    [Fact]
    [Requirement("M11")]
    public void Drain_takes_the_subtree_and_leaves_the_others()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryGroup below = a.CreateGroup("below").CreateGroup("further");
        MemoryGroup b = world.Root.CreateGroup("b", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember inA = Stocked.Member(a), inBelow = Stocked.Member(below), inB = Stocked.Member(b);
        long before = b.Usage;
        long stock = world.Root.Stocks.HeldIn(a);
        Assert.True(stock >= inA.Books.Held + inBelow.Books.Held);

        Assert.Equal(stock, world.Root.Stocks.Drain(a));
        Assert.Equal(0, world.Root.Stocks.Drain(a));

        Assert.Equal((0, 0), (inA.Books.Held, inBelow.Books.Held));
        Assert.Equal((2 << 20, 1 << 20), (a.Usage, below.Usage));
        Assert.Equal(before, b.Usage);
        Assert.True(inB.Books.Held > 0);
        Assert.True(StockLedger.MayHaveStock(world.Root) && !StockLedger.MayHaveStock(a));
    }

    [Fact]
    public void Drained_holder_opens_again_when_there_is_room()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(tenant);
        world.Root.Stocks.Drain(world.Root);

        Assert.True(member.TryCharge(1) && member.TryCharge(1));

        Assert.True(member.Books.Held > 0);
    }

    // A reopened cell keeps up to two quanta, as before: else every uncharge after the first drain takes the slow path.
    [Fact]
    public void Reopened_cell_lets_uncharges_stay_as_before_the_drain()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(tenant, Stocked.AmpleLimit / 2);
        long full = member.Books.Held;
        world.Root.Stocks.Drain(world.Root);
        Assert.True(member.TryCharge(1) && member.TryCharge(1));
        long refilled = member.Books.Held;
        Assert.InRange(refilled, full / 2, full * 2);

        member.Uncharge(refilled / 2);

        Assert.Equal(refilled + (refilled / 2), member.Books.Held);
    }

    [Fact]
    [Requirement("I3")]
    public void Stock_stays_closed_below_a_group_where_somebody_waits()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup(
            "parent", new MemoryGroupOptions { Max = Stocked.AmpleLimit, KillDisabled = true });
        MemoryGroup tenant = parent.CreateGroup("tenant");
        MemoryMember member = Stocked.Member(tenant);
        Pending waiter = FullGroup.Ask(world, parent, Stocked.AmpleLimit);
        Assert.True(waiter.Sleeps);

        Assert.True(member.TryCharge(1000) && member.TryCharge(1000));
        Assert.Equal(0, world.Root.Stocks.HeldIn(world.Root));

        member.Uncharge((1 << 20) + 2000);
        world.Run();
        Assert.True(waiter.Granted);
    }

    [Fact]
    [Requirement("I3")]
    [Requirement("M11")]
    public void Uncharge_into_a_stock_wakes_who_begins_to_wait_at_that_moment()
    {
        ProbePoint[] points =
        [
            ProbePoint.ChargeRefused, ProbePoint.Queued, ProbePoint.Marked, ProbePoint.BeforeNotify,
            ProbePoint.BeforeSleep,
        ];
        foreach (ProbePoint point in points)
        {
            using var world = new World();
            MemoryGroup tenant = world.Root.CreateGroup(
                "tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit, KillDisabled = true });
            MemoryMember member = Stocked.Member(tenant);
            world.Once(point, () =>
            {
                // Room enough that the stock would open, and an uncharge that would stay in it.
                member.Uncharge(1 << 20);
                member.TryCharge(4096);
                member.Uncharge(4096);
            });

            Pending asking = FullGroup.Ask(world, tenant, Stocked.AmpleLimit);

            Assert.True(asking.Granted, $"at {point}");
        }
    }

    [Fact]
    public void Limits_without_room_for_batches_or_a_batch_of_one_byte_allow_no_stock()
    {
        using var world = new World();
        MemoryGroup small = world.Root.CreateGroup("small", new MemoryGroupOptions { Max = Stocked.SmallestLimit - 1 });
        MemoryGroup exact = world.Root.CreateGroup("exact", new MemoryGroupOptions { BatchBytes = 1 });
        MemoryGroup below = exact.CreateGroup("below", new MemoryGroupOptions { BatchBytes = 1 << 20 });
        foreach (MemoryGroup group in new[] { small, exact, below })
        {
            MemoryMember member = group.CreateMember("member");
            for (int i = 1; i <= 20; i++)
            {
                Assert.True(member.TryCharge(1000));
                Assert.Equal(1000 * i, group.Usage);
            }

            Assert.Equal(0, world.Root.Stocks.HeldIn(group));
            Assert.False(StockLedger.MayHaveStock(group), "a stock was opened that may keep nothing");
            member.Dispose();
        }
    }

    [Fact]
    public void Lowered_limit_takes_stock_back_and_sets_the_batch_anew()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(tenant);
        long batch = tenant.BatchBytes;

        tenant.Max = 2 << 20;

        Assert.Equal(1 << 20, tenant.Usage);
        Assert.Equal(0, member.Books.Held);
        Assert.True(tenant.BatchBytes < batch);
    }

    // The group's own stock: at most an eighth of the limit. The members': about an eighth of what each uses, and a
    // batch for each CPU that those share that use little. Of that none has more than its share.
    [Theory]
    [InlineData(1, false)]
    [InlineData(16, false)]
    [InlineData(1, true)]
    [InlineData(16, true)]
    [Requirement("I12")]
    [Requirement("M11")]
    public void Idle_stock_stays_within_the_published_bound(int members, bool wide)
    {
        using var world = new World();
        long limit = 4 * Stocked.SmallestLimit;
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = limit });
        var random = new Random(members);
        var held = new Queue<(MemoryMember Member, long Bytes)>();
        MemoryMember[] all = [.. Enumerable.Range(0, members).Select(i => tenant.CreateMember($"m{i}"))];
        int cells = wide ? GroupStock.Slots : 1;
        Array.ForEach(wide ? all : [], Stocked.Widen);
        for (int step = 0; step < 20_000; step++)
        {
            MemoryMember member = all[random.Next(members)];
            long bytes = random.Next(1, 20_000);
            if (random.Next(2) == 0 && member.TryCharge(bytes))
            {
                held.Enqueue((member, bytes));
            }
            else if (held.TryDequeue(out (MemoryMember Member, long Bytes) back))
            {
                back.Member.Uncharge(back.Bytes);
            }

            long batch = tenant.BatchBytes;
            long own = tenant.Stock.Held;
            Assert.True(own <= limit / 8, $"seed {members}, step {step}: {own} in the group's own stock");
            long shared = all.Sum(static one => Math.Max(0, one.Books.Held - (one.Usage / 7)));
            Assert.True(shared <= GroupStock.Slots * batch, $"seed {members}, step {step}: {shared} in small cells");
            long share = GroupStock.Slots * batch / Math.Max(members, 2 * GroupStock.Slots);
            foreach (MemoryMember one in all)
            {
                long most = Math.Max(2 * one.Usage, share) + (cells * batch / 16);
                Assert.True(one.Books.Held <= most, $"seed {members}, step {step}: {one.Books.Held}, at most {most}");
            }
        }
    }

    [Fact]
    public void Stock_of_siblings_counts_for_their_parent()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember[] members = [.. Enumerable.Range(0, 3).Select(i => Stocked.Member(parent.CreateGroup($"g{i}")))];
        long each = members.Sum(static member => member.Books.Held + member.Group.Stock.Held);

        Assert.Equal(each, world.Root.Stocks.HeldIn(parent));
        Assert.Equal(3 << 20, parent.UsageLower);
    }

    [Fact]
    public void Exit_of_the_last_holder_leaves_nobody_listed_up_to_the_root()
    {
        using var world = new World();
        MemoryGroup top = world.Root.CreateGroup("top", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(top.CreateGroup("middle").CreateGroup("low"));
        world.Root.Stocks.Remove(member.Group.Stock);
        Assert.True(StockLedger.MayHaveStock(world.Root));

        member.Dispose();
        Assert.False(StockLedger.MayHaveStock(world.Root));
        world.Root.Stocks.TryOpen(member.Books, StockRoom.Little);

        Assert.False(member.Books.IsListed, "who exited is kept in the list");
        MemoryGroup closed = top.CreateGroup("closed");
        closed.Dispose();
        world.Root.Stocks.TryOpen(closed.Stock, StockRoom.Little);
        Assert.False(StockLedger.MayHaveStock(world.Root));
    }

    // Whoever is refused at that moment looks again when it has arrived.
    [Theory]
    [InlineData("moves")]
    [InlineData("is killed")]
    [InlineData("exits")]
    [InlineData("is closed")]
    public void Stock_of_who_leaves_counts_as_on_its_way(string how)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(tenant);
        StockMoves moves = world.Root.Stocks.Moves;
        long mark = moves.Mark;
        moves.SettledSince(ref mark);

        switch (how)
        {
            case "moves": Assert.True(member.MoveTo(world.Root)); break;
            case "is killed": member.Kill("a test"); break;
            case "exits": member.Dispose(); break;
            default: tenant.Dispose(); break;
        }

        Assert.Equal(0, member.Books.Held);
        Assert.True(moves.SettledSince(ref mark));
    }

    [Fact]
    public void Group_that_many_walk_through_once_opens_a_stock_of_its_own()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        for (int i = 0; i < 4; i++)
        {
            Assert.False(group.Stock.IsListed);
            Assert.True(group.CreateMember($"m{i}").TryCharge(100));
        }

        Assert.True(group.Stock.IsListed);
    }
}
