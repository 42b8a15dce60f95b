// The entry: runs the chosen scenes and prints one table. Exit codes: 0, 1 when something exact is wrong, 2 for what
// was typed, 130 Ctrl-C.
using System.Runtime.InteropServices;

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
            return Refuse(problem);
        }

        Scene[] chosen = [.. Scenes.All.Where(scene => options.Means($"{scene.Area}/{scene.Name}"))];
        if (chosen.Length == 0)
        {
            return Refuse($"no scene contains '{options.Filter}'. './memgroups bench --list' names all.");
        }

        if (options.List)
        {
            Array.ForEach(chosen, static scene => Console.WriteLine($"{scene.Area}/{scene.Name}"));
            return 0;
        }

        // Found now, and not after five minutes.
        string? unwritable = Unwritable("--json", options.JsonFile) ?? Unwritable("--markdown", options.MarkdownFile);
        if (unwritable is not null)
        {
            return Refuse(unwritable);
        }

        return Run(options, chosen, "./memgroups bench " + string.Join(' ', arguments));
    }

    private static int Refuse(string problem)
    {
        Console.Error.WriteLine($"memgroups bench: {problem}");
        return 2;
    }

    // Opening it for writing is the only answer that counts; what an earlier run has written stays until there is more.
    private static string? Unwritable(string option, string? file)
    {
        if (file is null)
        {
            return null;
        }

        try
        {
            using FileStream stream = File.Open(file, FileMode.OpenOrCreate, FileAccess.Write);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return $"{option} '{file}' cannot be written: {e.Message}";
        }
    }

    private static int Run(BenchOptions options, Scene[] chosen, string command)
    {
        // Said, and then left to the runtime, which ends the program with 130.
        using var interrupt = PosixSignalRegistration.Create(
            PosixSignal.SIGINT, static _ => Console.Error.WriteLine("\nmemgroups bench: stopped; there is no table."));
        var machine = new Machine();
        double roundTrip = options.Smoke ? double.NaN : machine.LineRoundTrip();
        Console.WriteLine(machine.Describe());
        string trip = double.IsNaN(roundTrip) ? "not measured" : $"{roundTrip:0} ns";
        Console.WriteLine($"line round trip between two cores {trip}; seed {options.Seed}");
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
        // A terminal that does not tell its width says 0.
        Console.Write(Console.IsOutputRedirected || Console.WindowWidth == 0
            ? table.ToText()
            : table.ToText(Console.WindowWidth));
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
