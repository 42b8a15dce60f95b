// Text that is longer than a line: where it is broken, what it goes on below, and that nothing is lost.

namespace MemoryGroups.Cli.Tests;

public sealed class FoldedTextTests
{
    [Theory]
    [InlineData("fits exactly", 12, "fits exactly")]
    [InlineData("", 10, "")]
    [InlineData("a sentence goes on at the left", 20, "a sentence goes on|at the left")]
    [InlineData("  what begins with spaces goes on below", 34, "  what begins with spaces goes on|    below")]
    [InlineData(
        "  ok      the rule: what was found, in words", 34,
        "  ok      the rule: what was|          found, in words")]
    [InlineData(
        "  a path           asked    2.0M   gave   0", 40,
        "  a path  asked  2.0M  gave  0")]
    [InlineData("one/word/that/is/longer/than/the/line", 20, "one/word/that/is/lon|ger/than/the/line")]
    [InlineData(
        "a mark far away to the right  then words that go on", 30,
        "a mark far away to the right|then words that go on")]
    public void Long_text_is_broken_between_words_below_its_column(string text, int width, string expected) =>
        Assert.Equal(expected.Split('|'), FoldedText.Lines(text, width));

    [Fact]
    public void Any_text_at_any_width_keeps_its_words_and_the_width()
    {
        const string Words = "  12.5 s  killed greedy/BigExport-6 (55.7 MiB):  alpha/Sort-19   needed 2.0 MiB  twice ";
        for (int width = 1; width <= Words.Length + 1; width++)
        {
            List<string> lines = [.. FoldedText.Lines(Words, width)];

            Assert.All(lines, line => Assert.InRange(line.Length, 0, width));
            Assert.Equal(Words.Replace(" ", ""), string.Concat(lines).Replace(" ", ""));
        }
    }
}
