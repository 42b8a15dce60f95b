// Where this process's own memory cgroup is in the file system, for v1 and v2: /proc/self/cgroup names the group within
// its hierarchy, /proc/self/mountinfo says where the hierarchy (or, in a container, only a part of it) is mounted.
//
// What must stay true: a path is returned only if it is a folder below the mount point. Anything unexpected in the two
// files means "not here" and never an exception; the caller has another way.

namespace MemoryGroups.Cli;

internal sealed class CgroupHost
{
    private readonly string _procFolder;

    // Another folder than /proc/self holds recorded files in tests.
    internal CgroupHost(string procFolder = "/proc/self") => _procFolder = procFolder;

    internal string? FindV1() => Find(
        groups => groups.Select(l => l.Split(':', 3))
            .FirstOrDefault(parts => parts.Length == 3 && parts[1].Split(',').Contains("memory"))?[2],
        mount => mount.Type == "cgroup" && mount.SuperOptions.Split(',').Contains("memory"));

    // Only where the memory controller can be handed to a child group.
    internal string? FindV2()
    {
        string? own = Find(
            groups => groups.FirstOrDefault(l => l.StartsWith("0::", StringComparison.Ordinal))?[3..],
            mount => mount.Type == "cgroup2");
        if (own is null) return null;

        string[] controllers = ReadLines(Path.Combine(own, "cgroup.controllers"));
        return controllers.Any(l => l.Split(' ').Contains("memory")) ? own : null;
    }

    private string? Find(Func<string[], string?> chooseGroup, Func<Mount, bool> chooseMount)
    {
        if (chooseGroup(ReadLines(Path.Combine(_procFolder, "cgroup"))) is not { } group) return null;

        foreach (string line in ReadLines(Path.Combine(_procFolder, "mountinfo")))
        {
            if (Mount.TryParse(line) is not { } mount || !chooseMount(mount)) continue;
            // The mount shows the hierarchy from mount.Root down; a group outside of that cannot be reached through it.
            string root = mount.Root.TrimEnd('/');
            if (group != root && !group.StartsWith(root + "/", StringComparison.Ordinal)) continue;
            string folder = Path.Join(mount.Point, group[root.Length..]).TrimEnd('/');
            if (Directory.Exists(folder)) return folder;
        }

        return null;
    }

    private static string[] ReadLines(string file)
    {
        try
        {
            return File.Exists(file) ? File.ReadAllLines(file) : [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    // One line of mountinfo: id parent major:minor root point options... - type source superoptions (proc(5)).
    private sealed record Mount(string Root, string Point, string Type, string SuperOptions)
    {
        internal static Mount? TryParse(string line)
        {
            string[] halves = line.Split(" - ", 2);
            if (halves.Length != 2) return null;
            string[] left = halves[0].Split(' ');
            string[] right = halves[1].Split(' ');
            return left.Length >= 6 && right.Length >= 3 ? new Mount(left[3], left[4], right[0], right[2]) : null;
        }
    }
}
