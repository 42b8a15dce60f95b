// The entry: finds the command, and turns what goes wrong into one line. Exit codes: a command's own; 2 for what the
// person who typed it can put right; an escaping exception (a defect) keeps its stack trace and the runtime's code.

using System.CommandLine;

namespace MemoryGroups.Cli;

internal static class Program
{
    private const int UsageError = 2;

    private static Task<int> Main(string[] arguments) => RunAsync(
        arguments, TimeProvider.System, Console.Error, Console.IsErrorRedirected ? null : TerminalWidth.Current);

    // `width` is that of the terminal that errors go to; null leaves each in one line.
    internal static async Task<int> RunAsync(
        string[] arguments, TimeProvider clock, TextWriter errors, int? width = null)
    {
        var root = new RootCommand("Memory control groups inside a .NET process.")
        {
            DemoCommand.Create(clock),
            BenchCommand.Create(),
            PhaseCommand.Create(clock),
        };
        ParseResult parsed = root.Parse(arguments);
        string command = "memgroups";
        if (parsed.CommandResult.Command is var chosen && chosen != root) command += " " + chosen.Name;
        if (parsed.Errors.Count > 0)
        {
            await SayAsync($"{command}: {Problem(parsed)} See '{command} --help'.");
            return UsageError;
        }

        try
        {
            // The commands handle signals and errors themselves: a second handler would race with theirs.
            return await parsed.InvokeAsync(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            });
        }
        catch (DemoUsageException e)
        {
            await SayAsync($"{command}: {e.Message}");
            return UsageError;
        }

        async Task SayAsync(string problem)
        {
            foreach (string line in FoldedText.Lines(problem, width ?? int.MaxValue))
                await errors.WriteLineAsync(line);
        }
    }

    // What was typed and is not known is named first: the parser's own first error can be a consequence of it.
    private static string Problem(ParseResult parsed)
    {
        Command chosen = parsed.CommandResult.Command;
        if (parsed.UnmatchedTokens.Count == 0)
        {
            return chosen is RootCommand && parsed.Tokens.Count == 0
                ? $"a command is needed. {Commands(chosen)}"
                : Shown.FirstLine(parsed.Errors[0].Message);
        }

        string unknown = parsed.UnmatchedTokens[0];
        if (unknown.StartsWith('-')) return $"unknown option '{unknown}'.";
        return chosen is RootCommand
            ? $"unknown command '{unknown}'. {Commands(chosen)}"
            : $"unknown argument '{unknown}'.";
    }

    private static string Commands(Command root) =>
        $"Allowed: {string.Join(", ", root.Subcommands.Where(c => !c.Hidden).Select(c => c.Name))}.";
}
