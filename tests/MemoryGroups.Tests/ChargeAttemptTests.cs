// The order in which a charge tries things (M8), and the ways in which it ends without its bytes.
namespace MemoryGroups.Tests;

public sealed class ChargeAttemptTests
{
    private const long Megabyte = 1L << 20;

    [Fact]
    [Requirement("M8")]
    public void Charge_that_fits_only_without_a_batch_is_granted_exactly()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 64 * Megabyte });
        MemoryMember member = group.CreateMember("member");
        var asked = new Reclaimer(0);
        using IDisposable registered = group.AddReclaimer(asked);
        OpenStock(member);

        Assert.True(world.Begin(member, (64 * Megabyte) - group.Usage).Granted);

        Assert.Equal(64 * Megabyte, group.Usage);
        Assert.True(group.UsageLower < group.Usage, "nothing had to be taken out of stock");
        Assert.Equal(0, asked.Calls);
        Assert.Equal(0, group.Events.Current.Max);
    }

    [Fact]
    [Requirement("M8")]
    public void Idle_stock_comes_back_before_anybody_is_asked_or_refused()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 64 * Megabyte });
        MemoryGroup below = group.CreateGroup("below");
        MemoryMember idle = below.CreateMember("idle");
        MemoryMember member = group.CreateMember("member");
        var asked = new Reclaimer(0);
        using IDisposable registered = group.AddReclaimer(asked);
        OpenStock(idle);
        Assert.True(group.Usage > idle.Usage, "the idle member or its group holds stock");

        Assert.True(world.Begin(member, (64 * Megabyte) - idle.Usage).Granted);

        Assert.Equal(64 * Megabyte, group.Usage);
        Assert.Equal(0, asked.Calls);
        Assert.Equal(0, group.Events.Current.Max);
    }

    [Fact]
    [Requirement("M8")]
    public void Reclaim_comes_before_the_oom_and_is_counted_as_max()
    {
        using var scene = new Scene();
        var cache = new Reclaimer(100, scene.Hog);
        using IDisposable registered = scene.Group.AddReclaimer(cache);

        Pending asking = scene.World.Charge(scene.Asker, 100);

        Assert.True(asking.Granted);
        Assert.Equal(1, scene.Group.Events.Current.Max);
        Assert.Equal(0, scene.Group.Events.Current.Oom);
        Assert.False(scene.Hog.IsKilled);
    }

    [Fact]
    [Requirement("M8")]
    public void Reclaim_goes_on_as_long_as_it_helps()
    {
        using var scene = new Scene();
        var cache = new Reclaimer(1, scene.Hog);
        using IDisposable registered = scene.Group.AddReclaimer(cache);

        Pending asking = scene.World.Charge(scene.Asker, 100);

        Assert.True(asking.Granted);
        Assert.True(cache.Calls >= 100);
        Assert.Equal(0, scene.Group.Events.Current.Oom);
    }

    [Fact]
    [Requirement("M8")]
    public void Reclaimer_that_only_claims_costs_rounds_and_then_somebody_is_killed()
    {
        using var scene = new Scene();
        var liar = new Reclaimer(1000);
        using IDisposable registered = scene.Group.AddReclaimer(liar);

        int calls = 0;
        scene.World.Once(ProbePoint.VictimChosen, () => calls = liar.Calls);

        scene.World.Charge(scene.Asker, 100);

        Assert.True(scene.Hog.IsKilled);
        Assert.InRange(calls, ChargeAttempt.MaxRounds, ChargeAttempt.MaxRounds + 3);
    }

    [Fact]
    [Requirement("M8")]
    public void Room_is_believed_even_if_no_reclaimer_claims_it()
    {
        using var scene = new Scene();
        using IDisposable registered = scene.Group.AddReclaimer(new Reclaimer(100, scene.Hog, claim: 0));

        Assert.True(scene.World.Charge(scene.Asker, 100).Granted);
        Assert.DoesNotContain(ProbePoint.ChargeRefused, scene.World.Trace);
    }

    [Fact]
    public void Request_larger_than_the_limit_is_refused_before_anything_is_tried()
    {
        using var scene = new Scene();
        var asked = new Reclaimer(0);
        using IDisposable registered = scene.Group.AddReclaimer(asked);

        MemoryLimitExceededException error =
            scene.World.Begin(scene.Asker, 1001).Failed<MemoryLimitExceededException>();

        Assert.Equal(ChargeRefusal.Impossible, error.Reason);
        Assert.Equal(scene.Group.Path, error.GroupPath);
        Assert.Equal(1000, error.LimitBytes);
        Assert.Equal(0, asked.Calls);
        Assert.Equal(0, scene.Group.Events.Current.Max);
        Assert.False(scene.Hog.IsKilled);
    }

    [Fact]
    public void Request_that_an_ancestor_could_never_admit_hurts_nobody_in_the_group_that_refused_first()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 2000 });
        MemoryGroup group = parent.CreateGroup("group", new MemoryGroupOptions { Max = 5000 });
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(world.Charge(hog, 1900).Granted);

        MemoryLimitExceededException error =
            FullGroup.Ask(world, group, 4000).Failed<MemoryLimitExceededException>();

        Assert.Equal(ChargeRefusal.Impossible, error.Reason);
        Assert.Equal(parent.Path, error.GroupPath);
        Assert.False(hog.IsKilled);
    }

    [Fact]
    public void Watermark_counts_when_it_is_asked_what_could_ever_fit_into_the_root()
    {
        using var world = new World(1000, options => options with { MinWatermarkBytes = 200 });
        MemoryMember member = world.Root.CreateMember("member");

        Assert.True(world.Charge(member, 800).Granted);
        member.Uncharge(800);

        Assert.Equal(
            ChargeRefusal.Impossible,
            world.Begin(member, 801).Failed<MemoryLimitExceededException>().Reason);
    }

    [Fact]
    public void Charge_from_inside_a_reclaimer_of_the_same_memory_is_refused_at_once()
    {
        using var scene = new Scene();
        MemoryGroup elsewhere = scene.World.Root.CreateGroup("elsewhere");
        MemoryMember stranger = elsewhere.CreateMember("stranger");
        Pending? same = null;
        Pending? other = null;
        Pending? flagged = null;
        using IDisposable registered = scene.Group.AddReclaimer(new Reclaimer(0, during: () =>
        {
            same ??= scene.World.Begin(scene.Hog, 10);
            other ??= scene.World.Begin(stranger, 10);
            flagged ??= scene.World.Begin(scene.Hog, 10, ChargeFlags.FromReclaim);
        }));

        scene.World.Charge(scene.Asker, 100);

        Assert.Equal(ChargeRefusal.Reentrant, same!.Failed<MemoryLimitExceededException>().Reason);
        Assert.True(other!.Granted);
        Assert.True(flagged!.Granted);
    }

    [Fact]
    public void Wait_ends_at_its_deadline_and_not_before()
    {
        using var scene = new Scene(killDisabled: true);
        scene.Group.WaitTimeout = TimeSpan.FromSeconds(5);
        Pending asking = scene.World.Charge(scene.Asker, 100);

        scene.World.Advance(TimeSpan.FromSeconds(4.9));
        Assert.True(asking.Sleeps);
        scene.World.Advance(TimeSpan.FromSeconds(0.1));

        MemoryLimitExceededException error = asking.Failed<MemoryLimitExceededException>();
        Assert.Equal(ChargeRefusal.TimedOut, error.Reason);
        Assert.Equal(scene.Asker.Path, error.MemberPath);
        Assert.Equal(100, error.RequestedBytes);
        Assert.Equal(1000, error.UsageBytes);
        scene.World.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    public void Wait_without_end_arms_no_timer_and_outlasts_everything()
    {
        using var scene = new Scene(killDisabled: true);
        scene.Group.WaitTimeout = Timeout.InfiniteTimeSpan;
        Pending asking = scene.World.Charge(scene.Asker, 100);

        scene.World.Advance(TimeSpan.FromDays(300));

        Assert.True(asking.Sleeps);
        Assert.Equal(0, scene.World.Time.ArmedTimers);
        scene.Hog.Uncharge(100);
        scene.World.Run();
        Assert.True(asking.Granted);
    }

    [Fact]
    public void Cancelled_before_it_starts_it_charges_nothing()
    {
        using var scene = new Scene();
        scene.Hog.Uncharge(500);

        Pending asking = scene.World.Begin(scene.Asker, 100, cancel: new CancellationToken(canceled: true));

        asking.Failed<OperationCanceledException>();
        Assert.Equal(0, scene.Asker.Usage);
    }

    [Theory]
    [InlineData("cancelled")]
    [InlineData("exited")]
    [InlineData("closed")]
    public void Request_that_is_over_by_the_time_reclaim_has_ended_kills_nobody(string how)
    {
        using var scene = new Scene();
        using var cancel = new CancellationTokenSource();
        MemoryGroup child = scene.Group.CreateGroup("child");
        MemoryMember asker = child.CreateMember("asker");
        using IDisposable registered = scene.Group.AddReclaimer(new Reclaimer(0, during: () =>
        {
            switch (how)
            {
                case "cancelled":
                    cancel.Cancel();
                    break;
                case "exited":
                    asker.Dispose();
                    break;
                default:
                    child.Dispose();
                    break;
            }
        }));

        Pending asking = scene.World.Charge(asker, 100, cancel: cancel.Token);

        Assert.False(asking.Sleeps);
        Assert.False(asking.Granted);
        Assert.False(scene.Hog.IsKilled);
        Assert.Equal(0, scene.Group.Events.Current.Oom);
    }

    [Theory]
    [InlineData("cancelled")]
    [InlineData("exited")]
    public void Request_that_is_over_by_the_time_the_handler_has_answered_kills_nobody(string how)
    {
        using var scene = new Scene();
        using var cancel = new CancellationTokenSource();
        scene.Group.Oom.Handler = new Handler(() =>
        {
            if (how == "cancelled")
            {
                cancel.Cancel();
            }
            else
            {
                scene.Asker.Dispose();
            }
        });

        Pending asking = scene.World.Charge(scene.Asker, 100, cancel: cancel.Token);

        Assert.False(asking.Sleeps);
        Assert.False(scene.Hog.IsKilled);
        scene.World.AssertQuiet(leftAtRoot: 1000);
    }

    [Fact]
    public void Charge_of_a_disposed_member_or_a_closed_group_says_so()
    {
        using var scene = new Scene();
        scene.Asker.Dispose();
        scene.World.Begin(scene.Asker, 100).Failed<ObjectDisposedException>();

        MemoryGroup child = scene.World.Root.CreateGroup("child");
        MemoryMember member = child.CreateMember("member");
        child.Dispose();
        scene.World.Begin(member, 100).Failed<ObjectDisposedException>();
        Assert.Throws<ObjectDisposedException>(() => member.Charge(100));
    }

    [Fact]
    public void Charge_above_high_is_granted_first_and_then_slowed_down()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup(
            "group", new MemoryGroupOptions { High = 100 * Megabyte, BatchBytes = 1 });
        MemoryMember member = group.CreateMember("member");
        Assert.True(world.Begin(member, 100 * Megabyte).Granted);

        Pending slowed = world.Charge(member, 10 * Megabyte);

        Assert.True(slowed.Sleeps);
        Assert.Equal(110 * Megabyte, member.Usage);
        Assert.Equal(1, group.Events.Current.High);
        world.Advance(TimeSpan.FromMilliseconds(1999));
        Assert.True(slowed.Sleeps);
        world.Advance(TimeSpan.FromMilliseconds(1));
        Assert.True(slowed.Granted);
        Assert.Equal(110 * Megabyte, member.Usage);
    }

    // Many walks in one place make stock worth its while.
    private static void OpenStock(MemoryMember member)
    {
        for (int i = 0; i < 64; i++)
        {
            Assert.True(member.TryCharge(1000));
        }
    }

    private sealed class Scene : IDisposable
    {
        public Scene(bool killDisabled = false)
        {
            Group = World.Root.CreateGroup(
                "group", new MemoryGroupOptions { Max = 1000, KillDisabled = killDisabled });
            Hog = FullGroup.Fill(World, Group);
            Asker = Group.CreateMember("asker");
        }

        public World World { get; } = new();

        public MemoryGroup Group { get; }

        public MemoryMember Hog { get; }

        public MemoryMember Asker { get; }

        public void Dispose() => World.Dispose();
    }

    // Gives what the owner has, or nothing without one; claims what it gave, or what it is told to.
    private sealed class Reclaimer(long bytes, MemoryMember? owner = null, long? claim = null, Action? during = null)
        : MemoryReclaimer("reclaimer")
    {
        public int Calls { get; private set; }

        public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
        {
            Calls++;
            during?.Invoke();
            owner?.Uncharge(bytes);
            return ValueTask.FromResult(claim ?? bytes);
        }
    }

    private sealed class Handler(Action during) : OomHandler
    {
        public override ValueTask<OomDecision> OnOomAsync(OomScene scene, CancellationToken cancellationToken)
        {
            during();
            return ValueTask.FromResult(OomDecision.Decline);
        }
    }
}
