// What is printed where there is no terminal: plain text, the same facts, no escape codes and no line broken. On
// terminals of several sizes: that everything fits them.

using System.Text.RegularExpressions;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace MemoryGroups.Cli.Tests;

public sealed class ScreenTests
{
    private static readonly PhaseLine Line = new(
        3.5,
        Outcomes.Good.Tenants,
        [
            new TreeRow("service", 0, 60L << 20, 64L << 20, 64L << 20, 0),
            new TreeRow("tenants", 1, 58L << 20, 60L << 20, 60L << 20, 0),
            new TreeRow("[alpha]", 2, 1L << 20, 2L << 20, null, 8L << 20),
            new TreeRow("beta", 2, 1L << 20, 2L << 20, null, 8L << 20),
            new TreeRow("greedy", 2, 50L << 20, 59L << 20, null, 0),
            new TreeRow("cache", 1, 0, 9L << 20, null, 0),
            new TreeRow("process", 1, 4L << 20, 4L << 20, null, 0),
        ],
        60L << 20,
        ["  1.0 s  refused greedy's BigSort", "  1.5 s  killed service/tenants/greedy/BigExport-9 [with brackets]"],
        [],
        null)
    {
        Memory = new MemoryShares(130L << 20, 60L << 20, 70L << 20, 512L << 20),
    };

    private static readonly MemoryCap Cap =
        MemoryCap.Create(new CgroupHost("/nowhere"), "test", 224L << 20, TimeProvider.System);

    [Fact]
    public async Task Plain_screen_prints_facts_without_escape_codes()
    {
        using var output = new StringWriter();
        var screen = new PlainScreen(output, TimeProvider.System);
        using var folder = new TemporaryFolder();
        using MemoryCap cap = MemoryCap.Create(new CgroupHost(folder.Path), "test", 224L << 20, TimeProvider.System);

        await screen.FollowAsync(DemoPhase.Governed, Outcomes.Options, cap, show =>
        {
            show(new PhaseView(Line, 100L << 20));
            return Task.FromResult(Outcomes.Good);
        });
        screen.Show(DemoVerdict.Judge(Outcomes.Options, Outcomes.Died, Outcomes.Good));

        string text = output.ToString();
        Assert.DoesNotContain('\u001b', text);
        Assert.Contains("killed service/tenants/greedy/BigExport-9 [with brackets]", text, StringComparison.Ordinal);
        Assert.Contains("ungoverned", text, StringComparison.Ordinal);
        Assert.Contains("OOM report #1", text, StringComparison.Ordinal);
        Assert.EndsWith("PASS" + Environment.NewLine, text, StringComparison.Ordinal);
    }

    [Fact]
    public void Failed_rule_is_shown_with_what_was_found()
    {
        using var output = new StringWriter();
        var screen = new PlainScreen(output, TimeProvider.System);

        screen.Show(DemoVerdict.Judge(Outcomes.Options, null, Outcomes.Good with { Kills = [] }));

        string text = output.ToString();
        const string Red = "FAILED  victims are the greedy tenant's, and each kill says why: no kill";
        Assert.Contains(Red, text, StringComparison.Ordinal);
        Assert.EndsWith("FAIL" + Environment.NewLine, text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(80, 24)]
    [InlineData(120, 40)]
    [InlineData(60, 24)]
    [InlineData(LivePicture.LeastWidth, LivePicture.LeastHeight)]
    public void Live_picture_fits_its_terminal_and_never_changes_its_size(int width, int height)
    {
        var picture = new LivePicture("a title of the usual length, the tenants share 64.0 MiB", Outcomes.Options, Cap);
        PhaseLine larger = Line with
        {
            Tenants = [.. Line.Tenants.Select(t => t with { MeteredBytes = 1023L << 20 })],
            Tree =
            [
                .. Line.Tree.Select(
                    r => r with { UsageBytes = 1023L << 10, PeakBytes = 1023L << 20, LowBytes = 128L << 20 }),
            ],
            Memory = new MemoryShares(1023L << 20, 1000L << 20, 23L << 20, 1000L << 20),
        };

        List<string> first = Lines(picture.Of(new PhaseView(Line, 100L << 20), width, height), width);
        List<string> next = Lines(picture.Of(new PhaseView(larger, 1023L << 20), width, height), width);

        Assert.InRange(first.Count, 10, height - 1);
        Assert.Equal(first.Count, next.Count);
        Assert.All([.. first, .. next], line => Assert.InRange(line.Length, 0, width));
        Assert.Equal(1, first.Count(line => line.Contains(" tenant ", StringComparison.Ordinal)));
        Assert.Contains(first, line => line.Contains("[alpha]", StringComparison.Ordinal));
        Assert.Contains(next, line => line.Contains("1023.0 MiB", StringComparison.Ordinal));
        Assert.Contains(
            first, line => line.Contains("declared 60.0 MiB + unattributed 70.0 MiB", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(80)]
    [InlineData(60)]
    public void Verdict_fits_a_terminal_and_its_last_line_is_the_verdict(int width)
    {
        using var output = new StringWriter();
        var screen = new PlainScreen(output, TimeProvider.System, width);

        screen.Show(DemoVerdict.Judge(Outcomes.Options, Outcomes.Died, Outcomes.Good));

        string[] lines = output.ToString().TrimEnd().Split(Environment.NewLine);
        Assert.All(lines, line => Assert.InRange(line.Length, 0, width));
        Assert.Equal("PASS", lines[^1]);
        // A row of a table stays a row: once for each phase.
        Assert.Equal(2, lines.Count(line => Regex.IsMatch(line, "^ +alpha +[0-9]+ +1000 +999 +0 +0 +1( |$)")));
    }

    [Theory]
    [InlineData(80, 24, null, "xterm-256color", false)]
    [InlineData(80, 24, "", "xterm-256color", false)]
    [InlineData(80, 24, "1", "xterm-256color", true)]
    [InlineData(80, 24, null, "dumb", true)]
    [InlineData(80, 24, null, "", true)]
    [InlineData(80, 24, null, null, true)]
    [InlineData(59, 24, null, "xterm", true)]
    [InlineData(80, 18, null, "xterm", true)]
    [InlineData(null, null, null, "xterm-256color", true)]
    public void Escape_codes_are_for_terminals_that_want_them(
        int? width, int? height, string? noColor, string? term, bool isPlain) => Assert.Equal(
            isPlain,
            DemoScreen.IsPlain(width is null ? null : (width.Value, height!.Value), noColor, term));

    private static List<string> Lines(IRenderable picture, int width)
    {
        IAnsiConsole console =
            AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(TextWriter.Null) });
        console.Profile.Width = width;
        return [.. Segment.SplitLines(picture.Render(RenderOptions.Create(console), width))
            .Select(line => string.Concat(line.Select(s => s.Text)))];
    }
}
