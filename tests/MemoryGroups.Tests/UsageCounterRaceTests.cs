// The hierarchical counter on real threads: no byte is lost, whatever the limit does meanwhile.
namespace MemoryGroups.Tests;

public sealed class UsageCounterRaceTests
{
    [Fact]
    [Requirement("T20")]
    public async Task Limit_that_toggles_under_racing_charges_loses_no_byte()
    {
        const int threads = 3;
        const int rounds = 5_000_000;
        using var tree = new Chain(top: long.MaxValue, middle: long.MaxValue, leaf: 1008);
        UsageCounter leaf = tree.Leaf.Counter;
        Assert.True(leaf.TryCharge(1000, 0, out _));
        int running = threads;
        using var start = new Barrier(threads + 1);
        void Charge()
        {
            start.SignalAndWait();
            try
            {
                for (int i = 0; i < rounds; i++)
                {
                    if (leaf.TryCharge(2, 0, out _))
                    {
                        leaf.Uncharge(2);
                    }
                }
            }
            finally
            {
                Interlocked.Decrement(ref running);
            }
        }

        void Toggle()
        {
            start.SignalAndWait();
            while (Volatile.Read(ref running) > 0)
            {
                leaf.SetLimit(1001, out _);
                leaf.SetLimit(1008, out _);
            }
        }

        await Task.WhenAll(Enumerable.Repeat<Action>(Charge, threads).Append(Toggle).Select(OnItsOwnThread));

        Assert.Equal((1000, 1000, 1000), tree.Usage);
        Assert.True(tree.Leaf.PeakUsage <= 1008, $"peak {tree.Leaf.PeakUsage}");
    }

    [Fact]
    [Requirement("T19")]
    [Requirement("M1")]
    public async Task Failing_charges_from_many_threads_change_no_counter()
    {
        const int threads = 8;
        const int charges = 125;
        using var tree = new Chain(top: 1000, middle: 500, leaf: 1000);
        Assert.True(tree.Middle.Counter.TryCharge(500, 0, out _));
        MemoryMember member = tree.Leaf.CreateMember("member");
        using var start = new Barrier(threads);

        await Task.WhenAll(Enumerable.Repeat<Action>(
            () =>
            {
                start.SignalAndWait();
                for (int i = 0; i < charges; i++)
                {
                    Assert.False(member.TryCharge(1));
                    var error = Assert.Throws<MemoryLimitExceededException>(
                        () => member.Charge(1, ChargeFlags.NoRetry));
                    Assert.Equal(tree.Middle.Path, error.GroupPath);
                }
            },
            threads).Select(OnItsOwnThread));

        Assert.Equal((500, 500, 0), tree.Usage);
        Assert.Equal(0, tree.Leaf.RefusalCount);
        Assert.Equal(0, tree.Top.RefusalCount);
        Assert.True(tree.Middle.RefusalCount >= threads * charges * 2);
    }

    private static Task OnItsOwnThread(Action body) => Task.Factory.StartNew(
        body, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
}
