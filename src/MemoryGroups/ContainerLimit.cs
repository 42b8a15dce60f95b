// The memory group of the operating system that this process is in: what it limits, and what it says is used.
//
// Both versions are read: where the memory controller is mounted as version 1, that one counts, else the unified
// hierarchy. A container often sees its own group as the top of the mount, while its own entry still has the host's
// path, or one that leads out of what it sees: what is not below the mount is looked for at its top. The limit is the
// smallest one from there down to the own group; the usage is that of the group in which the kernel counts this
// process: its own, or the nearest above that has the controller.
//
// Must stay true: only files are read, nothing is written; where they cannot be read at the start there is no
// container. Later a file that has gone is an IOException: the reading failed, and is not taken for "no limit".
using System.Globalization;

namespace MemoryGroups;

internal sealed class ContainerLimit
{
    // Version 1 says no limit with the largest number of whole pages.
    private const long NoLimit = 1L << 62;

    private readonly string[] _levels;
    private readonly bool _isFirst;

    private ContainerLimit(string[] levels, bool isFirst)
    {
        _levels = levels;
        _isFirst = isFirst;
    }

    private readonly record struct Mount(string Root, string Point, string Kind, string Options);

    private string LimitFile => _isFirst ? "memory.limit_in_bytes" : "memory.max";

    private string UsageFile => _isFirst ? "memory.usage_in_bytes" : "memory.current";

    // Null when this process is in no such group. The folder is where the files of the system begin.
    internal static ContainerLimit? Find(string folder)
    {
        try
        {
            string self = Path.Join(folder, "proc", "self");
            string[] groups = File.ReadAllLines(Path.Join(self, "cgroup"));
            Mount[] mounts = [.. File.ReadLines(Path.Join(self, "mountinfo")).Select(ParseMount)];
            return FindFirst(folder, groups, mounts) ?? FindSecond(folder, groups, mounts);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    // Null when nothing limits it.
    internal long? ReadLimit()
    {
        long? smallest = null;
        foreach (string level in _levels)
        {
            string text = SmallFile.Read(Path.Join(level, LimitFile)).Trim();
            if (text != "max" && Parse(text) is var limit && limit < NoLimit && !(limit >= smallest))
            {
                smallest = limit;
            }
        }

        return smallest;
    }

    // Used, without the cached files that the kernel drops before it kills.
    internal long ReadMeasured()
    {
        string own = _levels[0];
        long usage = Parse(SmallFile.Read(Path.Join(own, UsageFile)));
        string prefix = _isFirst ? "total_" : string.Empty;
        foreach (ReadOnlySpan<char> line in SmallFile.Read(Path.Join(own, "memory.stat")).AsSpan().EnumerateLines())
        {
            int space = line.IndexOf(' ');
            if (space > 0 && line.StartsWith(prefix)
                && line[prefix.Length..space] is "active_file" or "inactive_file")
            {
                usage -= Parse(line[space..]);
            }
        }

        return Math.Max(0, usage);
    }

    private static ContainerLimit? FindFirst(string folder, string[] groups, Mount[] mounts)
    {
        string? path = groups.Select(static line => line.Split(':', 3))
            .Where(static parts => parts.Length == 3 && parts[1].Split(',').Contains("memory"))
            .Select(static parts => parts[2]).FirstOrDefault();
        return At(folder, path, mounts.FirstOrDefault(
            static mount => mount.Kind == "cgroup" && mount.Options.Split(',').Contains("memory")), isFirst: true);
    }

    private static ContainerLimit? FindSecond(string folder, string[] groups, Mount[] mounts)
    {
        string? path = groups.Where(static line => line.StartsWith("0::", StringComparison.Ordinal))
            .Select(static line => line[3..]).FirstOrDefault();
        return At(folder, path, mounts.FirstOrDefault(static mount => mount.Kind == "cgroup2"), isFirst: false);
    }

    private static ContainerLimit? At(string folder, string? path, Mount mount, bool isFirst)
    {
        if (path is null || mount.Point is null)
        {
            return null;
        }

        string top = Path.Join(folder, mount.Point);
        bool isBelow = mount.Root != "/" && (path + "/").StartsWith(mount.Root + "/", StringComparison.Ordinal);
        string inside = (isBelow ? path[mount.Root.Length..] : path).Trim('/');
        string own = Path.Join(top, inside);
        if (inside.Split('/').Contains("..") || !Directory.Exists(own))
        {
            (own, inside) = (top, string.Empty);
        }

        // From the own group up to the top. The very top of the hierarchy has no such files in version 2.
        var levels = new List<string>();
        int depth = inside.Length == 0 ? 0 : inside.Count(static one => one == '/') + 1;
        string? at = own;
        for (; depth >= 0 && at is not null; depth--, at = Path.GetDirectoryName(at))
        {
            levels.Add(at);
        }

        // Where the controller is not handed down to the own group, its memory is counted in the nearest group above.
        var found = new ContainerLimit(levels.ToArray(), isFirst);
        string[] usable = [.. levels.Where(level => File.Exists(Path.Join(level, found.LimitFile)))];
        return usable.Length > 0 && File.Exists(Path.Join(usable[0], found.UsageFile))
            ? new ContainerLimit(usable, isFirst)
            : null;
    }

    // The number of optional fields before the dash varies.
    private static Mount ParseMount(string line)
    {
        string[] fields = line.Split(' ');
        int dash = Array.IndexOf(fields, "-");
        return fields.Length > 5 && dash > 5 && fields.Length > dash + 3
            ? new Mount(fields[3], fields[4], fields[dash + 1], fields[dash + 3])
            : default;
    }

    private static long Parse(ReadOnlySpan<char> text) =>
        long.TryParse(text, NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite,
            CultureInfo.InvariantCulture, out long bytes)
            ? bytes
            : throw new IOException($"A file of the process's memory group holds '{text}' where a number should be.");
}
