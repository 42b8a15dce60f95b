// Bad input ends with one line that says what to do and exit code 2; the lines are pinned, because they are the
// program's interface for whoever types something wrong.

namespace MemoryGroups.Cli.Tests;

public sealed class ProgramTests
{
    [Theory]
    [InlineData(
        "demo --budget 10xx",
        "memgroups demo: --budget '10xx' is not a byte count (a whole number, then k, m or g). Allowed: 32M to 1G,"
            + " for example --budget 96M.")]
    [InlineData(
        "demo --budget 33554431",
        "memgroups demo: --budget '33554431' is out of range. Allowed: 32M to 1G, for example --budget 96M.")]
    [InlineData(
        "demo --budget max",
        "memgroups demo: --budget 'max' is out of range. Allowed: 32M to 1G, for example --budget 96M.")]
    [InlineData(
        "demo --engine mysql",
        "memgroups demo: --engine 'mysql' is not an engine. Allowed: sqlite, duckdb, for example --engine duckdb.")]
    [InlineData(
        "demo --engine duckdb --budget 191M",
        "memgroups demo: --budget '191M' is out of range. Allowed: 192M to 1G, for example --budget 384M.")]
    [InlineData(
        "demo --seconds 4",
        "memgroups demo: --seconds '4' is not a whole number from 5 to 600, for example --seconds 15.")]
    [InlineData(
        "demo --seconds 7.5",
        "memgroups demo: --seconds '7.5' is not a whole number from 5 to 600, for example --seconds 15.")]
    [InlineData(
        "demo --seed -1",
        "memgroups demo: --seed '-1' is not a whole number from 0 to 2147483647, for example --seed 1.")]
    [InlineData("demo --colour", "memgroups demo: unknown option '--colour'. See 'memgroups demo --help'.")]
    [InlineData("demo loudly", "memgroups demo: unknown argument 'loudly'. See 'memgroups demo --help'.")]
    [InlineData(
        "bench --full", "memgroups bench: runs from a clone of the repository, by its script: ./memgroups bench.")]
    [InlineData("--loudly", "memgroups: unknown option '--loudly'. See 'memgroups --help'.")]
    [InlineData("dema", "memgroups: unknown command 'dema'. Allowed: demo, bench. See 'memgroups --help'.")]
    [InlineData("", "memgroups: a command is needed. Allowed: demo, bench. See 'memgroups --help'.")]
    [InlineData(
        "demo --json /proc/nowhere/out.json",
        "memgroups demo: --json '/proc/nowhere/out.json' cannot be written: the folder '/proc/nowhere' does not"
            + " exist.")]
    public async Task Bad_input_ends_with_exit_code_2_and_one_line(string arguments, string expected)
    {
        (int code, string errors) = await RunAsync(arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries));

        Assert.Equal(2, code);
        Assert.Equal(expected + Environment.NewLine, errors);
    }

    [Fact]
    public async Task Unwritable_cache_folder_ends_with_exit_code_2_and_one_line()
    {
        // Below a file no folder can be made, by anybody: root may write everywhere else.
        using var folder = new TemporaryFolder();
        string file = folder.Combine("file");
        await File.WriteAllTextAsync(file, "x", TestContext.Current.CancellationToken);

        (int code, string errors) = await RunAsync("demo", "--cache", Path.Combine(file, "cache"));

        Assert.Equal(2, code);
        string start = $"memgroups demo: cannot write the cache folder '{file}/cache': ";
        Assert.StartsWith(start, errors, StringComparison.Ordinal);
        Assert.EndsWith("Give another one with --cache DIR." + Environment.NewLine, errors, StringComparison.Ordinal);
        Assert.Single(errors.TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task Problem_is_broken_between_words_on_a_terminal()
    {
        using var errors = new StringWriter();

        int code = await Program.RunAsync(["demo", "--engine", "mysql"], TimeProvider.System, errors, width: 80);

        Assert.Equal(2, code);
        Assert.Equal(
            [
                "memgroups demo: --engine 'mysql' is not an engine. Allowed: sqlite, duckdb, for",
                "example --engine duckdb.",
            ],
            errors.ToString().TrimEnd().Split(Environment.NewLine));
    }

    private static async Task<(int Code, string Errors)> RunAsync(params string[] arguments)
    {
        using var errors = new StringWriter();
        int code = await Program.RunAsync(arguments, TimeProvider.System, errors);
        return (code, errors.ToString());
    }
}
