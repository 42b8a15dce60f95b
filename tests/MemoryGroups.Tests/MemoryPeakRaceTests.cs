// Peaks on real threads: no usage after a reset is missed, and nobody else's peak falls.
namespace MemoryGroups.Tests;

public sealed class MemoryPeakRaceTests
{
    [Fact]
    [Requirement("M3")]
    public async Task Peak_is_never_below_a_usage_that_follows_its_reset()
    {
        const int resets = 20_000;
        using var world = new World();
        MemoryGroup tenant = Exact(world);
        MemoryMember member = tenant.CreateMember("member");
        using MemoryPeak steady = tenant.OpenPeak();
        using MemoryPeak reset = tenant.OpenPeak();
        using MemoryPeak other = tenant.OpenPeak();
        bool done = false;
        Task charging = OnItsOwnThread(() =>
        {
            for (long bytes = 1; !Volatile.Read(ref done); bytes = (bytes % 1000) + 1)
            {
                Assert.True(member.TryCharge(bytes));
                Assert.InRange(reset.Bytes, bytes, 1000);
                Assert.InRange(other.Bytes, bytes, 1000);
                member.Uncharge(bytes);
            }
        });
        Task resetting = OnItsOwnThread(() =>
        {
            long highest = 0;
            for (int i = 0; i < resets && !charging.IsCompleted; i++)
            {
                (i % 2 == 0 ? reset : other).Reset();
                long now = steady.Bytes;
                Assert.True(now >= highest, $"a reader that nobody reset fell from {highest} to {now}");
                highest = now;
            }
        });

        await resetting;
        Volatile.Write(ref done, true);
        await charging;
        tenant.ResetPeak();
        Assert.Equal(0, tenant.PeakUsage);
    }

    private static MemoryGroup Exact(World world) =>
        world.Root.CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 1 });

    private static Task OnItsOwnThread(Action body) => Task.Factory.StartNew(
        body, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
}
