// The house rules that a program can check, each with a piece of code that breaks it: StyleTests holds every file
// against every rule, and every rule against its own bad example, so that a rule cannot quietly stop working.
//
// A rule yields violations as "path:line: what"; what to do instead is said in the rule's name or in the message.
// Exceptions are listed here, by file or type, each with its reason; an empty list is the normal state.

using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace MemoryGroups.Tests;

internal sealed record StyleRule(
    string Name, Func<SourceFile, IEnumerable<string>> Check, string BadCode, string BadPath = "src/Core/Bad.cs");

internal static partial class StyleRules
{
    private const int FileLines = 400;
    private const int MethodLines = 70;
    private const int Columns = 120;

    private static readonly string[] LongFiles = [];
    private static readonly string[] LongMethods = [];

    // MemoryRoot is a MemoryGroup: the root of the tree is a group like any other, with a capacity besides.
    private static readonly string[] OpenClasses = ["MemoryGroup"];

    public static IReadOnlyList<StyleRule> All { get; } =
    [
        new("files stay under 400 lines", FileLength, new string('\n', FileLines) + ";"),
        new("lines stay within 120 columns", LineLength, "// " + new string('x', Columns)),
        new("methods stay under 70 lines", MethodLength, $"class A {{ void M() {{{new string('\n', MethodLines)}}} }}"),
        new("a file opens with a comment", OpeningComment, "using System;\n\n/// <summary>No.</summary>\nclass A;"),
        new("names say an idea", DrawerNames, "class PoolManager;"),
        new("no regions", Regions, "#region A\n#endregion"),
        new("no unfinished marks", UnfinishedMarks, "class A; // TODO: later"),
        new("a pragma has its reason on the same line", Pragmas, "#pragma warning disable CA1000"),
        new("async methods return a task", AsyncVoid, "class A { async void M() { } }"),
        new("public classes are sealed, abstract or static", OpenPublicClasses, "public class A;"),
        new("public types say what threads may do", ThreadSafety, "/// <summary>A list.</summary>\npublic class A;"),
        new("tests do not wait for time", Sleeps, "class A { Func<int, Task> Wait = Task.Delay; }", "tests/A/Bad.cs"),
        new("tests are not skipped", Skips, "class A { [Fact(Skip = \"x\")] void M() { } }", "tests/A/Bad.cs"),
        new("test names are sentences", TestNames, "class A { [Fact] public void Works() { } }", "tests/A/Bad.cs"),
    ];

    private static IEnumerable<string> FileLength(SourceFile file)
    {
        if (file.Lines.Count >= FileLines && !LongFiles.Contains(file.Path))
        {
            yield return file.At(0, $"{file.Lines.Count} lines");
        }
    }

    private static IEnumerable<string> LineLength(SourceFile file) =>
        from line in Enumerable.Range(0, file.Lines.Count)
        where file.Lines[line].Length > Columns
        select file.At(line, $"{file.Lines[line].Length} columns");

    private static IEnumerable<string> MethodLength(SourceFile file) =>
        from node in file.Root.DescendantNodes()
        where node is BaseMethodDeclarationSyntax or AccessorDeclarationSyntax or LocalFunctionStatementSyntax
        let span = node.GetLocation().GetLineSpan()
        let lines = span.EndLinePosition.Line - span.StartLinePosition.Line + 1
        where lines >= MethodLines && !LongMethods.Contains($"{file.Path} {NameOf(node)}")
        select file.At(node, $"{NameOf(node)} has {lines} lines");

    private static IEnumerable<string> OpeningComment(SourceFile file)
    {
        int first = 0;
        while (first < file.Lines.Count && IsUsingOrBlank(file.Lines[first])) first++;
        string opening = first < file.Lines.Count ? file.Lines[first] : "";
        if (!opening.StartsWith("//", StringComparison.Ordinal) || opening.StartsWith("///", StringComparison.Ordinal))
        {
            yield return file.At(first, "no opening comment: the file's idea, who calls it, what must stay true");
        }

        static bool IsUsingOrBlank(string line) =>
            string.IsNullOrWhiteSpace(line) || line.StartsWith("using ", StringComparison.Ordinal)
            || line.StartsWith("global using ", StringComparison.Ordinal);
    }

    private static IEnumerable<string> DrawerNames(SourceFile file)
    {
        IEnumerable<string> types = from type in file.Root.DescendantNodes().OfType<BaseTypeDeclarationSyntax>()
                                    where DrawerName().IsMatch(type.Identifier.Text)
                                    select file.At(type, $"{type.Identifier.Text} is a drawer, not an idea");
        return DrawerName().IsMatch(file.Path) ? types.Prepend(file.At(0, "the path names a drawer")) : types;
    }

    private static IEnumerable<string> Regions(SourceFile file) =>
        from trivia in file.Root.DescendantTrivia()
        where trivia.IsKind(SyntaxKind.RegionDirectiveTrivia)
        select file.At(trivia.GetLocation(), "a region hides what should be a type");

    private static IEnumerable<string> UnfinishedMarks(SourceFile file) =>
        from trivia in file.Root.DescendantTrivia()
        where trivia.Kind() is SyntaxKind.SingleLineCommentTrivia or SyntaxKind.MultiLineCommentTrivia
            || IsDocumentation(trivia)
        where UnfinishedMark().IsMatch(trivia.ToFullString())
        select file.At(trivia.GetLocation(), "finish it, or file an issue");

    private static IEnumerable<string> Pragmas(SourceFile file) =>
        from line in Enumerable.Range(0, file.Lines.Count)
        let text = file.Lines[line].TrimStart()
        where text.StartsWith("#pragma warning disable", StringComparison.Ordinal)
        where !text.Contains("//", StringComparison.Ordinal)
        select file.At(line, "say why, or change .editorconfig");

    private static IEnumerable<string> AsyncVoid(SourceFile file) =>
        from node in file.Root.DescendantNodes()
        let method = node as MethodDeclarationSyntax
        let local = node as LocalFunctionStatementSyntax
        where (method?.Modifiers ?? local?.Modifiers ?? default).Any(SyntaxKind.AsyncKeyword)
        where (method?.ReturnType ?? local?.ReturnType) is PredefinedTypeSyntax
        select file.At(node, "nobody can await it, and its exception ends the process");

    private static IEnumerable<string> OpenPublicClasses(SourceFile file) =>
        from type in PublicTypes(file)
        where type.IsKind(SyntaxKind.ClassDeclaration) || type.IsKind(SyntaxKind.RecordDeclaration)
        where !type.Modifiers.Any(SyntaxKind.SealedKeyword) && !type.Modifiers.Any(SyntaxKind.AbstractKeyword)
            && !type.Modifiers.Any(SyntaxKind.StaticKeyword) && !OpenClasses.Contains(type.Identifier.Text)
        select file.At(type, $"{type.Identifier.Text} is open: seal it, or list it with the reason");

    // An enum holds values and nothing else. A part of a partial type without its own comment leaves it to the others.
    private static IEnumerable<string> ThreadSafety(SourceFile file) =>
        from type in PublicTypes(file)
        where !type.IsKind(SyntaxKind.EnumDeclaration)
        let comment = string.Concat(type.GetLeadingTrivia().Where(IsDocumentation))
        where !type.Modifiers.Any(SyntaxKind.PartialKeyword) || comment.Length > 0
        where !ThreadSentence().IsMatch(comment)
        select file.At(type, $"{type.Identifier.Text}: which threads may use it, in its summary or remarks");

    private static IEnumerable<string> Sleeps(SourceFile file) =>
        from access in file.Root.DescendantNodes().OfType<MemberAccessExpressionSyntax>()
        where file.IsIn("tests")
        where (access.Expression.ToString(), access.Name.ToString()) is ("Thread", "Sleep") or ("Task", "Delay")
        select file.At(access, "wait for what happens, under a virtual clock");

    private static IEnumerable<string> Skips(SourceFile file) =>
        from argument in file.Root.DescendantNodes().OfType<AttributeArgumentSyntax>()
        where file.IsIn("tests") && argument.NameEquals?.Name.Identifier.Text == "Skip"
        select file.At(argument, "mend the test or remove it");

    private static IEnumerable<string> TestNames(SourceFile file) =>
        from method in file.Root.DescendantNodes().OfType<MethodDeclarationSyntax>()
        where file.IsIn("tests")
        where method.AttributeLists.SelectMany(list => list.Attributes).Any(IsTest)
        where !TestName().IsMatch(method.Identifier.Text)
        select file.At(method.Identifier.GetLocation(), $"{method.Identifier.Text} is not Subject_condition_outcome");

    // Types that somebody outside the assembly can name: public all the way up, in src.
    private static IEnumerable<BaseTypeDeclarationSyntax> PublicTypes(SourceFile file) =>
        from type in file.Root.DescendantNodes().OfType<BaseTypeDeclarationSyntax>()
        where file.IsIn("src")
        where type.AncestorsAndSelf().OfType<BaseTypeDeclarationSyntax>().All(IsPublic)
        select type;

    private static bool IsPublic(BaseTypeDeclarationSyntax type) => type.Modifiers.Any(SyntaxKind.PublicKeyword);

    private static bool IsDocumentation(SyntaxTrivia trivia) =>
        trivia.GetStructure() is DocumentationCommentTriviaSyntax;

    private static bool IsTest(AttributeSyntax attribute) => attribute.Name.ToString() is "Fact" or "Theory";

    private static string NameOf(SyntaxNode node) => node switch
    {
        MethodDeclarationSyntax method => method.Identifier.Text,
        LocalFunctionStatementSyntax function => function.Identifier.Text,
        AccessorDeclarationSyntax accessor => accessor.Keyword.Text,
        ConstructorDeclarationSyntax constructor => constructor.Identifier.Text,
        _ => node.Kind().ToString(),
    };

    [GeneratedRegex("(Manager|Helper|Util|Common|Infrastructure)s?(?![a-z])")]
    private static partial Regex DrawerName();

    [GeneratedRegex(@"\b(TODO|FIXME|HACK)\b")]
    private static partial Regex UnfinishedMark();

    [GeneratedRegex("thread|immutable", RegexOptions.IgnoreCase)]
    private static partial Regex ThreadSentence();

    [GeneratedRegex(@"^[A-Z]\w*_\w+_\w+$")]
    private static partial Regex TestName();
}
