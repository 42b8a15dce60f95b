// Conventions as tests: what a reviewer would have to say again and again is said here once, with the line to go to.

using System.Text.RegularExpressions;

namespace MemoryGroups.Tests;

public sealed class StyleTests
{
    public static TheoryData<string> RuleNames => [.. StyleRules.All.Select(rule => rule.Name)];

    [Theory]
    [MemberData(nameof(RuleNames))]
    public void Every_file_keeps_the_rule(string rule) =>
        AssertNone(SourceFile.All.SelectMany(Rule(rule).Check));

    [Theory]
    [MemberData(nameof(RuleNames))]
    public void Every_rule_catches_its_own_bad_example(string rule)
    {
        StyleRule checkedRule = Rule(rule);
        Assert.NotEmpty(checkedRule.Check(new SourceFile(checkedRule.BadPath, checkedRule.BadCode)));
    }

    [Fact]
    public void The_files_of_all_kinds_are_found_and_parse()
    {
        string[] expected = ["src/MemoryGroups/ByteSize.cs", "tests/MemoryGroups.Tests/StyleTests.cs"];
        Assert.Subset(SourceFile.All.Select(file => file.Path).ToHashSet(), expected.ToHashSet());
        AssertNone(from file in SourceFile.All
                   from error in file.Root.GetDiagnostics()
                   select $"{file.Path}: {error}");
    }

    [Fact]
    public void The_core_is_flat_and_its_reading_order_names_every_file()
    {
        string readme = Path.Combine(SourceFile.RepositoryRoot, "src", "README.md");
        string order = File.Exists(readme) ? File.ReadAllText(readme) : "";
        SourceFile[] core = [.. SourceFile.All.Where(file => file.IsIn("src/MemoryGroups"))];

        AssertNone(core.Where(file => file.Path.Count(c => c == '/') > 2).Select(file => $"{file.Path}: not flat"));
        AssertNone(core.Where(file => !Names(order, file)).Select(file => $"{file.Path}: not named in src/README.md"));
    }

    private static bool Names(string text, SourceFile file)
    {
        string name = Regex.Escape(Path.GetFileNameWithoutExtension(file.Path));
        return Regex.IsMatch(text, $@"(?<![\w.]){name}(\.cs)?(?!\w|\.\w)");
    }

    private static StyleRule Rule(string name) => StyleRules.All.Single(rule => rule.Name == name);

    private static void AssertNone(IEnumerable<string> violations)
    {
        string[] found = [.. violations];
        Assert.True(found.Length == 0, $"{found.Length} found:\n{string.Join('\n', found)}");
    }
}
