// The objects of a charge that waited serve the next one, and nothing that is left of the first ends the second.
//
// What comes late is made to come late: a timer that fires after it was disarmed, a token that is cancelled afterwards,
// a wake that is delivered to nobody.
namespace MemoryGroups.Tests;

public sealed class WaitReuseTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    [Fact]
    public void Waits_one_after_the_other_share_their_objects()
    {
        using var scene = new Scene();
        HashSet<object> waiters = [];
        HashSet<object> requests = [];
        for (int round = 0; round < 20; round++)
        {
            Pending asking = scene.Ask();
            waiters.Add(scene.Waiter);
            requests.Add(scene.Waiter.Request);
            scene.Grant(asking);
        }

        Assert.Single(waiters);
        Assert.Single(requests);
    }

    [Fact]
    public void Waits_at_the_same_time_have_their_own()
    {
        using var scene = new Scene();
        scene.Grant(scene.Ask());

        Pending first = scene.Ask();
        Pending second = scene.Ask();

        List<OomWaiter> waiters = Sleepers.Of(scene.Group);
        Assert.NotSame(waiters[0], waiters[1]);
        Assert.NotSame(waiters[0].Request, waiters[1].Request);
        scene.Hog.Uncharge(200);
        scene.World.Run();
        Assert.True(first.Granted && second.Granted);
        scene.Asker.Uncharge(200);
        scene.Hog.Charge(200);
    }

    [Fact]
    public void Late_timer_of_an_earlier_wait_ends_nobodys_wait_and_delays_nobodys_deadline()
    {
        using var scene = new Scene();
        Pending first = scene.Ask();
        OomWaiter waiter = scene.Waiter;
        scene.World.Advance(TimeSpan.FromSeconds(9));
        scene.Grant(first);
        scene.World.Advance(TimeSpan.FromSeconds(5));

        Pending second = scene.Ask();
        Assert.Same(waiter, scene.Waiter);
        scene.Time.FireLate();
        scene.World.Run();

        Assert.True(second.Sleeps);
        scene.World.Advance(Timeout - TimeSpan.FromMilliseconds(1));
        Assert.True(second.Sleeps);
        scene.World.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(ChargeRefusal.TimedOut, second.Failed<MemoryLimitExceededException>().Reason);
    }

    [Fact]
    public void Late_timer_ends_nobody_who_has_queued_and_not_yet_armed_it()
    {
        using var scene = new Scene();
        scene.Grant(scene.Ask());
        scene.World.Advance(2 * Timeout);
        scene.World.Once(ProbePoint.Queued, () => scene.Time.FireLate());

        Pending second = scene.Ask();

        Assert.Equal(WakeReason.None, scene.Waiter.Signal);
        scene.Grant(second);
    }

    [Fact]
    public void Timer_that_fires_early_is_set_again()
    {
        using var scene = new Scene();
        Pending asking = scene.Ask();
        scene.World.Advance(TimeSpan.FromSeconds(3));
        scene.Time.FireLate();
        scene.Time.DropArmed();
        scene.Time.FireLate();

        Assert.Equal(1, scene.World.Time.ArmedTimers);
        scene.World.Advance(TimeSpan.FromSeconds(7));
        Assert.Equal(ChargeRefusal.TimedOut, asking.Failed<MemoryLimitExceededException>().Reason);
    }

    [Fact]
    public void Late_timer_when_nobody_sleeps_does_nothing()
    {
        using var scene = new Scene();
        scene.Grant(scene.Ask());
        scene.World.Advance(2 * Timeout);

        scene.Time.FireLate();

        Assert.Equal(0, scene.World.PostedCount);
        Pending next = scene.Ask();
        Assert.True(next.Sleeps);
        scene.Grant(next);
    }

    [Fact]
    public void Token_of_an_earlier_wait_cancels_nobody()
    {
        using var scene = new Scene();
        using var cancel = new CancellationTokenSource();
        Pending first = scene.Ask(cancel.Token);
        OomWaiter waiter = scene.Waiter;
        scene.Grant(first);
        Pending second = scene.Ask();
        Assert.Same(waiter, scene.Waiter);

        cancel.Cancel();

        Assert.Equal(0, scene.World.PostedCount);
        Assert.True(second.Sleeps);
        scene.Grant(second);
    }

    [Fact]
    public void Wait_whose_token_has_called_is_not_used_again()
    {
        using var scene = new Scene();
        using var cancel = new CancellationTokenSource();
        Pending first = scene.Ask(cancel.Token);
        OomWaiter waiter = scene.Waiter;

        // Woken first, and cancelled before it hears of it.
        scene.Hog.Uncharge(100);
        cancel.Cancel();
        scene.World.Run();
        Assert.IsType<OperationCanceledException>(first.Error, exactMatch: false);
        scene.Hog.Charge(100);

        Pending second = scene.Ask();
        Assert.NotSame(waiter, scene.Waiter);
        scene.Grant(second);
    }

    [Fact]
    public void Wake_of_who_did_not_sleep_is_delivered_to_nobody_else()
    {
        using var scene = new Scene();
        OomWaiter? woken = null;
        scene.World.Once(ProbePoint.Marked, () =>
        {
            woken = Sleepers.Of(scene.Group)[0];
            scene.Hog.Uncharge(100);
        });
        Pending first = scene.World.Begin(scene.Asker, 100);
        Assert.True(first.Granted);
        scene.Asker.Uncharge(100);
        scene.Hog.Charge(100);
        Assert.Equal(1, scene.World.PostedCount);

        Pending second = scene.World.Begin(scene.Asker, 100);
        Assert.NotSame(woken, scene.Waiter);
        Assert.NotSame(woken!.Request, scene.Waiter.Request);
        scene.World.Run();

        Assert.True(second.Sleeps);
        scene.Grant(second);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Wait_that_ended_in_an_error_is_not_used_again(bool late)
    {
        using var scene = new Scene();
        using var cancel = new CancellationTokenSource();
        Pending first = scene.Ask(cancel.Token);
        OomWaiter waiter = scene.Waiter;
        if (late)
        {
            scene.World.Advance(Timeout);
        }
        else
        {
            cancel.Cancel();
            scene.World.Run();
        }

        Assert.NotNull(first.Error);
        Pending second = scene.Ask();
        Assert.NotSame(waiter, scene.Waiter);
        Assert.NotSame(waiter.Request, scene.Waiter.Request);
        scene.Grant(second);
    }

    [Fact]
    public void Request_that_held_others_back_is_not_used_again()
    {
        using var scene = new Scene();
        Pending large = scene.World.Charge(scene.Asker, 900);
        OomRequest request = scene.Waiter.Request;
        scene.World.Advance(Timeout / 2);
        for (int pass = 0; pass <= OomRequest.PassesBeforeAged; pass++)
        {
            scene.Hog.Uncharge(1);
            scene.Hog.Charge(1);
        }

        Assert.Same(request, scene.Group.AgedRequest);
        scene.Hog.Uncharge(900);
        scene.World.Run();
        Assert.True(large.Granted);
        scene.Asker.Uncharge(900);
        scene.Hog.Charge(900);

        Pending next = scene.Ask();
        Assert.NotSame(request, scene.Waiter.Request);
        scene.Grant(next);
    }

#pragma warning disable CA2012, xUnit1031 // these two take results when they must not, as the analyzers say
    [Fact]
    public void Result_is_taken_once()
    {
        using var scene = new Scene();
        ValueTask first = scene.Asker.ChargeAsync(100);
        scene.Hog.Uncharge(100);
        scene.World.Run();
        first.GetAwaiter().GetResult();
        scene.Asker.Uncharge(100);
        scene.Hog.Charge(100);
        Pending second = scene.Ask();

        Assert.Throws<InvalidOperationException>(() => first.GetAwaiter().GetResult());

        Assert.True(second.Sleeps);
        scene.Grant(second);
    }

    [Fact]
    public void Result_that_is_not_there_yet_is_not_given()
    {
        using var scene = new Scene();
        ValueTask asking = scene.Asker.ChargeAsync(100);

        Assert.Throws<InvalidOperationException>(() => asking.GetAwaiter().GetResult());

        scene.Hog.Uncharge(100);
        scene.World.Run();
        asking.GetAwaiter().GetResult();
    }
#pragma warning restore CA2012, xUnit1031

    private sealed class Scene : IDisposable
    {
        public Scene()
        {
            LateTime? late = null;
            World = new World(configure: options => options with
            {
                TimeProvider = late = new LateTime((VirtualTime)options.TimeProvider),
            });
            Time = late!;
            Group = World.Root.CreateGroup(
                "g", new MemoryGroupOptions { Max = 1000, KillDisabled = true, WaitTimeout = Timeout });
            Hog = FullGroup.Fill(World, Group);
            Asker = Group.CreateMember("asker");
        }

        public LateTime Time { get; }

        public World World { get; }

        public MemoryGroup Group { get; }

        public MemoryMember Hog { get; }

        public MemoryMember Asker { get; }

        // The one that sleeps.
        public OomWaiter Waiter => Assert.Single(Sleepers.Of(Group));

        public Pending Ask(CancellationToken cancel = default)
        {
            Pending asking = World.Charge(Asker, 100, cancel: cancel);
            Assert.True(asking.Sleeps);
            return asking;
        }

        public void Grant(Pending asking)
        {
            Hog.Uncharge(100);
            World.Run();
            Settle(asking);
        }

        public void Settle(Pending asking)
        {
            Assert.True(asking.Granted);
            Asker.Uncharge(100);
            Hog.Charge(100);
        }

        public void Dispose() => World.Dispose();
    }
}

// Virtual time whose timers may also fire when they should not.
internal sealed class LateTime(VirtualTime inner) : TimeProvider
{
    private Action? _fire;
    private ITimer? _last;

    public override long TimestampFrequency => inner.TimestampFrequency;

    public override DateTimeOffset GetUtcNow() => inner.GetUtcNow();

    public override long GetTimestamp() => inner.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        _fire = () => callback(state);
        return _last = inner.CreateTimer(callback, state, dueTime, period);
    }

    // The newest timer, whether it is armed or not.
    public void FireLate() => _fire!();

    // As if it had fired for good.
    public void DropArmed() => _last!.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
}
