// The lines between a phase and its parent: read back as they were, and harmless when they are cut off.

namespace MemoryGroups.Cli.Tests;

public sealed class PhaseLineTests
{
    private static readonly PhaseLine Line = new(
        2.25,
        Outcomes.Good.Tenants,
        [new TreeRow("service", 0, 10, 20, 64, 0), new TreeRow("alpha", 1, 1, 2, null, 8)],
        20,
        ["something\nhappened \u2588"],
        Outcomes.Good.Kills,
        Outcomes.Good.End);

    [Fact]
    public void Line_is_read_back_as_it_was_written()
    {
        PhaseLine? read = PhaseLine.TryRead(Line.ToJson());

        Assert.Equal(Line.ToJson(), read!.ToJson());
        Assert.Equal(Line.Tenants, read.Tenants);
    }

    [Fact]
    public void Line_is_one_line() => Assert.DoesNotContain('\n', Line.ToJson());

    [Theory]
    [InlineData("")]
    [InlineData("Unhandled exception.")]
    [InlineData("null")]
    public void Other_text_is_no_line(string text) => Assert.Null(PhaseLine.TryRead(text));

    [Fact]
    public void Line_cut_off_anywhere_is_no_line()
    {
        string whole = Line.ToJson();
        Assert.All(Enumerable.Range(0, whole.Length), length => Assert.Null(PhaseLine.TryRead(whole[..length])));
    }
}
