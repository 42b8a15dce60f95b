// "Close" as the scenarios mean it: two values differ by at most so many percent of their sum.
namespace MemoryGroups.Tests;

internal static class Tolerance
{
    public static void AssertClose(long expected, long actual, int percent) => Assert.True(
        Math.Abs(expected - actual) * 100 <= (expected + actual) * percent,
        $"{ByteSize.FormatRounded(actual)} is not within {percent} % of {ByteSize.FormatRounded(expected)}");
}
