// How numbers are shown to people: rounded, in one width. ByteSize is for numbers that must survive being read back.

using System.Globalization;

namespace MemoryGroups.Cli;

internal static class Shown
{
    // 1536 -> "1.5 KiB"; always one digit after the point from KiB on, so that columns line up.
    internal static string Bytes(long bytes)
    {
        string[] units = ["KiB", "MiB", "GiB", "TiB"];
        if (Math.Abs(bytes) < 1024) return $"{bytes} B";

        double value = bytes;
        int unit = -1;
        while (Math.Abs(value) >= 1024 && unit < units.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{value:0.0} {units[unit]}");
    }

    // The last two names of a path: tenant and query, where all paths begin alike.
    internal static string PathTail(string path) => string.Join('/', path.Split('/').TakeLast(2));

    // "-" for a percentile of nothing.
    internal static string Milliseconds(double? value) => value switch
    {
        null => "-",
        < 100 => string.Create(CultureInfo.InvariantCulture, $"{value:0.0}"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{value:0}"),
    };

    // The first line of an error's message, ending in a full stop: errors are one line on a terminal.
    internal static string FirstLine(string text)
    {
        int end = text.AsSpan().IndexOfAny('\r', '\n');
        string line = (end < 0 ? text : text[..end]).Trim();
        return line.EndsWith('.') ? line : line + ".";
    }
}
