// One sleep: completed once, by whoever comes first, never on that one's stack, and it leaves no timer behind.
namespace MemoryGroups.Tests;

public sealed class OomWaiterTests
{
    [Fact]
    [Requirement("B05")]
    public void Wake_before_the_sleep_is_kept()
    {
        using var scene = new Scene();
        scene.Waiter.End(WakeReason.Hint);
        scene.World.Run();

        Assert.Equal(WakeReason.Hint, scene.Answer(scene.Sleep()));
    }

    [Fact]
    [Requirement("B05")]
    public void Reason_stands_before_the_wake_is_delivered()
    {
        using var scene = new Scene();
        Task<WakeReason> sleep = scene.Sleep();

        scene.Waiter.End(WakeReason.Hint);

        // The waker stands between its two steps: whoever looks sees the reason, and nobody sets another one.
        Assert.Equal(WakeReason.Hint, scene.Waiter.Signal);
        Assert.Null(scene.Answer(sleep));
        scene.Cancel.Cancel();
        scene.World.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(WakeReason.Hint, scene.Answer(sleep));
    }

    [Fact]
    public void First_reason_wins_and_later_ones_deliver_nothing()
    {
        using var scene = new Scene();
        Task<WakeReason> sleep = scene.Sleep();

        scene.Waiter.End(WakeReason.Killed);
        scene.Waiter.End(WakeReason.Hint);
        scene.Waiter.End(WakeReason.Closed);

        Assert.Equal(1, scene.World.PostedCount);
        scene.World.Run();
        Assert.Equal(WakeReason.Killed, scene.Answer(sleep));
    }

    [Fact]
    public void Deadline_ends_the_sleep()
    {
        using var scene = new Scene();
        Task<WakeReason> sleep = scene.Sleep();

        scene.World.Advance(TimeSpan.FromSeconds(4.9));
        Assert.Null(scene.Answer(sleep));
        scene.World.Advance(TimeSpan.FromSeconds(0.1));

        Assert.Equal(WakeReason.TimedOut, scene.Answer(sleep));
    }

    [Fact]
    public void Cancellation_ends_the_sleep_also_when_it_came_before()
    {
        using var scene = new Scene();
        scene.Cancel.Cancel();

        Task<WakeReason> sleep = scene.Sleep();
        scene.World.Run();

        Assert.Equal(WakeReason.Cancelled, scene.Answer(sleep));
    }

    [Fact]
    public void Sleep_that_is_over_has_disarmed_its_timer_and_does_not_hear_its_token()
    {
        using var scene = new Scene();
        Task<WakeReason> sleep = scene.Sleep();
        Assert.Equal(1, scene.World.Time.ArmedTimers);

        scene.Waiter.End(WakeReason.Hint);
        scene.World.Run();

        Assert.Equal(WakeReason.Hint, scene.Answer(sleep));
        Assert.Equal(0, scene.World.Time.ArmedTimers);
        scene.Cancel.Cancel();
        Assert.Equal(0, scene.World.PostedCount);
    }

    private sealed class Scene : IDisposable
    {
        public Scene()
        {
            Request = new OomRequest(World.Root, null, 0, ChargeFlags.None, TimeSpan.FromSeconds(5))
            {
                Cancel = Cancel.Token,
            };
            Waiter = Request.NewWaiter(World.Root);
        }

        public World World { get; } = new();

        public CancellationTokenSource Cancel { get; } = new();

        public OomRequest Request { get; }

        public OomWaiter Waiter { get; }

        public Task<WakeReason> Sleep() => Waiter.SleepAsync(TimeSpan.FromSeconds(5), Cancel.Token).AsTask();

        public WakeReason? Answer(Task<WakeReason> sleep) =>
            sleep.IsCompleted ? sleep.GetAwaiter().GetResult() : null;

        public void Dispose()
        {
            World.Dispose();
            Cancel.Dispose();
        }
    }
}
