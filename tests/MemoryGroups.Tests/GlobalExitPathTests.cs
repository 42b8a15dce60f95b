// Every way out of the global path at every observation point: nothing is left behind and everybody's wait ends.
namespace MemoryGroups.Tests;

public sealed class GlobalExitPathTests
{
    private static readonly string[] Events =
    [
        "nothing", "kill asker", "exit asker", "cancel asker", "close group", "exit hog", "kill hog", "free little",
        "free enough", "disable", "kill now", "raise capacity", "second asker", "chain gone",
    ];

    private static readonly ProbePoint[] Points =
    [
        ProbePoint.ChainEntered, ProbePoint.ChainLeft, ProbePoint.BeforeKillLock, ProbePoint.VictimChosen,
        ProbePoint.KillSent, ProbePoint.BeforeSleep, ProbePoint.Woken, ProbePoint.WakeDelivered, ProbePoint.BeforeReap,
        ProbePoint.Reaped,
    ];

    public static TheoryData<int, string> All()
    {
        var data = new TheoryData<int, string>();
        foreach (ProbePoint point in Points)
        {
            foreach (string what in Events)
            {
                data.Add((int)point, what);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(All))]
    [Requirement("S001-1")]
    [Requirement("S001-9")]
    public void Global_path_disturbed_at_any_point_ends_for_everybody_and_leaves_nothing_behind(int point, string what)
    {
        using var world = new World(1000, static options => options with { OomReserveBytes = 50 });
        using var scene = new Scene(world);
        bool disturbed = false;
        world.Once((ProbePoint)point, () =>
        {
            disturbed = true;
            scene.Disturb(what);
        });

        scene.Pending.Add(world.Charge(scene.Asker, 200, cancel: scene.Cancel.Token));
        bool late = (ProbePoint)point is ProbePoint.BeforeReap or ProbePoint.Reaped;
        world.Advance(TimeSpan.FromSeconds(late ? 3 : 1));
        scene.Hog.Dispose();
        world.Advance(TimeSpan.FromSeconds(4));

        Assert.True(disturbed);
        Assert.All(scene.Pending, static one => Assert.False(one.Sleeps));
        Assert.All(scene.Pending, static one => Assert.True(one.Error is null or OomKilledException
            or OperationCanceledException or ObjectDisposedException or MemoryLimitExceededException, $"{one.Error}"));
        scene.Asker.Dispose();
        scene.Tenant.Dispose();
        scene.Other.Dispose();
        world.Root.OomKiller.Enable();
        Assert.Equal((0, 0), (world.Root.OomReserveUsed, world.Root.OomKiller.VictimsInFlight));
        Assert.Equal(0, world.Time.ArmedTimers);
        Assert.Empty(Sleepers.Of(scene.Asker));
        world.AssertQuiet();
    }

    private sealed class Scene : IDisposable
    {
        private readonly World _world;
        private readonly IDisposable _chain;

        public Scene(World world)
        {
            _world = world;
            Tenant = world.Root.CreateGroup("tenant");
            Other = world.Root.CreateGroup("other");
            Hog = Other.CreateMember("hog");
            Hog.Charge(900);
            Asker = Tenant.CreateMember("asker");
            Asker.Charge(100);
            _chain = world.Root.AddLastResortReclaimer(new ScriptedReclaimer("cache", static _ => 0));
        }

        public MemoryGroup Tenant { get; }

        public MemoryGroup Other { get; }

        public MemoryMember Hog { get; }

        public MemoryMember Asker { get; }

        public CancellationTokenSource Cancel { get; } = new();

        public List<Pending> Pending { get; } = [];

        public void Disturb(string what)
        {
            Action action = what switch
            {
                "nothing" => static () => { }
                ,
                "kill asker" => () => Asker.Kill("disturbed"),
                "exit asker" => Asker.Dispose,
                "cancel asker" => Cancel.Cancel,
                "close group" => Tenant.Dispose,
                "exit hog" => Hog.Dispose,
                "kill hog" => () => Hog.Kill("disturbed"),
                "free little" => () => Hog.Uncharge(Math.Min(50, Hog.Usage)),
                "free enough" => () => Hog.Uncharge(Math.Min(200, Hog.Usage)),
                "disable" => () => _ = _world.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(1)).AsTask(),
                "kill now" => () => _ = _world.Root.OomKiller.KillNowAsync().AsTask(),
                "raise capacity" => () => _world.Root.Capacity = 5000,
                "second asker" => () => Pending.Add(_world.Begin(Other.CreateMember("second"), 100)),
                "chain gone" => _chain.Dispose,
                _ => throw new ArgumentException($"'{what}' is not one of the events.", nameof(what)),
            };
            action();
        }

        public void Dispose()
        {
            _chain.Dispose();
            Cancel.Dispose();
        }
    }
}
