// The command `memgroups bench`, so that --help names it. The benchmarks are a program of their own, with packages that
// nobody who runs the demo should have to restore; the script ./memgroups of a clone builds and becomes it and never
// comes here.

using System.CommandLine;

namespace MemoryGroups.Cli;

internal static class BenchCommand
{
    internal static Command Create()
    {
        const string Description = "Measures what charging costs, against baselines of the same run (from a clone).";
        var command = new Command("bench", Description)
        {
            TreatUnmatchedTokensAsErrors = false,
        };
        command.SetAction(Refuse);
        return command;
    }

    private static int Refuse(ParseResult parsed) =>
        throw new DemoUsageException("runs from a clone of the repository, by its script: ./memgroups bench.");
}
