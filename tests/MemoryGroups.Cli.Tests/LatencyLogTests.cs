// Nearest rank, by hand: a reported percentile is a value that happened.

namespace MemoryGroups.Cli.Tests;

public sealed class LatencyLogTests
{
    [Fact]
    public void Nothing_recorded_has_no_percentile() => Assert.Null(new LatencyLog().Percentile(50));

    [Theory]
    [InlineData(0, 1)]
    [InlineData(50, 50)]
    [InlineData(50.5, 51)]
    [InlineData(99, 99)]
    [InlineData(99.1, 100)]
    [InlineData(100, 100)]
    public void Percentile_of_1_to_100_is_the_nearest_rank(double percent, double expected)
    {
        var log = new LatencyLog();
        for (int n = 100; n >= 1; n--) log.Add(TimeSpan.FromMilliseconds(n));

        Assert.Equal(expected, log.Percentile(percent));
    }

    [Fact]
    public void One_value_is_every_percentile()
    {
        var log = new LatencyLog();
        log.Add(TimeSpan.FromMilliseconds(7));

        Assert.Equal([7, 7, 7], [log.Percentile(0), log.Percentile(50), log.Percentile(100)]);
    }
}
