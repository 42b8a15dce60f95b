// Thresholds on real threads: when the usage has settled, every threshold has been told on which side of it.
namespace MemoryGroups.Tests;

public sealed class UsageThresholdsRaceTests
{
    [Fact]
    [Requirement("M48")]
    public async Task Settled_usage_is_never_lost_between_opposite_movers()
    {
        const int rounds = 5_000;
        const int entries = 201;
        using var world = new World();
        MemoryGroup tenant = Exact(world);
        var signal = new MemorySignal();
        using var turn = new Barrier(3);

        // Many entries, so that a check takes long enough to be overtaken.
        for (int i = 0; i < entries; i++)
        {
            tenant.Thresholds.Register(10, signal);
        }

        MemoryMember one = tenant.CreateMember("one"), other = tenant.CreateMember("other");
        Assert.True(other.TryCharge(5));
        Task[] moving = [OnItsOwnThread(() => Toggle(one, 0)), OnItsOwnThread(() => Toggle(other, 5))];
        int wrong = 0;
        for (int round = 0; round < rounds; round++)
        {
            turn.SignalAndWait(TestContext.Current.CancellationToken);
            turn.SignalAndWait(TestContext.Current.CancellationToken);

            // Below again: nothing was crossed, or all of it there and back.
            wrong += tenant.Usage == 5 && signal.Total % (2 * entries) == 0 ? 0 : 1;
        }

        await Task.WhenAll(moving);
        Assert.Equal(0, wrong);

        // One charges while the other uncharges: above the threshold only between the two.
        void Toggle(MemoryMember member, long held)
        {
            for (int round = 0; round < rounds; round++)
            {
                turn.SignalAndWait(TestContext.Current.CancellationToken);
                if (held > 0)
                {
                    member.Uncharge(held);
                }
                else
                {
                    Assert.True(member.TryCharge(5));
                }

                held = 5 - held;
                turn.SignalAndWait(TestContext.Current.CancellationToken);
            }
        }
    }

    private static MemoryGroup Exact(World world) =>
        world.Root.CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 1 });

    private static Task OnItsOwnThread(Action body) => Task.Factory.StartNew(
        body, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
}
