// Every numbered requirement of the four source patches is cited by a test; one that loses its last test is missed.
using System.Reflection;

namespace MemoryGroups.Tests;

public sealed class RequirementIndexTests
{
    // Tests with a parameter of an internal type are internal themselves.
    private const BindingFlags Any = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    [Theory]
    [InlineData("S000", 25)]
    [InlineData("S001", 18)]
    [InlineData("S003", 12)]
    [InlineData("S004", 14)]
    public void Every_number_of_a_source_patch_is_cited_by_a_test(string patch, int count)
    {
        HashSet<string> cited = [.. typeof(RequirementIndexTests).Assembly.GetTypes()
            .SelectMany(type => type.GetMethods(Any))
            .Where(method => method.GetCustomAttributes<FactAttribute>().Any())
            .SelectMany(method => method.GetCustomAttributes<RequirementAttribute>())
            .Select(requirement => requirement.Number)];

        Assert.Empty(Enumerable.Range(1, count).Select(number => $"{patch}-{number}").Except(cited));
    }
}
