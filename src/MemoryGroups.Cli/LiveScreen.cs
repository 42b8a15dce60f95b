// The view on a terminal: LivePicture drawn over itself while a phase runs. Spectre.Console's live display does that
// and shows the cursor again however it ends.
//
// What must stay true: a terminal that is resized breaks the lines that stand there, and drawing over them then leaves
// rubbish; so the screen is cleared and a new display begins, which knows nothing of the old width.

using System.Threading.Channels;
using Spectre.Console;

namespace MemoryGroups.Cli;

internal sealed class LiveScreen : DemoScreen
{
    internal LiveScreen(IAnsiConsole console)
        : base(console)
    {
    }

    private (int Width, int Height) Size => (Console.Profile.Width, Console.Profile.Height);

    internal override void Say(string text, string mark, string style)
    {
        foreach (string line in FoldedText.Lines(text, Console.Profile.Width))
        {
            int at = mark.Length == 0 ? -1 : line.IndexOf(mark, StringComparison.Ordinal);
            Console.MarkupLine(at < 0
                ? Markup.Escape(line)
                : $"{Markup.Escape(line[..at])}[{style}]{Markup.Escape(mark)}[/]"
                    + Markup.Escape(line[(at + mark.Length)..]));
            mark = string.Empty;
        }
    }

    internal override async Task<PhaseOutcome> FollowAsync(
        string phase, DemoOptions options, MemoryCap cap, Func<Action<PhaseView>, Task<PhaseOutcome>> run)
    {
        var picture = new LivePicture(Title(phase, options), options, cap);
        var views = Channel.CreateUnbounded<PhaseView>();
        Task<PhaseOutcome> running = RunAsync();
        try
        {
            while (await ShowUntilResizedAsync(views.Reader, picture)) Console.Clear(home: true);
        }
        finally
        {
            // Whatever drawing has come to: the phase's process is gone before its cap is removed.
            await ((Task)running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        PhaseOutcome outcome = await running;
        string text = $"{phase} ended after {outcome.Seconds:0.0} s: {outcome.Exit}";
        Say(text, $"{phase} ended", outcome.EndedByItself ? "green" : "red");
        Console.WriteLine();
        return outcome;

        async Task<PhaseOutcome> RunAsync()
        {
            try
            {
                return await run(view => views.Writer.TryWrite(view));
            }
            finally
            {
                views.Writer.Complete();
            }
        }
    }

    // False at the end of the phase.
    private async Task<bool> ShowUntilResizedAsync(ChannelReader<PhaseView> views, LivePicture picture)
    {
        (int Width, int Height) size = Size;
        bool isResized = false;
        await Console.Live(new Markup("starting ...")).AutoClear(false).StartAsync(async live =>
        {
            while (!isResized && await views.WaitToReadAsync())
            {
                isResized = Size != size;
                if (!isResized && views.TryRead(out PhaseView? view))
                    live.UpdateTarget(picture.Of(view, size.Width, size.Height));
            }
        });
        return isResized;
    }
}
