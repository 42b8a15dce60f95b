// Chaos on real threads: many workers, faulty user code, limits and groups that come and go, no memory at bad moments.
//
// Allowed are only outcomes of a closed set; nobody may wait without progress; at the end of every epoch all books
// balance exactly. The short form runs with all the other tests; the long one by ./test --soak.
using System.Globalization;

namespace MemoryGroups.Tests;

public sealed class SoakTests
{
    private static readonly TimeSpan EpochTime = TimeSpan.FromSeconds(10);

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [Requirement("I5")]
    [Requirement("I8")]
    [Requirement("I9")]
    [Requirement("I10")]
    public void Chaos_of_a_moment_ends_with_balanced_books(int seed, bool isNative)
    {
        var tally = new SoakTally();
        using var epoch = new SoakEpoch(seed, tally, isNative);
        epoch.Run(TimeSpan.FromSeconds(2));
        Assert.True(tally.Progress > 0, "nothing happened");
    }

    [Fact]
    [Requirement("I10")]
    public void A_charge_that_nothing_ends_is_found_and_named()
    {
        using var epoch = new SoakEpoch(1, new SoakTally(), isNative: false) { Workers = 0, Pause = static () => { } };
        Task stuck = BeginStuckCharge(epoch);

        Exception found = Assert.ThrowsAny<Exception>(() => epoch.Run(TimeSpan.Zero));

        Assert.Contains($"no charge ended for {SoakEpoch.StillTicks} ticks", found.Message, StringComparison.Ordinal);
        Assert.Contains("root/stuck/asker (ticket", found.Message, StringComparison.Ordinal);
        Assert.False(stuck.IsCompleted);
    }

    [Fact]
    [Requirement("I10")]
    public void Whoever_waits_while_other_charges_end_is_not_stuck()
    {
        var tally = new SoakTally();
        using var epoch = new SoakEpoch(1, tally, isNative: false) { Pause = static () => { } };
        BeginStuckCharge(epoch);

        for (int tick = 1; tick < 4 * SoakEpoch.StillTicks; tick++)
        {
            epoch.Step();
            if (tick % (SoakEpoch.StillTicks - 10) == 0)
            {
                tally.Note("granted");
            }
        }

        Assert.Empty(tally.Findings);
        for (int tick = 0; tick < SoakEpoch.StillTicks; tick++)
        {
            epoch.Step();
        }

        Assert.Single(tally.Findings);
    }

    // In a group whose killer is off, without a deadline.
    private static Task BeginStuckCharge(SoakEpoch epoch)
    {
        MemoryGroup group = epoch.Root.CreateGroup("stuck", new MemoryGroupOptions
        {
            Max = 1000,
            KillDisabled = true,
            WaitTimeout = Timeout.InfiniteTimeSpan,
        });
        group.CreateMember("hog").Charge(1000);
        Task stuck = group.CreateMember("asker").ChargeAsync(1).AsTask();
        Assert.Equal(1, epoch.Root.WaitingCharges);
        return stuck;
    }

    [Fact(Explicit = true)]
    [Trait("Category", "Soak")]
    public void Chaos_of_many_epochs_ends_with_balanced_books()
    {
        string minutes = Environment.GetEnvironmentVariable("MEMORYGROUPS_SOAK_MINUTES") ?? "10";
        var duration = TimeSpan.FromMinutes(double.Parse(minutes, CultureInfo.InvariantCulture));
        TimeProvider real = TimeProvider.System;
        long start = real.GetTimestamp();
        int first = (int)(real.GetUtcNow().ToUnixTimeSeconds() & 0xffffff);
        for (int epoch = 0; real.GetElapsedTime(start) < duration; epoch++)
        {
            var tally = new SoakTally();
            using var run = new SoakEpoch(first + epoch, tally, isNative: epoch % 2 == 1);
            run.Run(EpochTime);
            TestContext.Current.TestOutputHelper!.WriteLine(
                $"epoch {epoch}, seed {first + epoch}: {tally}");
        }
    }
}
