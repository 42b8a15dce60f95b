// The ghosts against a list that is obviously right, at random, and what they keep in memory.

namespace MemoryGroups.Caching.Tests;

public sealed class GhostQueueTests
{
    [Theory]
    [InlineData(1, 10, 40)]
    [InlineData(2, 1000, 3000)]
    [InlineData(3, 200, 100_000)]
    public void Random_use_is_as_that_of_a_list(int seed, int most, int hashes)
    {
        var random = new Random(seed);
        var ghosts = new GhostQueue();
        var expected = new List<int>();
        for (int i = 0; i < 20_000; i++)
        {
            // Multiples of a large power of two fall into few buckets of a bad hash.
            int hash = unchecked(random.Next(hashes) << 16);
            switch (random.Next(10))
            {
                case < 6:
                    expected.Remove(hash);
                    expected.Add(hash);
                    expected.RemoveRange(0, Math.Max(0, expected.Count - most));
                    ghosts.Add(hash, most);
                    break;
                case < 9:
                    Assert.True(expected.Remove(hash) == ghosts.TryRemove(hash), $"seed {seed}, step {i}");
                    break;
                default:
                    int left = random.Next(most);
                    expected.RemoveRange(0, Math.Max(0, expected.Count - left));
                    ghosts.TrimTo(left);
                    break;
            }

            Assert.True(expected.Count == ghosts.Count, $"seed {seed}, step {i}");
        }

        Assert.All(expected, hash => Assert.True(ghosts.TryRemove(hash)));
        Assert.Equal(0, ghosts.Count);
    }

    [Fact]
    public void Memory_follows_the_number_of_ghosts_down_as_well_as_up()
    {
        var ghosts = new GhostQueue();
        for (int hash = 0; hash < 10_000; hash++)
        {
            ghosts.Add(hash, 10_000);
        }

        Assert.InRange(ghosts.Capacity, 10_000, 20_000);
        ghosts.TrimTo(100);

        Assert.InRange(ghosts.Capacity, 100, 400);
        Assert.True(ghosts.TryRemove(9_999) && ghosts.TryRemove(9_900) && !ghosts.TryRemove(9_899));
    }
}
