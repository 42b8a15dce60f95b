// The entry: runs the chosen scenes and prints one table. Exit codes: 0, 1 when something exact is wrong, 2 for what
// was typed.
namespace MemoryGroups.Benchmarks;

internal static class Program
{
    private static int Main(string[] arguments)
    {
        if (arguments is ["--help"] or ["-h"])
        {
            Console.WriteLine(BenchOptions.Usage);
            return 0;
        }

        if (arguments is ["--dotnet", ..])
        {
            return UncontendedBenchmarks.Run(arguments[1..]);
        }

        if (BenchOptions.Parse(arguments, out string problem) is not { } options)
        {
            Console.Error.WriteLine($"memgroups bench: {problem}");
            return 2;
        }

        Scene[] chosen = [.. Scenes.All.Where(scene => options.Means($"{scene.Area}/{scene.Name}"))];
        if (options.List || chosen.Length == 0)
        {
            Array.ForEach(chosen, static scene => Console.WriteLine($"{scene.Area}/{scene.Name}"));
            return chosen.Length == 0 ? 2 : 0;
        }

        return Run(options, chosen, "./memgroups bench " + string.Join(' ', arguments));
    }

    private static int Run(BenchOptions options, Scene[] chosen, string command)
    {
        var machine = new Machine();
        double roundTrip = options.Smoke ? double.NaN : machine.LineRoundTrip();
        Console.WriteLine(machine.Describe());
        Console.WriteLine($"line round trip between two cores {roundTrip:0} ns; seed {options.Seed}");
        using var window = new Window(machine);
        var rows = new List<Row>();
        foreach (Scene scene in chosen)
        {
            double start = machine.Nanos();
            Console.Error.Write($"{scene.Area}/{scene.Name} ... ");
            rows.AddRange(scene.Run(options.Effort, window, Console.Error.Write));
            Console.Error.WriteLine($", {(machine.Nanos() - start) / 1e9:0.0} s");
        }

        var table = new ResultTable(machine.Describe(), roundTrip, command.Trim(), options.Seed, rows);
        Console.WriteLine();
        Console.Write(table.ToText());
        Save(options.JsonFile, table.ToJson);
        Save(options.MarkdownFile, table.ToMarkdown);
        return table.IsWrong ? 1 : 0;
    }

    private static void Save(string? file, Func<string> text)
    {
        if (file is not null)
        {
            File.WriteAllText(file, text());
        }
    }
}
