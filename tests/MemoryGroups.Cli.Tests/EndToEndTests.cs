// The real program in a process of its own: one short run that must pass, Ctrl-C in the middle, and a copy of the
// program without its native library. The load is seeded; what is asserted does not depend on how fast the machine
// is.

using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace MemoryGroups.Cli.Tests;

public sealed class EndToEndTests
{
    // Longer than the program's own patience, which is half a minute for each of its two phases.
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);

    [Fact]
    public async Task Short_run_passes_and_reports_both_phases()
    {
        using var folder = new TemporaryFolder();
        string json = folder.Combine("verdict.json");

        using Process process = Start(
            AppContext.BaseDirectory,
            "demo", "--seconds", "6", "--seed", "3", "--cache", folder.Path, "--json", json);
        (string output, string errors) = await EndAsync(process);

        Assert.True(process.ExitCode == 0, $"exit code {process.ExitCode}\n{output}\n{errors}");
        Assert.Equal(string.Empty, errors);
        Assert.DoesNotContain('\u001b', output);
        Assert.EndsWith("PASS\n", output, StringComparison.Ordinal);
        string written = await File.ReadAllTextAsync(json, TestContext.Current.CancellationToken);
        JsonElement verdict = JsonDocument.Parse(written).RootElement;
        Assert.True(verdict.GetProperty("pass").GetBoolean());
        Assert.Equal(3, verdict.GetProperty("seed").GetInt32());
        // How the other phase ends is the kernel's business; that it was given the same load and is told of is ours.
        JsonElement ungoverned = verdict.GetProperty("phases").GetProperty("ungoverned");
        Assert.NotEqual(string.Empty, ungoverned.GetProperty("exit").GetString());
        Assert.True(ungoverned.GetProperty("peak_rss_bytes").GetInt64() > 0);
        Assert.All(
            ungoverned.GetProperty("tenants").EnumerateArray(),
            tenant => Assert.True(tenant.GetProperty("tried").GetInt32() > 0));
        JsonElement governed = verdict.GetProperty("phases").GetProperty("governed");
        Assert.Equal("exit code 0", governed.GetProperty("exit").GetString());
        Assert.True(governed.GetProperty("peak_charged_bytes").GetInt64() > 0);
        Assert.True(governed.GetProperty("peak_rss_bytes").GetInt64() > 0);
    }

    [Fact]
    public async Task Short_run_with_DuckDB_passes_and_shows_where_memory_is()
    {
        if (!DuckDbGroups.DuckDbLibrary.IsAvailable) Assert.Skip(DuckDbGroups.DuckDbLibrary.Problem);
        using var folder = new TemporaryFolder();
        string json = folder.Combine("verdict.json");

        using Process process = Start(
            AppContext.BaseDirectory,
            "demo", "--engine", "duckdb", "--governed-only", "--seconds", "6", "--cache", folder.Path, "--json", json);
        (string output, string errors) = await EndAsync(process);

        Assert.True(process.ExitCode == 0, $"exit code {process.ExitCode}\n{output}\n{errors}");
        Assert.EndsWith("PASS\n", output, StringComparison.Ordinal);
        string written = await File.ReadAllTextAsync(json, TestContext.Current.CancellationToken);
        JsonElement verdict = JsonDocument.Parse(written).RootElement;
        Assert.Equal("duckdb", verdict.GetProperty("engine").GetString());
        JsonElement memory = verdict.GetProperty("phases").GetProperty("governed").GetProperty("memory");
        long measured = memory.GetProperty("measured_bytes").GetInt64();
        long declared = memory.GetProperty("declared_bytes").GetInt64();
        Assert.Equal(measured - declared, memory.GetProperty("unattributed_bytes").GetInt64());
        Assert.True(declared > 0 && measured > 0 && memory.GetProperty("metered_bytes").GetInt64() > 0, written);
    }

    [Fact]
    public async Task Interrupt_ends_the_phase_and_leaves_nothing_behind()
    {
        using var folder = new TemporaryFolder();
        using Process process = Start(
            AppContext.BaseDirectory, "demo", "--governed-only", "--seconds", "60", "--cache", folder.Path);
        string? line;
        do line = await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        while (line?.Contains("  real ", StringComparison.Ordinal) == false);

        Assert.NotEmpty(Children(process.Id));
        (string signal, int exitCode) = IsInterruptIgnored() ? ("-TERM", 143) : ("-INT", 130);
        using (Process kill = Process.Start("kill", [signal, process.Id.ToString(CultureInfo.InvariantCulture)]))
            await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        await EndAsync(process);

        Assert.Equal(exitCode, process.ExitCode);
        Assert.Empty(Children(process.Id));
        string?[] groups = [new CgroupHost().FindV1(), new CgroupHost().FindV2()];
        foreach (string? group in groups)
        {
            if (group is not null)
                Assert.Empty(Directory.EnumerateDirectories(group, $"memgroups-demo-{process.Id}-*"));
        }
    }

    [Fact]
    public async Task Missing_native_library_ends_with_exit_code_2_and_one_line()
    {
        using var folder = new TemporaryFolder();
        foreach (string file in Directory.EnumerateFiles(AppContext.BaseDirectory, "*"))
        {
            if (!file.EndsWith(".so", StringComparison.Ordinal))
                File.Copy(file, folder.Combine(Path.GetFileName(file)));
        }

        using Process process = Start(folder.Path, "demo", "--cache", folder.Combine("cache"));
        (_, string errors) = await EndAsync(process);

        Assert.Equal(2, process.ExitCode);
        Assert.Equal(
            "memgroups demo: SQLite's native library (e_sqlite3) is missing beside the program or not made for this"
            + " machine. Build again (./memgroups does), or deploy the program's runtimes folder with it.\n",
            errors);
    }

    private static Process Start(string folder, params string[] arguments) =>
        Process.Start(new ProcessStartInfo(Path.Combine(folder, "memgroups"), arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;

    private static async Task<(string Output, string Errors)> EndAsync(Process process)
    {
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using var deadline = new CancellationTokenSource(Deadline, TimeProvider.System);
        try
        {
            await process.WaitForExitAsync(deadline.Token);
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }

        return (await output, await errors);
    }

    // As in everything that a shell without job control has started in the background; who is started below inherits
    // it, and the runtime respects it. The other signal takes the same way.
    private static bool IsInterruptIgnored()
    {
        const string Ignored = "SigIgn:";
        string mask = File.ReadLines("/proc/self/status")
            .Single(static line => line.StartsWith(Ignored, StringComparison.Ordinal));
        const ulong Interrupt = 1 << (2 - 1);
        return (Convert.ToUInt64(mask[Ignored.Length..].Trim(), 16) & Interrupt) != 0;
    }

    private static List<string> Children(int parent) =>
        [.. Directory.EnumerateDirectories("/proc").Where(folder => IsChild(folder, parent))];

    private static bool IsChild(string folder, int parent)
    {
        try
        {
            return File.ReadLines(Path.Combine(folder, "status")).Contains($"PPid:\t{parent}");
        }
        catch (IOException)
        {
            return false;
        }
    }
}
