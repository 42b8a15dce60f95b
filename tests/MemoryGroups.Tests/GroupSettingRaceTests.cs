// Settings of a group that two threads set at once.
namespace MemoryGroups.Tests;

public sealed class GroupSettingRaceTests
{
    [Fact]
    [Requirement("T21")]
    public void Setting_high_on_two_threads_at_once_starts_one_run()
    {
        int posted = 0;
        using var root = new MemoryRoot(new MemoryRootOptions { PostHook = _ => Interlocked.Increment(ref posted) });
        int arrived = 0;
        MemoryGroup[] groups = [.. Enumerable.Range(0, 10_000).Select(i => root.CreateGroup($"g{i}"))];
        foreach (MemoryGroup group in groups)
        {
            Assert.True(group.CreateMember("cache").TryCharge(1000));
            group.AddReclaimer(new ScriptedReclaimer("cache", static _ => 0));
        }

        void SetAll()
        {
            for (int i = 0; i < groups.Length; i++)
            {
                // Closer together than a barrier would let them go.
                Interlocked.Increment(ref arrived);
                for (int spins = 0; Volatile.Read(ref arrived) < 2 * (i + 1) && spins < 100_000; spins++)
                {
                    Thread.SpinWait(1);
                }

                groups[i].High = 100;
            }
        }

        Parallel.Invoke(new ParallelOptions { MaxDegreeOfParallelism = 2 }, SetAll, SetAll);

        Assert.Equal(groups.Length, posted);
    }
}
