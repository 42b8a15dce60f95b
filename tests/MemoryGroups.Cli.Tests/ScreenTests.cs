// What is printed where there is no terminal: plain text, the same facts, no escape codes and no line broken.

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

    [Fact]
    public void Live_picture_fits_a_small_terminal()
    {
        IAnsiConsole console =
            AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(TextWriter.Null) });
        console.Profile.Width = 80;
        using var folder = new TemporaryFolder();
        using MemoryCap cap = MemoryCap.Create(new CgroupHost(folder.Path), "test", 224L << 20, TimeProvider.System);

        IRenderable picture =
            new LiveScreen(console).Picture(new PhaseView(Line, 100L << 20), Outcomes.Options, cap);

        List<SegmentLine> lines = Segment.SplitLines(picture.Render(RenderOptions.Create(console), 80));
        Assert.InRange(lines.Count, 10, 22);
        Assert.All(lines, line => Assert.InRange(line.CellCount(), 0, 80));
        Assert.Contains(
            lines, line => string.Concat(line.Select(s => s.Text)).Contains(
                "declared 60.0 MiB + unattributed 70.0 MiB, metered 512.0 MiB", StringComparison.Ordinal));
        Assert.Contains(
            lines, line => string.Concat(line.Select(s => s.Text)).Contains("[alpha]", StringComparison.Ordinal));
    }
}
