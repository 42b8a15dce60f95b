// Who hears an event: the waiters at the group, above it and below it, and no stranger (S000-20); and the three ways in
// which a group whose killer is disabled gets going again (T59).
namespace MemoryGroups.Tests;

public sealed class S000WakeFilterTests
{
    [Theory]
    [Requirement("S000-20")]
    [Requirement("T55")]
    [InlineData("C", "ABC")]
    [InlineData("B", "ABCD")]
    [InlineData("E", "AE")]
    [InlineData("A", "ABCDE")]
    [Requirement("M16")]
    public void Event_reaches_the_waiters_at_its_group_above_and_below_only(string at, string heard)
    {
        using var tree = new FullTree();

        tree[at].Max += 1;

        Assert.Equal(heard, tree.Woken());
    }

    [Theory]
    [Requirement("S000-20")]
    [Requirement("T55")]
    [InlineData("C", "ABC")]
    [InlineData("B", "AB")]
    [InlineData("E", "AE")]
    [Requirement("M16")]
    public void Uncharge_reaches_the_waiters_whose_counters_fell(string at, string heard)
    {
        using var tree = new FullTree();

        tree.Member(at).Uncharge(10);

        Assert.Equal(heard, tree.Woken());
    }

    // C, D and E each hold their own lock, unless A came first.
    [Theory]
    [Requirement("S000-20")]
    [InlineData("D", "")]
    [InlineData("DC", "B")]
    [InlineData("ED", "")]
    [InlineData("DEC", "AB")]
    [InlineData("A", "BCDE")]
    public void Release_reaches_the_waiters_of_related_groups_whose_lock_can_be_had_now(string leaving, string heard)
    {
        using var tree = new FullTree(first: leaving[..1]);
        Assert.NotNull(tree[leaving[..1]].OomLock.Holder);

        foreach (char name in leaving)
        {
            tree.Leave($"{name}");
        }

        Assert.Equal(heard, tree.Woken());
    }

    [Fact]
    [Requirement("S000-20")]
    public void Release_that_nobody_waits_for_wakes_nobody()
    {
        using var world = new World();
        using var cancel = new CancellationTokenSource();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryGroup stranger = world.Root.CreateGroup("stranger", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        FullGroup.Fill(world, stranger);
        FullGroup.Ask(world, group, 100, cancel.Token);
        FullGroup.Ask(world, stranger, 100);
        world.Trace.Clear();

        cancel.Cancel();
        world.Run();

        Assert.Equal([ProbePoint.WakeDelivered, ProbePoint.Woken, ProbePoint.Released], world.Trace);
    }

    [Theory]
    [Requirement("T59")]
    [InlineData("raise the limit")]
    [InlineData("enable the killer")]
    [InlineData("free memory")]
    [Requirement("M16")]
    public void Sleepers_of_a_disabled_killer_resume_each_time(string way)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, group);
        List<Pending> asleep = [.. Enumerable.Range(0, 4).Select(_ => FullGroup.Ask(world, group, 100))];
        Assert.All(asleep, static one => Assert.True(one.Sleeps));
        Assert.True(group.Oom.UnderOom);

        switch (way)
        {
            case "raise the limit":
                group.Max = 1400;
                break;
            case "enable the killer":
                group.Oom.KillDisabled = false;
                world.Run();
                Assert.True(hog.IsKilled);
                hog.Dispose();
                break;
            default:
                hog.Uncharge(400);
                break;
        }

        world.Run();
        Assert.All(asleep, static one => Assert.True(one.Granted));
        Assert.False(group.Oom.UnderOom);
        Assert.Equal(way == "enable the killer" ? 1 : 0, group.Events.Current.OomKill);
    }

    [Fact]
    [Requirement("T59")]
    [Requirement("M16")]
    public void Lowering_the_limit_wakes_nobody()
    {
        using var tree = new FullTree();

        tree["B"].Max -= 1;

        Assert.Equal(string.Empty, tree.Woken());
    }

    // A(B(C, D), E), every group full by what its own member and its children hold, and one waiter at each.
    private sealed class FullTree : IDisposable
    {
        private readonly Dictionary<string, MemoryGroup> _groups = [];
        private readonly Dictionary<string, MemoryMember> _members = [];
        private readonly Dictionary<string, CancellationTokenSource> _cancels = [];
        private readonly World _world = new();

        public FullTree(string first = "A")
        {
            Add("A", _world.Root, 500);
            Add("B", this["A"], 300);
            Add("C", this["B"], 100);
            Add("D", this["B"], 100);
            Add("E", this["A"], 100);
            foreach (string name in _groups.Keys.OrderBy(name => name != first))
            {
                _cancels[name] = new CancellationTokenSource();
                Assert.True(FullGroup.Ask(_world, this[name], 10, _cancels[name].Token).Sleeps);
            }
        }

        public MemoryGroup this[string name] => _groups[name];

        public MemoryMember Member(string name) => _members[name];

        // Gives up, and does all that follows for itself, but not yet what it wakes others for.
        public void Leave(string name)
        {
            _cancels[name].Cancel();
            Assert.True(_world.RunOne());
        }

        // Whose sleep is over, before any of them has moved.
        public string Woken() => string.Concat(_groups.Keys.Order().Where(
            name => this[name].Waiters is { } queue && queue.Count > queue.Sleepers.Count));

        public void Dispose()
        {
            _world.Dispose();
            foreach (CancellationTokenSource cancel in _cancels.Values)
            {
                cancel.Dispose();
            }
        }

        private void Add(string name, MemoryGroup parent, long max)
        {
            _groups[name] = parent.CreateGroup(name, new MemoryGroupOptions { Max = max, KillDisabled = true });
            _members[name] = this[name].CreateMember("holds");
            Assert.True(_world.Charge(_members[name], 100).Granted);
        }
    }
}
