// Pins and the reaper on real threads: never both, and after the reaper no pin.
namespace MemoryGroups.Tests;

public sealed class MemorySpaceRaceTests
{
    [Fact]
    [Requirement("M32")]
    public async Task Pins_and_reaping_that_race_on_real_threads_never_hold_at_the_same_time()
    {
        for (int round = 0; round < 50; round++)
        {
            using var root = new MemoryRoot();
            MemorySpace space = root.CreateMember("member").Space;
            int inside = 0;
            int overlaps = 0;
            bool refused = false;
            using var start = new Barrier(2);
            Task pinning = Task.Run(() =>
            {
                start.SignalAndWait();
                for (int i = 0; i < 1_000_000 && !refused; i++)
                {
                    try
                    {
                        using SpacePin pin = space.Pin();
                        overlaps += Interlocked.Exchange(ref inside, 1);
                        Interlocked.Exchange(ref inside, 0);
                        refused = overlaps > 0;
                    }
                    catch (OomKilledException)
                    {
                        refused = true;
                    }
                }
            });
            start.SignalAndWait();
            bool reaping = false;
            while (!reaping)
            {
                // Ends: at the latest when the other side has used up its rounds and holds no pin any more.
                reaping = space.TryBeginReap();
                Thread.Yield();
            }

            // Never let go: from here on nobody may be inside.
            int wasInside = Interlocked.Exchange(ref inside, 1);
            await pinning;
            Assert.Throws<OomKilledException>(() => space.Pin());
            Assert.True(
                wasInside + overlaps == 0, $"round {round}: a pin was granted while the space was being reaped");
        }
    }
}
