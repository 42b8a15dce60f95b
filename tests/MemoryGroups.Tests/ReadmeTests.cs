// What the README and docs/ promise: their samples are compiled ones, their commands and links lead somewhere.
using System.Text.RegularExpressions;

namespace MemoryGroups.Tests;

public sealed partial class ReadmeTests
{
    private static readonly string Root = SourceFile.RepositoryRoot;

    private static readonly string Samples = string.Concat(Directory
        .GetFiles(Path.Combine(Root, "samples"), "*.cs", SearchOption.AllDirectories)
        .Select(File.ReadAllText));

    public static TheoryData<string> Pages =>
    [
        "README.md",
        .. Directory.GetFiles(Path.Combine(Root, "docs"), "*.md").Order()
            .Select(path => "docs/" + Path.GetFileName(path)),
    ];

    [Theory]
    [MemberData(nameof(Pages))]
    public void Every_sample_is_the_compiled_one(string page)
    {
        string text = Read(page);
        MatchCollection shown = Block().Matches(text);

        Assert.Equal(shown.Count, Regex.Count(text, "^```csharp", RegexOptions.Multiline));
        foreach (Match block in shown)
        {
            string name = block.Groups["name"].Value;
            Match compiled = Regex.Match(
                Samples, $@"// <{name}>\n(?<code>.*?)[ ]*// </{name}>", RegexOptions.Singleline);
            Assert.True(compiled.Success, $"{page} shows '{name}', and no file of samples/ has it between markers");
            Assert.Equal(Outdented(compiled.Groups["code"].Value), block.Groups["code"].Value.Trim());
        }
    }

    [Fact]
    public void Readme_shows_a_sample() => Assert.Matches(Block(), Read("README.md"));

    [Theory]
    [MemberData(nameof(Pages))]
    public void Links_lead_to_files(string page)
    {
        string folder = Path.GetDirectoryName(Path.Combine(Root, page))!;
        string[] broken = [.. Link().Matches(Read(page))
            .Select(match => match.Groups["path"].Value)
            .Where(path => !path.Contains("://", StringComparison.Ordinal)
                && !File.Exists(Path.Combine(folder, path)))];

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

    private static string Read(string page) => File.ReadAllText(Path.Combine(Root, page));

    // As on a page: without the indentation that all lines share.
    private static string Outdented(string code)
    {
        string[] lines = code.TrimEnd().Split('\n');
        int indent = lines.Where(line => line.Length > 0).Min(line => line.Length - line.TrimStart().Length);
        return string.Join('\n', lines.Select(line => line.Length > indent ? line[indent..] : line.TrimStart()));
    }

    [GeneratedRegex(@"<!-- sample: (?<name>\w+) -->\s*```csharp\n(?<code>.*?)```", RegexOptions.Singleline)]
    private static partial Regex Block();

    [GeneratedRegex(@"\]\((?<path>[^)#]+)")]
    private static partial Regex Link();
}
