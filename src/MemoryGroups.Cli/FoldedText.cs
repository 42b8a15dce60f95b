// Lines of text cut to a width between words, for terminals: they break what is longer anywhere, mostly inside a word.
//
// What goes on stands below the text and not below its mark or its name: under the first column that two spaces set
// off; where there is none, two to the right of what begins with spaces. A row of several columns gives up its
// alignment before it is broken. What must stay true: nothing is lost but spaces, and no line is wider than asked.

namespace MemoryGroups.Cli;

internal static class FoldedText
{
    // The least that is left for text beside the indentation; below that a line starts at the left again.
    private const int LeastText = 20;

    internal static IEnumerable<string> Lines(string text, int width)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        if (text.Length <= width)
        {
            yield return text;
            yield break;
        }

        text = Squeezed(text);
        int indent = IndentOf(text);
        if (indent + LeastText > width) indent = 0;
        string rest = text;
        string before = string.Empty;
        while (before.Length + rest.Length > width)
        {
            int room = width - before.Length;
            int end = BreakOf(rest, room, before.Length == 0 ? indent : 0);
            yield return before + rest[..end].TrimEnd();
            rest = rest[end..].TrimStart();
            before = new string(' ', indent);
        }

        if (rest.Length > 0) yield return before + rest;
    }

    private static string Squeezed(string text)
    {
        string[] columns = text.Split("  ", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        int lead = text.Length - text.TrimStart().Length;
        return columns.Length > 2 ? new string(' ', lead) + string.Join("  ", columns) : text;
    }

    // The last space that leaves something before it on the line, or the middle of a word that is longer than a line.
    private static int BreakOf(string text, int room, int from)
    {
        int space = text.LastIndexOf(' ', room);
        return space > from && text.AsSpan(0, space).TrimStart().Length > 0 ? space : room;
    }

    private static int IndentOf(string text)
    {
        int lead = text.Length - text.TrimStart().Length;
        int gap = text.IndexOf("  ", lead, StringComparison.Ordinal);
        if (gap < 0) return lead == 0 ? 0 : lead + 2;
        while (gap < text.Length && text[gap] == ' ') gap++;
        return gap;
    }
}
