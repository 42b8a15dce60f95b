// Every query ends in one column, and only those that succeeded have a latency.

namespace MemoryGroups.Cli.Tests;

public sealed class QueryTallyTests
{
    [Fact]
    public void Each_end_has_its_column_and_only_success_a_latency()
    {
        var tally = new QueryTally();
        QueryEnd[] ends = Enum.GetValues<QueryEnd>();
        for (int n = 0; n < ends.Length; n++)
        {
            for (int times = 0; times <= n; times++)
            {
                tally.Started();
                tally.Ended(ends[n], TimeSpan.FromMilliseconds(10 * (n + 1)));
            }
        }

        QueryCounts counts = tally.Snapshot();

        Assert.Equal(new QueryCounts(15, 1, 2, 3, 4, 5, P50Ms: 10, P99Ms: 10), counts);
    }

    [Fact]
    public void Query_in_flight_is_tried_and_nothing_else()
    {
        var tally = new QueryTally();
        tally.Started();

        Assert.Equal(QueryCounts.None with { Tried = 1 }, tally.Snapshot());
    }
}
