// Random walks over the whole tree. A failure names its seed; RandomWalk with that seed fails the same way again.
namespace MemoryGroups.Tests;

public sealed class RandomWalkTests
{
    private const int StepsPerSeed = 20_000;

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 6)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Random_walk_with_exact_books_keeps_every_invariant(int seed) => Walk(seed, WalkScale.Exact);

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Random_walk_with_stocks_keeps_every_invariant(int seed) => Walk(seed, WalkScale.Stocked);

    private static void Walk(int seed, WalkScale scale)
    {
        using var walk = new RandomWalk(seed, scale);
        walk.Walk(StepsPerSeed);
        walk.Finish();

        // A walk that never got anywhere would keep every invariant too.
        string seen = $"seed {seed}: {string.Join(", ", walk.Endings)}";
        foreach (string ending in (string[])["granted", "cancelled", "killed", "refused: DoesNotFit"])
        {
            Assert.True(walk.Endings.GetValueOrDefault(ending) > 0, $"nothing ended with '{ending}'; {seen}");
        }
    }
}
