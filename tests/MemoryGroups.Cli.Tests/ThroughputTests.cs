// The ratio of throughputs: its arithmetic, and one real round of each kind on small data.

namespace MemoryGroups.Cli.Tests;

public sealed class ThroughputTests
{
    [Theory]
    [InlineData(new[] { 1.0 }, 1.0)]
    [InlineData(new[] { 3.0, 1.0, 2.0 }, 2.0)]
    [InlineData(new[] { 4.0, 1.0, 2.0, 9.0 }, 3.0)]
    public void Median_is_the_middle_or_the_mean_of_the_two(double[] values, double expected) =>
        Assert.Equal(expected, DemoThroughput.Median(values));

    [Fact]
    public void Times_of_a_round_survive_being_told_and_other_lines_are_none()
    {
        var times = new RoundTimes(1.25, 0.1);

        Assert.Equal(times, RoundTimes.TryRead(times.ToString()));
        Assert.All(
            ["", "round", "round x 1", "turn 1 2", "round 1 2 3"], line => Assert.Null(RoundTimes.TryRead(line)));
    }
}
