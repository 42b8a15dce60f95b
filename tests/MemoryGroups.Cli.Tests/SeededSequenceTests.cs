// The numbers for a seed are pinned: cached data and bug reports depend on them.

namespace MemoryGroups.Cli.Tests;

public sealed class SeededSequenceTests
{
    // SplitMix64's published values for the seed 1234567.
    [Fact]
    public void Seed_gives_the_published_sequence()
    {
        var chance = new SeededSequence(1234567);

        Assert.Equal(
            [6457827717110365317UL, 3203168211198807973UL, 9817491932198370423UL, 4593380528125082431UL],
            [chance.NextBits(), chance.NextBits(), chance.NextBits(), chance.NextBits()]);
    }

    [Fact]
    public void Streams_of_one_seed_differ_and_repeat()
    {
        ulong alpha = SeededSequence.For(1, "alpha").NextBits();

        Assert.Equal(alpha, SeededSequence.For(1, "alpha").NextBits());
        Assert.NotEqual(alpha, SeededSequence.For(1, "beta").NextBits());
        Assert.NotEqual(alpha, SeededSequence.For(2, "alpha").NextBits());
    }

    [Fact]
    public void Values_stay_inside_their_range_and_reach_both_ends()
    {
        var chance = new SeededSequence(7);
        int[] counts = new int[3];
        for (int n = 0; n < 3_000; n++)
        {
            counts[chance.Below(3)]++;
            Assert.InRange(chance.Unit(), 0, 0.9999999999999999);
        }

        Assert.All(counts, count => Assert.InRange(count, 800, 1_200));
    }
}
