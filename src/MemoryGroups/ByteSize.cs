// Byte counts as people write them, read and printed exactly. Whole numbers only: "1.5G" in floating point is off by
// bytes that a limit then refuses or lets through, so a fraction is an error and not a rounding. Suffixes are powers
// of 1024 because that is what pages, limits and every tool beside this library count in. "max" is the one word for
// "no limit"; no number that fits means it.
//
// What must stay true: Parse(Format(b)) == b for every b >= 0, and nothing that does not fit a long parses.

namespace MemoryGroups;

/// <summary>Reads and writes byte counts such as <c>512M</c>, exactly.</summary>
/// <remarks>
/// Accepted: <c>max</c>, or a whole number followed by nothing or by one of <c>k m g t</c> (1024, 1024², …), which may
/// carry <c>B</c> or <c>iB</c>; a lone <c>B</c> is bytes. Case does not matter; spaces around the text and between the
/// number and its suffix do not either. Thread safety: all members may be called from any thread.
/// </remarks>
public static class ByteSize
{
    private const string Suffixes = "KMGT";

    /// <summary>Reads a byte count, or says that the text is none.</summary>
    /// <param name="text">The text, for example <c>64k</c>, <c>1 GiB</c> or <c>max</c>.</param>
    /// <param name="bytes">The count, 0 or more, <see cref="long.MaxValue"/> for <c>max</c>; 0 if none.</param>
    /// <returns>False for a sign, a fraction, an unknown suffix, trailing text, or more than a long holds.</returns>
    public static bool TryParse(ReadOnlySpan<char> text, out long bytes)
    {
        bytes = 0;
        text = text.Trim(' ');
        if (text.Equals("max", StringComparison.OrdinalIgnoreCase))
        {
            bytes = long.MaxValue;
            return true;
        }

        int digits = text.IndexOfAnyExceptInRange('0', '9');
        if (digits < 0) digits = text.Length;
        // The digits are checked above, so the only thing long.TryParse can still refuse is none or too many of them.
        if (!long.TryParse(text[..digits], out long number)) return false;
        if (!TryParseShift(text[digits..].TrimStart(' '), out int shift)) return false;
        if (number > long.MaxValue >> shift) return false;

        bytes = number << shift;
        return true;
    }

    /// <summary>Reads a byte count.</summary>
    /// <param name="text">The text, for example <c>64k</c>, <c>1 GiB</c> or <c>max</c>.</param>
    /// <returns>The count, from 0 to <see cref="long.MaxValue"/> (<c>max</c>).</returns>
    /// <exception cref="ArgumentNullException"><paramref name="text"/> is null.</exception>
    /// <exception cref="FormatException">The text is no byte count; the message says what is allowed.</exception>
    public static long Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return TryParse(text, out long bytes)
            ? bytes
            : throw new FormatException(
                $"'{Shorten(text)}' is not a byte count. Write a whole number from 0 to {long.MaxValue}, with k, m, g"
                + " or t for powers of 1024 (512M, 2GiB), or max for no limit.");
    }

    /// <summary>Writes a byte count in the largest unit that keeps it exact: <see cref="Parse"/> returns it.</summary>
    /// <param name="bytes">The count, 0 or more.</param>
    /// <returns>For example <c>512M</c>, <c>1025</c>, or <c>max</c> for <see cref="long.MaxValue"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is negative.</exception>
    public static string Format(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (bytes == long.MaxValue) return "max";

        int unit = 0;
        while (unit < Suffixes.Length && bytes != 0 && bytes % 1024 == 0)
        {
            bytes /= 1024;
            unit++;
        }

        return unit == 0 ? $"{bytes}" : $"{bytes}{Suffixes[unit - 1]}";
    }

    /// <summary>Writes a byte count for people: one digit after the point, rounded down, in a unit that fits.</summary>
    /// <param name="bytes">The count; may be negative.</param>
    /// <returns>For example <c>117.7M</c>, <c>900</c>, <c>-4.0K</c>, or <c>max</c> for <see
    /// cref="long.MaxValue"/>.</returns>
    public static string FormatRounded(long bytes)
    {
        if (bytes == long.MaxValue) return "max";
        if (bytes < 0) return "-" + FormatRounded(bytes == long.MinValue ? long.MaxValue - 1 : -bytes);
        if (bytes < 1024) return $"{bytes}";

        int unit = Math.Min(Suffixes.Length, System.Numerics.BitOperations.Log2((ulong)bytes) / 10);
        long tenths = (long)(((Int128)bytes * 10) >> (10 * unit));
        return $"{tenths / 10}.{tenths % 10}{Suffixes[unit - 1]}";
    }

    // "" and "B" shift by nothing; "k", "kB", "kiB" by 10 bits; "iB" alone has lost its letter and is refused.
    private static bool TryParseShift(ReadOnlySpan<char> suffix, out int shift)
    {
        shift = 0;
        if (suffix.IsEmpty || suffix is "B" or "b") return true;

        int unit = Suffixes.IndexOf(char.ToUpperInvariant(suffix[0]), StringComparison.Ordinal);
        if (unit < 0) return false;

        shift = 10 * (unit + 1);
        ReadOnlySpan<char> rest = suffix[1..];
        return rest.IsEmpty || rest is "B" or "b" || rest.Equals("iB", StringComparison.OrdinalIgnoreCase);
    }

    // An error message is one line on a terminal, whatever was pasted into the option.
    private static string Shorten(string text)
    {
        string shown = text.Length <= 40 ? text : text[..40] + "...";
        return string.Concat(shown.Select(c => char.IsControl(c) ? '?' : c));
    }
}
