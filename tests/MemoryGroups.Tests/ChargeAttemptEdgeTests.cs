// Charges at their edges: how often reclaimers are asked by who may not wait, what is forced and not tried again, and
// who is dying behind an older request.
namespace MemoryGroups.Tests;

public sealed class ChargeAttemptEdgeTests
{
    // What is claimed is believed for so many rounds; who may not try again asks in one of them.
    [Theory]
    [InlineData(ChargeFlags.None, 1000, ChargeAttempt.MaxRounds)]
    [InlineData(ChargeFlags.None, 0, 1)]
    [InlineData(ChargeFlags.NoRetry, 1000, 1)]
    [InlineData(ChargeFlags.NoReclaim, 1000, 0)]
    public void Charge_that_may_not_wait_asks_again_as_long_as_something_is_given(
        ChargeFlags flags, long claimed, int rounds)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", FullGroup.Sleepy);
        FullGroup.Fill(world, group);
        var reclaimer = new ScriptedReclaimer("cache", _ => claimed);
        using IDisposable registered = group.AddReclaimer(reclaimer);
        MemoryMember asker = group.CreateMember("asker");

        Assert.Throws<MemoryLimitExceededException>(() => asker.Charge(10, flags));

        Assert.Equal(rounds, reclaimer.Calls.Count);
        Assert.Equal((0, 1), (asker.Usage, group.Events.Current.Max));
    }

    [Theory]
    [InlineData(ChargeFlags.NoFail)]
    [InlineData(ChargeFlags.HighPriority)]
    public void Forced_charge_that_may_not_try_again_is_charged_once_and_nobody_dies_for_it(ChargeFlags forcing)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);

        Assert.True(world.Charge(group.CreateMember("asker"), 100, forcing | ChargeFlags.NoRetry).Granted);

        Assert.Equal((1100, 0, 1), (group.Usage, group.Events.Current.Oom, group.Events.Current.Max));
        Assert.False(hog.IsKilled);
    }

    [Fact]
    public void Reclaim_asks_for_a_little_more_than_a_small_charge_needs_and_never_for_much()
    {
        Assert.Equal(1000, Asked(limit: 64 * 1000, bytes: 10));
        Assert.Equal(128 * 1024, Asked(limit: 1L << 30, bytes: 10));
        Assert.Equal(2000, Asked(limit: 64 * 1000, bytes: 2000));

        static long Asked(long limit, long bytes)
        {
            using var world = new World();
            MemoryGroup group = world.Root.CreateGroup(
                "group", new MemoryGroupOptions { Max = limit, KillDisabled = true });
            FullGroup.Fill(world, group);
            var reclaimer = new ScriptedReclaimer("cache", _ => 0);
            using IDisposable registered = group.AddReclaimer(reclaimer);
            Assert.Throws<MemoryLimitExceededException>(() => group.CreateMember("asker").Charge(bytes));
            return Assert.Single(reclaimer.Calls).Bytes;
        }
    }
}
