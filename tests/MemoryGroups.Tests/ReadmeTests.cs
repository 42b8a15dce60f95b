// What the README promises: its sample is the compiled one, its commands and links lead somewhere.
using System.Text.RegularExpressions;

namespace MemoryGroups.Tests;

public sealed partial class ReadmeTests
{
    private static readonly string Root = SourceFile.RepositoryRoot;

    private static readonly string Readme = File.ReadAllText(Path.Combine(Root, "README.md"));

    [Fact]
    public void Sample_is_the_compiled_program()
    {
        string shown = Block().Match(Readme).Groups["code"].Value.Trim();
        string program = File.ReadAllText(Path.Combine(Root, "samples", "HelloGroups", "Program.cs"));
        string compiled = Marked().Match(program).Groups["code"].Value.Trim();

        Assert.NotEmpty(compiled);
        Assert.Equal(compiled, shown);
    }

    [Fact]
    public void Links_lead_to_files()
    {
        string[] broken = [.. Link().Matches(Readme)
            .Select(match => match.Groups["path"].Value)
            .Where(path => !path.Contains("://", StringComparison.Ordinal) && !File.Exists(Path.Combine(Root, path)))];

        Assert.Empty(broken);
    }

    [Theory]
    [InlineData("memgroups")]
    [InlineData("test")]
    [InlineData(".ci/run")]
    public void Commands_can_be_run(string command)
    {
        if (OperatingSystem.IsWindows())
        {
            // File modes are a matter of Unix; there the scripts are run by their shell.
            Assert.True(File.Exists(Path.Combine(Root, command)));
            return;
        }

        UnixFileMode mode = File.GetUnixFileMode(Path.Combine(Root, command));
        Assert.True(mode.HasFlag(UnixFileMode.UserExecute), $"{command} has no run bit");
    }

    [GeneratedRegex(@"<!-- sample: HelloGroups -->\s*```csharp\n(?<code>.*?)```", RegexOptions.Singleline)]
    private static partial Regex Block();

    [GeneratedRegex(@"// <hello>\n(?<code>.*?)// </hello>", RegexOptions.Singleline)]
    private static partial Regex Marked();

    [GeneratedRegex(@"\]\((?<path>[^)#]+)")]
    private static partial Regex Link();
}
