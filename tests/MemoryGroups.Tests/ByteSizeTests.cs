// ByteSize reads what people type into limits: the exact boundaries, and everything that must not be read as something.

using FsCheck;
using FsCheck.Fluent;

namespace MemoryGroups.Tests;

public sealed class ByteSizeTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("1", 1)]
    [InlineData("007", 7)]
    [InlineData("12B", 12)]
    [InlineData("12b", 12)]
    [InlineData("64k", 64 * 1024)]
    [InlineData("64K", 64 * 1024)]
    [InlineData("64kB", 64 * 1024)]
    [InlineData("64kiB", 64 * 1024)]
    [InlineData("64 KIB", 64 * 1024)]
    [InlineData("64KB", 64 * 1024)]
    [InlineData("64kb", 64 * 1024)]
    [InlineData("512M", 512L << 20)]
    [InlineData(" 2g ", 2L << 30)]
    [InlineData("1T", 1L << 40)]
    [InlineData("max", long.MaxValue)]
    [InlineData("MAX", long.MaxValue)]
    [InlineData("9223372036854775807", long.MaxValue)]
    [InlineData("8388607T", 8388607L << 40)]
    [Requirement("M7")]
    public void Text_within_the_format_parses_exactly(string text, long expected)
    {
        Assert.True(ByteSize.TryParse(text, out long bytes));
        Assert.Equal(expected, bytes);
        Assert.Equal(expected, ByteSize.Parse(text));
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("k")]
    [InlineData("iB")]
    [InlineData("1iB")]
    [InlineData("1.5G")]
    [InlineData("1,5G")]
    [InlineData("1_000")]
    [InlineData("-1")]
    [InlineData("+1")]
    [InlineData("0x10")]
    [InlineData("1e3")]
    [InlineData("10xx")]
    [InlineData("1kk")]
    [InlineData("1kBB")]
    [InlineData("1 k B")]
    [InlineData("1k 1")]
    [InlineData("1P")]
    [InlineData("maximum")]
    [InlineData("max 1")]
    [InlineData("١")]
    [Requirement("M7")]
    [Requirement("T09")]
    public void Anything_else_is_refused_with_one_message_that_says_what_is_allowed(string text)
    {
        Assert.False(ByteSize.TryParse(text, out long bytes));
        Assert.Equal(0, bytes);
        string message = Assert.Throws<FormatException>(() => ByteSize.Parse(text)).Message;
        Assert.Contains($"'{text}' is not a byte count", message, StringComparison.Ordinal);
        Assert.Contains("512M", message, StringComparison.Ordinal);
        Assert.DoesNotContain("\n", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("9223372036854775808")]
    [InlineData("99999999999999999999999999")]
    [InlineData("9007199254740992k")]
    [InlineData("8796093022208M")]
    [InlineData("8589934592G")]
    [InlineData("8388608T")]
    public void One_byte_more_than_a_long_holds_is_refused(string text) =>
        Assert.False(ByteSize.TryParse(text, out _));

    [Theory]
    [InlineData("1\0")]
    [InlineData("1\nk")]
    [InlineData("\n1k\n")]
    [InlineData("1\tk")]
    [InlineData("\u001b[31m1")]
    public void Control_characters_are_refused_and_do_not_reach_the_message(string text)
    {
        Assert.False(ByteSize.TryParse(text, out _));
        Assert.DoesNotContain(Assert.Throws<FormatException>(() => ByteSize.Parse(text)).Message, char.IsControl);
    }

    [Fact]
    public void A_refused_text_of_any_length_makes_a_short_message()
    {
        var refused = Assert.Throws<FormatException>(() => ByteSize.Parse(new string('x', 100_000)));
        Assert.InRange(refused.Message.Length, 1, 240);
    }

    [Fact]
    public void Null_is_an_argument_error() => Assert.Throws<ArgumentNullException>(() => ByteSize.Parse(null!));

    [Theory]
    [InlineData(0, "0")]
    [InlineData(1, "1")]
    [InlineData(1023, "1023")]
    [InlineData(1024, "1K")]
    [InlineData(1025, "1025")]
    [InlineData(1536, "1536")]
    [InlineData(512L << 20, "512M")]
    [InlineData(1L << 40, "1T")]
    [InlineData(1L << 50, "1024T")]
    [InlineData(long.MaxValue - 1, "9223372036854775806")]
    [InlineData(long.MaxValue, "max")]
    public void Format_uses_the_largest_unit_that_is_exact(long bytes, string expected) =>
        Assert.Equal(expected, ByteSize.Format(bytes));

    [Theory]
    [InlineData(-1)]
    [InlineData(long.MinValue)]
    public void A_negative_count_is_not_formatted(long bytes) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => ByteSize.Format(bytes));

    [Theory]
    [InlineData(0, "0")]
    [InlineData(1023, "1023")]
    [InlineData(1024, "1.0K")]
    [InlineData(1024 * 1024 - 1, "1023.9K")]
    [InlineData(123_456_789, "117.7M")]
    [InlineData(-4096, "-4.0K")]
    [InlineData(1L << 60, "1048576.0T")]
    [InlineData(long.MaxValue, "max")]
    [InlineData(long.MinValue, "-8388607.9T")]
    public void FormatRounded_shows_one_digit_rounded_down(long bytes, string expected) =>
        Assert.Equal(expected, ByteSize.FormatRounded(bytes));

    [Fact]
    public void Every_count_survives_the_round_trip()
    {
        // Multiples of the units are what Format treats specially and what a plain random long almost never is.
        Gen<long> counts = from digits in Gen.Choose(0, int.MaxValue)
                           from shift in Gen.Choose(0, 32)
                           select (long)digits << shift;
        Check.QuickThrowOnFailure(Prop.ForAll(
            counts.ToArbitrary(),
            bytes => ByteSize.Parse(ByteSize.Format(bytes)) == bytes));
    }
}
