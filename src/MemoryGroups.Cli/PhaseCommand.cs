// The hidden command `memgroups phase NAME`: this program as the child of itself. Not for people; its options are the
// parent's own words (DemoOptions.ToArguments).

using System.CommandLine;

namespace MemoryGroups.Cli;

internal static class PhaseCommand
{
    internal const string Name = "phase";

    internal static Command Create(TimeProvider clock)
    {
        var phase = new Argument<string>("phase");
        var data = new Option<string>("--data") { Required = true };
        var budget = new Option<string?>("--budget");
        var seconds = new Option<string?>("--seconds");
        var seed = new Option<string?>("--seed");
        var engine = new Option<string?>("--engine");
        var command = new Command(Name) { phase, data, budget, seconds, seed, engine };
        command.Hidden = true;
        command.SetAction(async (parsed, _) =>
        {
            DemoOptions options = DemoOptions.Parse(
                parsed.GetValue(budget), parsed.GetValue(seconds), parsed.GetValue(seed), parsed.GetValue(engine));
            string folder = parsed.GetRequiredValue(data);
            string? name = parsed.GetValue(phase);
            if (name is ThroughputRound.Governed or ThroughputRound.Ungoverned)
                await ThroughputRound.RunAsChildAsync(options, folder, name == ThroughputRound.Governed, clock);
            else
                await DemoPhase.RunAsChildAsync(options, folder, name == DemoPhase.Governed, clock);
            return 0;
        });
        return command;
    }
}
