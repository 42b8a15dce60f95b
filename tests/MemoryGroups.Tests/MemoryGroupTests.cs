// The tree: paths, names, limits that the root does not have, and closing a subtree in the middle of things.
namespace MemoryGroups.Tests;

public sealed class MemoryGroupTests
{
    [Fact]
    [Requirement("T01")]
    public void Empty_group_reads_zero()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g");
        MemoryStatistics now = group.GetStatistics();

        Assert.Equal((0, 0, 0), (now.UsageBytes, now.PeakBytes, now.Refusals));
        Assert.Equal(default, now.Events);
    }

    [Fact]
    public void Snapshot_of_a_tree_is_that_of_each_group_in_it_parents_first()
    {
        using var world = new World(capacity: 100_000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Low = 900, Min = 300 });
        MemoryGroup first = tenant.CreateGroup("first", new MemoryGroupOptions { Low = 800, Max = 5000 });
        MemoryGroup second = tenant.CreateGroup("second", new MemoryGroupOptions { Low = 600, Min = 200 });
        MemoryGroup inner = first.CreateGroup("inner", new MemoryGroupOptions { High = 4000 });
        MemoryGroup beside = world.Root.CreateGroup("beside");
        inner.CreateMember("m").Charge(700);
        second.CreateMember("m").Charge(500);

        Assert.Equal(
            [tenant.GetStatistics(), first.GetStatistics(), second.GetStatistics(), inner.GetStatistics()],
            tenant.GetTreeStatistics());
        Assert.Equal([beside.GetStatistics()], beside.GetTreeStatistics());
        Assert.Equal(6, world.Root.GetTreeStatistics().Count);
    }

    [Fact]
    [Requirement("T14")]
    public void Effective_limit_is_the_smallest_on_the_path()
    {
        using var world = new World(capacity: 5000);
        MemoryGroup parent = world.Root.CreateGroup("p", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup child = parent.CreateGroup("c", new MemoryGroupOptions { Max = 1130 });

        Assert.Equal(1000, child.GetStatistics().EffectiveLimitBytes);
        Assert.Equal("root/p/c", child.Path);
    }

    [Fact]
    [Requirement("T10")]
    public void Root_has_no_limits_of_its_own_and_says_what_to_set_instead()
    {
        using var world = new World();
        MemoryRoot root = world.Root;
        Action[] writes =
        [
            () => root.Max = 1,
            () => root.High = 1,
            () => root.Low = 1,
            () => root.Min = 1,
            () => root.SoftLimit = 1,
            () => _ = root.SetMaxAsync(1).AsTask(),
            () => root.Oom.KillDisabled = true,
        ];

        foreach (Action write in writes)
        {
            InvalidOperationException error = Assert.Throws<InvalidOperationException>(write);
            Assert.Contains("root", error.Message, StringComparison.Ordinal);
        }

        Assert.Equal(long.MaxValue, root.Capacity);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("a/b")]
    [InlineData("a\nb")]
    [InlineData("a\rb")]
    [InlineData("a\tb")]
    [InlineData("a\u001bb")]
    [InlineData("a\u0085b")]
    [InlineData("a\u2028b")]
    [InlineData("a\u2029b")]
    public void Name_that_would_break_a_path_is_refused(string name)
    {
        using var world = new World();

        Assert.ThrowsAny<ArgumentException>(() => world.Root.CreateGroup(name));
        Assert.ThrowsAny<ArgumentException>(() => world.Root.CreateMember(name));
        Assert.ThrowsAny<ArgumentException>(() => new MemoryRoot(new MemoryRootOptions { Name = name }));
        Assert.Empty(world.Root.Children);
    }

    [Fact]
    public void Negative_limit_is_refused_and_the_old_one_stays()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 7 });

        Assert.Throws<ArgumentOutOfRangeException>(() => group.Max = -1);
        Assert.Throws<ArgumentOutOfRangeException>(
            () => world.Root.CreateGroup("bad", new MemoryGroupOptions { Low = -1 }));
        Assert.Equal(7, group.Max);
    }

    [Fact]
    public void Negative_sizes_of_a_root_are_refused()
    {
        foreach (MemoryRootOptions options in (MemoryRootOptions[])[
            new() { CapacityBytes = -1 },
            new() { MinWatermarkBytes = -1 },
            new() { LowWatermarkBytes = -1 },
            new() { HighWatermarkBytes = -1 },
            new() { OomReserveBytes = -1 },
            new() { CostlyChargeBytes = -1 }])
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => new MemoryRoot(options));
        }
    }

    [Fact]
    public void Timeout_may_be_as_long_as_timers_count_and_no_longer()
    {
        using var world = new World();
        TimeSpan longest = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

        world.Root.CreateGroup("longest", new MemoryGroupOptions { WaitTimeout = longest });
        Assert.Throws<ArgumentOutOfRangeException>(() => world.Root.CreateGroup(
            "longer", new MemoryGroupOptions { WaitTimeout = longest + TimeSpan.FromTicks(1) }));
    }

    [Fact]
    public void Closing_a_subtree_ends_its_waits_and_returns_every_byte()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("t", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        MemoryGroup session = tenant.CreateGroup("s");
        MemoryMember hog = session.CreateMember("hog");
        Assert.True(hog.TryCharge(1000));
        var signal = new MemorySignal();
        session.Oom.Register(signal);
        Pending asking = world.Charge(session.CreateMember("asker"), 10);
        Assert.True(asking.Sleeps);
        long before = signal.Total;

        tenant.Dispose();
        world.Run();

        asking.Failed<ObjectDisposedException>();
        Assert.Equal(0, world.Root.Usage);
        Assert.True(hog.IsExited && session.IsClosed);
        Assert.Equal(before + 1, signal.Total);
        Assert.Empty(world.Root.Children);
        Assert.Throws<ObjectDisposedException>(() => tenant.CreateGroup("late"));
        Assert.Throws<ObjectDisposedException>(() => hog.TryCharge(1));
        hog.Uncharge(1000);
        world.AssertQuiet();
    }

    [Fact]
    [Requirement("T67")]
    public void Kill_switch_is_copied_at_birth_and_not_looked_up_later()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("p", new MemoryGroupOptions { KillDisabled = true });
        MemoryGroup first = parent.CreateGroup("first");
        parent.Oom.KillDisabled = false;

        Assert.True(first.Oom.KillDisabled);
        Assert.False(parent.CreateGroup("second").Oom.KillDisabled);
    }

    [Fact]
    public void Kill_of_a_group_reaches_everybody_below_but_the_immune()
    {
        using var world = new World();
        MemoryGroup top = world.Root.CreateGroup("top");
        MemoryMember deep = top.CreateGroup("mid").CreateMember("deep");
        MemoryMember immune = top.CreateMember("immune", new MemoryMemberOptions { OomScoreAdjustment = -1000 });
        MemoryMember stranger = world.Root.CreateGroup("other").CreateMember("stranger");

        top.Kill("maintenance");

        Assert.True(deep.IsKilled);
        Assert.Equal("maintenance", deep.KillReason);
        Assert.False(immune.IsKilled || stranger.IsKilled);
        Assert.Equal(0, top.Events.Current.OomKill);
    }

    [Fact]
    public void Roster_keeps_the_order_of_creation_through_many_removals()
    {
        using var world = new World();
        var members = new List<MemoryMember>();
        for (int i = 0; i < 500; i++)
        {
            members.Add(world.Root.CreateMember($"m{i}"));
        }

        for (int i = 0; i < 500; i++)
        {
            if (i % 7 != 0)
            {
                members[i].Dispose();
            }
        }

        string[] expected = [.. Enumerable.Range(0, 500).Where(i => i % 7 == 0).Select(i => $"m{i}")];
        Assert.Equal(expected, world.Root.Members.Select(member => member.Name));
        Assert.InRange(world.Root.MemberRoster.Read().Length, expected.Length, 4 * expected.Length);
    }

    [Fact]
    public void Roster_that_is_told_twice_removes_nobody_else()
    {
        var roster = default(Roster<Item>);
        Item[] items = [.. Enumerable.Range(0, 100).Select(static _ => new Item())];
        foreach (Item item in items)
        {
            roster.AddLocked(item);
        }

        // The last removals close the gaps, so that others stand where the first ones stood.
        foreach (Item item in items.Take(90).Concat(items.Take(90)))
        {
            roster.RemoveLocked(item);
        }

        Assert.Equal(10, roster.Count);
        Assert.Equal(items[90..], roster.ToList());
    }

    private sealed class Item : IRosterItem
    {
        public int RosterPlace { get; set; }
    }
}
