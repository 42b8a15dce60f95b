// The core with one thing wrong, compiled in memory, and a second copy of this test assembly that runs against it.
//
// A mutant is an exact replacement in the core's sources, one or more; a text that is not found exactly once is an
// error of the mutant, so a core that has moved on cannot make a mutant harmless unnoticed. The copies live in a load
// context of their own: their types have nothing to do with ours, so they are called by reflection with plain
// arguments. What source generators would write is stubbed; nothing here reads reports as JSON, or maps pages.
using System.Reflection;
using System.Runtime.Loader;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace MemoryGroups.Tests;

internal sealed record Replacement(string File, string Old, string New);

internal sealed class MutantCore : IDisposable
{
    private const string Additions = """
        global using System;
        global using System.Collections.Generic;
        global using System.IO;
        global using System.Linq;
        global using System.Threading;
        global using System.Threading.Tasks;
        [assembly: System.Runtime.CompilerServices.InternalsVisibleTo("MemoryGroups.Tests")]
        namespace MemoryGroups
        {
            internal sealed partial class OomReportJson
            {
                private OomReportJson() : base(null) { }
                internal static OomReportJson Default { get; } = new();
                internal System.Text.Json.Serialization.Metadata.JsonTypeInfo<OomReport> OomReport => null!;
                protected override System.Text.Json.JsonSerializerOptions? GeneratedSerializerOptions => null;
                public override System.Text.Json.Serialization.Metadata.JsonTypeInfo? GetTypeInfo(Type type) => null;
            }

            internal static partial class PageMemory
            {
                private static partial nint MapUnix(nint a, nuint b, int c, int d, int e, nint f) => 0;
                private static partial int AdviseUnix(nint a, nuint b, int c) => 0;
                private static partial int UnmapUnix(nint a, nuint b) => 0;
                private static partial nint AllocateWindows(nint a, nuint b, uint c, uint d) => 0;
                private static partial uint DiscardWindows(nint a, nuint b) => 0;
                private static partial int FreeWindows(nint a, nuint b, uint c) => 0;
            }
        }
        """;

    private static readonly CSharpParseOptions Language =
        new(LanguageVersion.Preview, preprocessorSymbols: ["DEBUG", "TRACE", "NET10_0_OR_GREATER"]);

    private static readonly Lazy<Dictionary<string, string>> Sources = new(ReadSources);

    private static readonly Lazy<CSharpCompilation> Original = new(ParseOriginal);

    private readonly Context _context;

    private MutantCore(byte[] image) => _context = new Context(image);

    public static MutantCore Compile(params Replacement[] replacements)
    {
        CSharpCompilation mutant = Original.Value;
        var changed = new Dictionary<string, string>();
        foreach (Replacement replacement in replacements)
        {
            string text = changed.GetValueOrDefault(replacement.File) ?? Sources.Value[replacement.File];
            int at = text.IndexOf(replacement.Old, StringComparison.Ordinal);
            bool once = at >= 0 && text.IndexOf(replacement.Old, at + 1, StringComparison.Ordinal) < 0;
            Assert.True(once, $"{replacement.File} does not contain exactly once: {replacement.Old}");
            changed[replacement.File] = text.Replace(replacement.Old, replacement.New, StringComparison.Ordinal);
        }

        foreach ((string file, string text) in changed)
        {
            SyntaxTree before = mutant.SyntaxTrees.Single(tree => tree.FilePath == file);
            mutant = mutant.ReplaceSyntaxTree(before, CSharpSyntaxTree.ParseText(text, Language, file));
        }

        using var image = new MemoryStream();
        Microsoft.CodeAnalysis.Emit.EmitResult result = mutant.Emit(image);
        Assert.True(
            result.Success,
            string.Join('\n', result.Diagnostics.Where(static one => one.Severity == DiagnosticSeverity.Error)));
        return new MutantCore(image.ToArray());
    }

    // As Exploration.FirstFault, with this core.
    public Func<long, int, string?> Exploring()
    {
        Type copy = _context.LoadFromAssemblyPath(typeof(Exploration).Assembly.Location)
            .GetType(typeof(Exploration).FullName!, throwOnError: true)!;
        Assert.NotEqual(typeof(Exploration), copy);
        return copy.GetMethod(nameof(Exploration.FirstFault), BindingFlags.Public | BindingFlags.Static)!
            .CreateDelegate<Func<long, int, string?>>();
    }

    public void Dispose() => _context.Unload();

    private static Dictionary<string, string> ReadSources()
    {
        string folder = Path.Combine(SourceFile.RepositoryRoot, "src", "MemoryGroups");
        return Directory.EnumerateFiles(folder, "*.cs").ToDictionary(
            static path => Path.GetFileName(path), static path => File.ReadAllText(path).ReplaceLineEndings("\n"));
    }

    private static CSharpCompilation ParseOriginal()
    {
        var options = new CSharpCompilationOptions(
            OutputKind.DynamicallyLinkedLibrary,
            checkOverflow: true,
            allowUnsafe: true,
            nullableContextOptions: NullableContextOptions.Enable);
        string platform = (string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!;
        IEnumerable<MetadataReference> references = platform.Split(Path.PathSeparator)
            .Where(static path => Path.GetFileName(path).StartsWith("System.", StringComparison.Ordinal))
            .Select(static path => MetadataReference.CreateFromFile(path));
        IEnumerable<SyntaxTree> trees = Sources.Value.Append(new("Additions.cs", Additions))
            .Select(static file => CSharpSyntaxTree.ParseText(file.Value, Language, file.Key));
        return CSharpCompilation.Create("MemoryGroups", trees, references, options);
    }

    private sealed class Context(byte[] core) : AssemblyLoadContext("mutant", isCollectible: true)
    {
        protected override Assembly? Load(AssemblyName assemblyName) => assemblyName.Name == "MemoryGroups"
            ? LoadFromStream(new MemoryStream(core))
            : null;
    }
}
