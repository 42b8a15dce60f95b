// One C# file of the repository as the style rules see it: its path, its lines and its syntax tree. A rule never runs
// the code and never resolves a name, so a file that is being written can be judged as long as it parses.

using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace MemoryGroups.Tests;

internal sealed class SourceFile
{
    /// <summary>The folder that holds MemoryGroups.slnx, wherever the tests were started from.</summary>
    public static readonly string RepositoryRoot = FindRepositoryRoot();

    public SourceFile(string path, string text)
    {
        Path = path;
        Lines = text.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n');
        Root = CSharpSyntaxTree.ParseText(text, new CSharpParseOptions(LanguageVersion.Preview)).GetRoot();
    }

    /// <summary>Relative to the repository, with forward slashes: <c>src/MemoryGroups/ByteSize.cs</c>.</summary>
    public string Path { get; }

    public IReadOnlyList<string> Lines { get; }

    public SyntaxNode Root { get; }

    public bool IsIn(string folder) => Path.StartsWith(folder + "/", StringComparison.Ordinal);

    /// <summary>A violation as an editor can jump to it: <c>path:line: what</c>.</summary>
    public string At(Location location, string what) => At(location.GetLineSpan().StartLinePosition.Line, what);

    public string At(SyntaxNode node, string what) => At(node.GetLocation(), what);

    public string At(int zeroBasedLine, string what) => $"{Path}:{zeroBasedLine + 1}: {what}";

    public static IReadOnlyList<SourceFile> All { get; } =
    [
        .. from folder in new[] { "src", "tests", "samples", "benchmarks" }
           let full = System.IO.Path.Combine(RepositoryRoot, folder)
           where Directory.Exists(full)
           from file in Directory.EnumerateFiles(full, "*.cs", SearchOption.AllDirectories)
           orderby file
           let path = System.IO.Path.GetRelativePath(RepositoryRoot, file).Replace('\\', '/')
           where !path.Split('/').Intersect(["bin", "obj"]).Any()
           select new SourceFile(path, File.ReadAllText(file)),
    ];

    private static string FindRepositoryRoot()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(at.FullName, "MemoryGroups.slnx"))) return at.FullName;
        }

        throw new InvalidOperationException(
            $"The style tests read the source, but no folder above {AppContext.BaseDirectory} has MemoryGroups.slnx.");
    }
}
