// Which numbered requirement a test shows: `--filter-trait "Requirement=S000-17"` runs the tests of one number.
using Xunit.v3;

namespace MemoryGroups.Tests;

[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
internal sealed class RequirementAttribute(string number) : Attribute, ITraitAttribute
{
    public string Number { get; } = number;

    public IReadOnlyCollection<KeyValuePair<string, string>> GetTraits() => [new("Requirement", Number)];
}
