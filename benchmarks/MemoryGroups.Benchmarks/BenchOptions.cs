// What can be typed after `./memgroups bench`.
namespace MemoryGroups.Benchmarks;

internal sealed record BenchOptions
{
    internal const string Usage = """
        usage: ./memgroups bench [--full] [--filter TEXT] [--times] [--seed N]
                                 [--json FILE] [--markdown FILE]
               ./memgroups bench --list [--filter TEXT]
               ./memgroups bench --instructions [TEXT]
               ./memgroups bench --dotnet [arguments of BenchmarkDotNet]

        What the library costs, as ratios against baselines of the same run.
        Less than five minutes.

          --full           the long set: more rounds, longer windows, hundreds of
                           millions of charges
          --filter TEXT    only scenes whose area/name contains TEXT, case ignored;
                           more of them with commas between
          --times          the median of each case in nanoseconds as well, as each
                           scene ends
          --list           the scenes, and nothing else
          --seed N         the order of the cases and everything random (default:
                           printed, another each time)
          --json FILE      the table as JSON as well
          --markdown FILE  the table as Markdown as well
          --smoke          one very short round of everything: that it runs; the
                           figures mean nothing
          --instructions   how many instructions the operations take, in an
                           emulated machine that counts them (qemu and a kernel
                           from the system's packages); only scenes that contain
                           TEXT; ten minutes
          --dotnet         the short uncontended cases under BenchmarkDotNet

        Exit code 0 also when goals are missed: a machine can be busy. 1 when
        something exact is wrong, 2 for what was typed.
        """;

    internal bool Full { get; private set; }

    internal bool Smoke { get; private set; }

    internal bool Times { get; private set; }

    internal bool List { get; private set; }

    internal string Filter { get; private set; } = "";

    internal int Seed { get; private set; } = (int)(TimeProvider.System.GetTimestamp() & 0xffff);

    internal string? JsonFile { get; private set; }

    internal string? MarkdownFile { get; private set; }

    internal Effort Effort => new(Full, Smoke, Times, Seed);

    internal bool Means(string scene) =>
        Filter.Split(',').Any(part => scene.Contains(part, StringComparison.OrdinalIgnoreCase));

    /// <summary>Null, with the reason, when it makes no sense.</summary>
    internal static BenchOptions? Parse(string[] arguments, out string problem)
    {
        var options = new BenchOptions();
        problem = "";
        for (int i = 0; i < arguments.Length; i++)
        {
            string argument = arguments[i];
            string? value = i + 1 < arguments.Length ? arguments[i + 1] : null;
            switch (argument)
            {
                case "--full": options.Full = true; continue;
                case "--smoke": options.Smoke = true; continue;
                case "--times": options.Times = true; continue;
                case "--list": options.List = true; continue;
                case "--filter" when value is not null: options.Filter = value; break;
                case "--json" when value is not null: options.JsonFile = value; break;
                case "--markdown" when value is not null: options.MarkdownFile = value; break;
                case "--seed" when int.TryParse(value, out int seed) && seed >= 0: options.Seed = seed; break;
                default:
                    problem = Problem(argument, value);
                    return null;
            }

            i++;
        }

        return options;
    }

    private static string Problem(string argument, string? value) => argument switch
    {
        "--seed" when value is not null =>
            $"--seed '{value}' is not a whole number from 0 to {int.MaxValue}, for example --seed 1.",
        "--seed" or "--filter" or "--json" or "--markdown" =>
            $"{argument} needs a value. See './memgroups bench --help'.",
        _ => $"unknown {(argument.StartsWith('-') ? "option" : "argument")} '{argument}'. "
            + "See './memgroups bench --help'.",
    };
}
