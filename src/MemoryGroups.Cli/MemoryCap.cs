// The hard limit that the operating system puts on a phase, the same for both: a cgroup of its own where one can be
// made, else RLIMIT_DATA. The phase is started through a one-line shell script that puts itself under the cap and then
// becomes the phase, so every page of it counts from the first one on.
//
// What must stay true: groups are made only below this process's own memory cgroup, under a name that carries our
// process id, and are removed when the phase is over; what an earlier run that was killed left there is removed at the
// next start, if its process is gone. No cgroup that we did not make is ever written to, but for enabling the memory
// controller for our child group under cgroup v2.

using System.Globalization;

namespace MemoryGroups.Cli;

internal enum MemoryCapKind
{
    CgroupV1,
    CgroupV2,
    DataLimit,
}

internal sealed class MemoryCap : IDisposable
{
    private const string FolderPrefix = "memgroups-demo-";
    private const int RemoveTries = 40;

    private readonly string? _folder;
    private readonly TimeProvider _clock;

    private MemoryCap(MemoryCapKind kind, long bytes, string? folder, TimeProvider clock)
    {
        Kind = kind;
        Bytes = bytes;
        _folder = folder;
        _clock = clock;
    }

    internal MemoryCapKind Kind { get; }

    internal long Bytes { get; }

    internal string Description => Kind switch
    {
        MemoryCapKind.CgroupV1 => $"{Shown.Bytes(Bytes)} (cgroup v1)",
        MemoryCapKind.CgroupV2 => $"{Shown.Bytes(Bytes)} (cgroup v2)",
        _ => $"{Shown.Bytes(Bytes)} (RLIMIT_DATA)",
    };

    // The best cap that works here. `host` is where cgroups and process facts are read from.
    internal static MemoryCap Create(CgroupHost host, string phase, long bytes, TimeProvider clock)
    {
        string name = $"{FolderPrefix}{Environment.ProcessId}-{phase}";
        if (host.FindV1() is { } v1)
        {
            RemoveLeftovers(v1);
            if (TryMake(v1, name, folder => LimitV1(folder, bytes)) is { } folder)
                return new MemoryCap(MemoryCapKind.CgroupV1, bytes, folder, clock);
        }

        if (host.FindV2() is { } v2)
        {
            RemoveLeftovers(v2);
            if (TryMake(v2, name, folder => LimitV2(v2, folder, bytes)) is { } folder)
                return new MemoryCap(MemoryCapKind.CgroupV2, bytes, folder, clock);
        }

        return new MemoryCap(MemoryCapKind.DataLimit, bytes, folder: null, clock);
    }

    // The program and arguments that start `command` under this cap.
    internal string[] Wrap(IReadOnlyList<string> command)
    {
        (string script, string argument) = _folder is null
            ? ("ulimit -d \"$0\" && exec \"$@\"", (Bytes / 1024).ToString(CultureInfo.InvariantCulture))
            : ("echo $$ > \"$0\" && exec \"$@\"", Path.Combine(_folder, "cgroup.procs"));
        return ["/bin/sh", "-c", script, argument, .. command];
    }

    // Whether the kernel killed a process in the group because of the limit. RLIMIT_DATA refuses and never kills.
    internal bool HasKilled() => Kind switch
    {
        MemoryCapKind.CgroupV1 => ReadCount("memory.oom_control", "oom_kill ") > 0,
        MemoryCapKind.CgroupV2 => ReadCount("memory.events", "oom_kill ") > 0,
        _ => false,
    };

    // The kernel gives a group back a moment after its last process is gone: EBUSY until then.
    public void Dispose()
    {
        if (_folder is null) return;
        for (int n = 0; n < RemoveTries && !TryRemove(_folder); n++)
            Task.Delay(TimeSpan.FromMilliseconds(50), _clock).GetAwaiter().GetResult();
    }

    private static void LimitV1(string folder, long bytes)
    {
        File.WriteAllText(Path.Combine(folder, "memory.limit_in_bytes"), $"{bytes}");
        // Memory and swap together, so that the cap is one on machines with swap too. The file is not there without
        // swap accounting; the plain limit must then do.
        string withSwap = Path.Combine(folder, "memory.memsw.limit_in_bytes");
        if (File.Exists(withSwap)) File.WriteAllText(withSwap, $"{bytes}");
    }

    private static void LimitV2(string parent, string folder, long bytes)
    {
        // Refused by the kernel while processes live in the parent (and it is not the root): then there is no cgroup
        // for us.
        if (!File.Exists(Path.Combine(folder, "memory.max")))
            File.WriteAllText(Path.Combine(parent, "cgroup.subtree_control"), "+memory");
        File.WriteAllText(Path.Combine(folder, "memory.max"), $"{bytes}");
        string swap = Path.Combine(folder, "memory.swap.max");
        if (File.Exists(swap)) File.WriteAllText(swap, "0");
    }

    private static string? TryMake(string parent, string name, Action<string> limit)
    {
        string folder = Path.Combine(parent, name);
        try
        {
            Directory.CreateDirectory(folder);
            limit(folder);
            return folder;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            TryRemove(folder);
            return null;
        }
    }

    private static void RemoveLeftovers(string parent)
    {
        foreach (string folder in Directory.EnumerateDirectories(parent, FolderPrefix + "*").ToList())
        {
            string id = Path.GetFileName(folder)[FolderPrefix.Length..].Split('-')[0];
            if (!Directory.Exists($"/proc/{id}")) TryRemove(folder);
        }
    }

    // Not recursive: a cgroup's files go away with it, and they cannot be deleted one by one.
    private static bool TryRemove(string folder)
    {
        try
        {
            Directory.Delete(folder);
            return true;
        }
        catch (DirectoryNotFoundException)
        {
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private long ReadCount(string file, string key)
    {
        try
        {
            string? line = File.ReadLines(Path.Combine(_folder!, file))
                .FirstOrDefault(l => l.StartsWith(key, StringComparison.Ordinal));
            return line is not null && long.TryParse(line.AsSpan(key.Length), out long count) ? count : 0;
        }
        catch (IOException)
        {
            return 0;
        }
    }
}
