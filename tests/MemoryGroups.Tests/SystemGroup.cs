// A memory group of the operating system below this process's own, of whichever version the machine has, for tests that
// read a real one.
//
// Version 1 counts where its controller is mounted. In version 2 the controller has to be handed down by the group
// above, which the kernel refuses while processes live there, unless it is the very top.
using System.Globalization;

namespace MemoryGroups.Tests;

internal sealed class SystemGroup : IDisposable
{
    private readonly bool _isFirst;

    private SystemGroup(string mount, string below, bool isFirst)
    {
        _isFirst = isFirst;
        string parent = mount + below;
        string name = $"memorygroups-test-{Environment.ProcessId}-{Guid.NewGuid():N}";
        Path = $"{parent}/{name}";
        Entry = (isFirst ? "4:memory:" : "0::") + $"{below}/{name}\n";
        if (!isFirst)
        {
            File.WriteAllText($"{parent}/cgroup.subtree_control", "+memory");
        }

        Directory.CreateDirectory(Path);
    }

    internal string Path { get; }

    // As it stands in the file that says which groups a process is in.
    internal string Entry { get; }

    internal static SystemGroup MakeOrSkip()
    {
        string[] own = OperatingSystem.IsLinux() ? File.ReadAllLines("/proc/self/cgroup") : [];
        string? first = own.FirstOrDefault(static line => line.Contains(":memory:", StringComparison.Ordinal));
        string? mount = MountOf(first is null ? " - cgroup2 " : ",memory");
        Assert.SkipWhen(own.Length == 0 || mount is null, "this machine has no memory controller that can be seen");
        string below = (first ?? own[^1]).Split(':', 3)[2].TrimEnd('/');
        try
        {
            return new SystemGroup(mount!, below, first is not null);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            Assert.Skip("this process may not make a memory group: " + error.Message);
            throw;
        }
    }

    internal void Limit(long bytes) => File.WriteAllText(
        System.IO.Path.Join(Path, _isFirst ? "memory.limit_in_bytes" : "memory.max"),
        bytes.ToString(CultureInfo.InvariantCulture));

    public void Dispose() => Directory.Delete(Path);

    private static string? MountOf(string sign) => !OperatingSystem.IsLinux() ? null : File
        .ReadLines("/proc/self/mountinfo")
        .FirstOrDefault(line => line.Contains(sign, StringComparison.Ordinal))?.Split(' ')[4];
}
