// This program, started again to play one scenario instead of running tests, in a memory group of the operating system.
// It prints what it found on one line.
using System.Diagnostics;
using System.Globalization;

namespace MemoryGroups.Tests;

internal static class ChildProcess
{
    private const string Variable = "MEMORYGROUPS_CHILD_SCENARIO";

    internal static string? Requested => Environment.GetEnvironmentVariable(Variable);

    internal static void Play(string scenario) => Console.WriteLine(scenario switch
    {
        nameof(FollowContainer) => FollowContainer(),
        _ => throw new ArgumentException(scenario),
    });

    // The shell joins the group and then becomes the program: from its first instruction on, it is limited.
    internal static async Task<string> RunAsync(string scenario, string group)
    {
        string program = Path.Combine(AppContext.BaseDirectory, typeof(ChildProcess).Assembly.GetName().Name!);
        const string Join = "echo $$ > \"$0/cgroup.procs\" && exec \"$1\"";
        var start = new ProcessStartInfo("/bin/sh", ["-c", Join, group, program])
        {
            RedirectStandardOutput = true,
            Environment = { [Variable] = scenario },
        };
        using Process child = Process.Start(start)!;
        string output = await child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await child.WaitForExitAsync(TestContext.Current.CancellationToken);
        return output.Trim();
    }

    internal static string FollowContainer()
    {
        using var root = new MemoryRoot(new MemoryRootOptions { FollowContainer = true });
        UnattributedMemory shown = root.Unattributed;
        string counted = shown.CountedBytes is > 0 and < 256 << 20 ? "counted" : shown.ToString();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{root.Capacity} {root.HeapLimitBytes} {GC.GetGCMemoryInfo().TotalAvailableMemoryBytes} {counted}");
    }
}
