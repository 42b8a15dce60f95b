// Groups and members that come and go: storms of joins, many groups at once, random trees. Nothing leaks, nothing
// stalls, limits hold at every moment, and every group can be removed at the end.
namespace MemoryGroups.Tests;

public sealed class ChurnScenarioTests
{
    [Fact]
    [Requirement("T41")]
    public void Forty_rounds_of_ten_members_at_a_limit_of_zero_leave_nothing_behind()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 0 });
        for (int round = 0; round < 40; round++)
        {
            (MemoryMember Member, Pending Charge)[] joined =
            [
                .. Enumerable.Range(0, 10).Select(i =>
                {
                    MemoryMember member = group.CreateMember($"member {i}");
                    return (member, world.Begin(member, 1));
                }),
            ];
            world.Run();
            Assert.All(joined, static one => one.Charge.Failed<MemoryLimitExceededException>());
            Array.ForEach(joined, static one => one.Member.Dispose());

            Assert.Empty(group.Members);
            Assert.Equal((0, 0, 0), (group.Usage, world.Root.Usage, world.Root.BytesLeftAtExit));
        }

        world.AssertQuiet();
        group.Dispose();
        Assert.Empty(world.Root.Children);
    }

    [Fact]
    [Requirement("T42")]
    public void Hundred_and_fifty_groups_that_use_the_whole_budget_go_on_without_a_stall_and_are_all_removed()
    {
        const int Groups = 150;
        const long Share = 1000;
        using var world = new World(Groups * Share);
        var random = new Random(42);
        MemoryMember[] members =
        [
            .. Enumerable.Range(0, Groups).Select(i => Obedient(world.Root.CreateGroup($"group {i}"), "member")),
        ];
        for (TimeSpan ran = TimeSpan.Zero; ran < TimeSpan.FromSeconds(900); ran += TimeSpan.FromSeconds(5))
        {
            foreach (MemoryMember member in members)
            {
                member.Uncharge(random.NextInt64(member.Usage + 1));
                Assert.True(world.Charge(member, Share - member.Usage).Granted, $"{member.Path} stalls at {ran}");
            }

            Assert.Equal(Groups * Share, world.Root.Usage);
            world.Advance(TimeSpan.FromSeconds(5));
        }

        world.Root.Kill("the run is over");
        world.Run();

        Assert.All(members, static member => Assert.True(member.IsExited));
        Assert.All(world.Root.Children, static group => Assert.Equal(0, group.Usage));
        foreach (MemoryGroup group in world.Root.Children)
        {
            group.Dispose();
        }

        Assert.Empty(world.Root.Children);
        world.AssertQuiet();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [Requirement("T43")]
    public void Tree_whose_leaves_and_jobs_come_and_go_at_random_keeps_its_limits_and_leaks_nothing(int seed)
    {
        using var world = new World();
        using var churn = new Churn(world, seed);
        for (int step = 0; step < 600; step++)
        {
            churn.Step();
            for (int hops = churn.Random.Next(4); hops > 0 && world.RunOne(); hops--)
            {
                Assert.True(churn.X.Usage <= churn.X.Max, $"seed {seed}, step {step}: X uses {churn.X.Usage}");
                Assert.True(churn.B.Usage <= churn.B.Max, $"seed {seed}, step {step}: b uses {churn.B.Usage}");
            }
        }

        churn.End();
        world.Advance(TimeSpan.FromSeconds(1));

        Assert.True(churn.Kills > 0, $"seed {seed}: nobody was killed, so nothing was tried");
        Assert.All(churn.Charges, one => Assert.True(!one.Sleeps, $"seed {seed}: a charge sleeps on"));
        Assert.All(churn.Charges, one => Assert.True(
            one.Granted || one.Error is OomKilledException or ObjectDisposedException or MemoryLimitExceededException,
            $"seed {seed}: {one.Error}"));
        Assert.Equal((0, 0), (churn.X.Usage, world.Root.OomKiller.VictimsInFlight));
        world.AssertQuiet();
    }

    private static MemoryMember Obedient(MemoryGroup group, string name)
    {
        MemoryMember member = group.CreateMember(name);
        member.Killed.UnsafeRegister(static state => ((MemoryMember)state!).Dispose(), member);
        return member;
    }

    // Limits on X and X/b, jobs in X/a and X/b; X/a/aa, X/b/bb and X/c come and go with jobs in them.
    private sealed class Churn : IDisposable
    {
        private readonly World _world;
        private readonly List<MemoryGroup> _groups;
        private readonly List<MemoryMember> _jobs = [];

        public Churn(World world, int seed)
        {
            _world = world;
            Random = new Random(seed);
            X = world.Root.CreateGroup("X", new MemoryGroupOptions { Max = 4000 });
            B = X.CreateGroup("b", new MemoryGroupOptions { Max = 1500 });
            _groups = [X.CreateGroup("a"), B, null!, null!, null!];
        }

        public Random Random { get; }

        public MemoryGroup X { get; }

        public MemoryGroup B { get; }

        public List<Pending> Charges { get; } = [];

        public long Kills => X.Events.Current.OomKill;

        public void Step()
        {
            int at = Random.Next(_groups.Count);
            int choice = Random.Next(10);
            if (choice == 0 && at >= 2)
            {
                _groups[at]?.Dispose();
                _groups[at] = at switch
                {
                    2 => _groups[0].CreateGroup("aa"),
                    3 => B.CreateGroup("bb"),
                    _ => X.CreateGroup("c"),
                };
            }
            else if (choice == 1 && at >= 2)
            {
                _groups[at]?.Dispose();
            }
            else if (choice < 7 && _groups[at] is { IsClosed: false } group)
            {
                MemoryMember job = Obedient(group, "job");
                _jobs.Add(job);
                Charges.Add(_world.Begin(job, Random.Next(1, 700)));
            }
            else if (_jobs.Count > 0)
            {
                MemoryMember job = _jobs[Random.Next(_jobs.Count)];
                job.Dispose();
                _jobs.Remove(job);
            }
        }

        public void End()
        {
            _world.Run();
            _jobs.ForEach(static job => job.Dispose());
        }

        public void Dispose() => X.Dispose();
    }
}
