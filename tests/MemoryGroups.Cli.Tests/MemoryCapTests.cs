// Where the cap is put, on recorded files, and how it is put around a command. The real thing runs in the end-to-end
// test.

namespace MemoryGroups.Cli.Tests;

public sealed class MemoryCapTests
{
    private const string Cgroups = "9:name=systemd:/\n4:memory:/work/job\n1:cpu:/\n0::/\n";

    [Fact]
    public void Own_group_is_found_below_the_mount()
    {
        using var folder = new TemporaryFolder();
        string group = MakeHost(folder, Cgroups, mountRoot: "/", "cgroup", "rw,memory", groupFolder: "work/job");

        Assert.Equal(group, new CgroupHost(folder.Path).FindV1());
    }

    [Fact]
    public void Own_group_is_found_where_a_container_mounts_a_part()
    {
        using var folder = new TemporaryFolder();
        string group = MakeHost(folder, Cgroups, mountRoot: "/work", "cgroup", "rw,memory", groupFolder: "job");

        Assert.Equal(group, new CgroupHost(folder.Path).FindV1());
    }

    [Theory]
    [InlineData("4:memory:/working/job\n", "/work", "rw,memory")]
    [InlineData("4:memory:/work/job\n", "/", "rw,cpu")]
    [InlineData("4:cpu:/work/job\n", "/", "rw,memory")]
    [InlineData("", "/", "rw,memory")]
    public void Group_outside_the_mount_or_of_another_controller_is_not_found(
        string cgroups, string root, string options)
    {
        using var folder = new TemporaryFolder();
        MakeHost(folder, cgroups, root, "cgroup", options, groupFolder: "job");

        Assert.Null(new CgroupHost(folder.Path).FindV1());
    }

    [Theory]
    [InlineData("cpu io memory pids", true)]
    [InlineData("cpu io pids", false)]
    public void Second_version_needs_the_memory_controller(string controllers, bool found)
    {
        using var folder = new TemporaryFolder();
        string group = MakeHost(folder, "0::/job\n", mountRoot: "/", "cgroup2", "rw", groupFolder: "job");
        File.WriteAllText(Path.Combine(group, "cgroup.controllers"), controllers + "\n");

        Assert.Equal(found ? group : null, new CgroupHost(folder.Path).FindV2());
    }

    [Fact]
    public void Without_a_cgroup_the_data_segment_is_limited()
    {
        using var folder = new TemporaryFolder();
        using MemoryCap cap = MemoryCap.Create(new CgroupHost(folder.Path), "test", 96L << 20, TimeProvider.System);

        Assert.Equal(MemoryCapKind.DataLimit, cap.Kind);
        Assert.Equal("96.0 MiB (RLIMIT_DATA)", cap.Description);
        Assert.Equal(["98304", "program", "an argument"], cap.Wrap(["program", "an argument"])[3..]);
        Assert.False(cap.HasKilled());
    }

    [Fact]
    public void Cgroup_folder_is_limited_and_removed()
    {
        using var folder = new TemporaryFolder();
        string group = MakeHost(folder, Cgroups, mountRoot: "/", "cgroup", "rw,memory", groupFolder: "work/job");
        string made;
        using (MemoryCap cap = MemoryCap.Create(new CgroupHost(folder.Path), "test", 96L << 20, TimeProvider.System))
        {
            made = Assert.Single(Directory.EnumerateDirectories(group));
            Assert.Equal(MemoryCapKind.CgroupV1, cap.Kind);
            Assert.Equal($"{96L << 20}", File.ReadAllText(Path.Combine(made, "memory.limit_in_bytes")));
            Assert.Equal(Path.Combine(made, "cgroup.procs"), cap.Wrap(["program"])[3]);

            // In a real cgroup this file vanishes with the folder; here it would keep the folder from being removed.
            File.Delete(Path.Combine(made, "memory.limit_in_bytes"));
        }

        Assert.False(Directory.Exists(made));
    }

    [Fact]
    public void Second_version_limits_memory_and_swap_and_knows_its_kills()
    {
        using var folder = new TemporaryFolder();
        string group = MakeHost(folder, "0::/job\n", mountRoot: "/", "cgroup2", "rw", groupFolder: "job");
        File.WriteAllText(Path.Combine(group, "cgroup.controllers"), "cpu memory\n");

        using MemoryCap cap = MemoryCap.Create(new CgroupHost(folder.Path), "test", 96L << 20, TimeProvider.System);
        string made = Assert.Single(Directory.EnumerateDirectories(group));

        Assert.Equal(MemoryCapKind.CgroupV2, cap.Kind);
        Assert.Equal($"{96L << 20}", File.ReadAllText(Path.Combine(made, "memory.max")));
        Assert.Equal("+memory", File.ReadAllText(Path.Combine(group, "cgroup.subtree_control")));
        File.WriteAllText(Path.Combine(made, "memory.events"), "low 0\nmax 5\noom 1\noom_kill 0\n");
        Assert.Equal("SIGKILL", PhaseProcess.DescribeExit(137, cap, string.Empty));
        File.WriteAllText(Path.Combine(made, "memory.events"), "low 0\nmax 5\noom 1\noom_kill 1\n");
        Assert.Equal(
            "SIGKILL by the kernel: out of memory in its cgroup", PhaseProcess.DescribeExit(137, cap, string.Empty));

        foreach (string file in Directory.EnumerateFiles(made)) File.Delete(file);
    }

    [Fact]
    public void Leftover_of_a_process_that_is_gone_is_removed_and_of_a_living_one_kept()
    {
        using var folder = new TemporaryFolder();
        string group = MakeHost(folder, Cgroups, mountRoot: "/", "cgroup", "rw,memory", groupFolder: "work/job");
        // Larger than any process id that Linux gives out.
        string dead = Path.Combine(group, "memgroups-demo-999999999-governed");
        string living = Path.Combine(group, $"memgroups-demo-{Environment.ProcessId}-other");
        Directory.CreateDirectory(dead);
        Directory.CreateDirectory(living);

        using MemoryCap cap = MemoryCap.Create(new CgroupHost(folder.Path), "test", 96L << 20, TimeProvider.System);

        Assert.False(Directory.Exists(dead));
        Assert.True(Directory.Exists(living));
        foreach (string file in Directory.EnumerateFiles(group, "memory.*", SearchOption.AllDirectories))
            File.Delete(file);
    }

    [Theory]
    [InlineData(0, "", "exit code 0")]
    [InlineData(2, "memgroups phase: no.", "exit code 2: memgroups phase: no.")]
    [InlineData(134, "Out of memory.", "SIGABRT: aborted: Out of memory.")]
    [InlineData(137, "", "SIGKILL")]
    [InlineData(139, "", "SIGSEGV: crashed")]
    [InlineData(143, "", "signal 15")]
    public void Exit_is_described_by_code_and_what_was_said(int code, string said, string expected)
    {
        using var folder = new TemporaryFolder();
        using MemoryCap cap = MemoryCap.Create(new CgroupHost(folder.Path), "test", 96L << 20, TimeProvider.System);

        Assert.Equal(expected, PhaseProcess.DescribeExit(code, cap, said));
    }

    // A proc folder with the two files, and a mount point beside it that holds the group. Returns the group's folder.
    private static string MakeHost(
        TemporaryFolder folder, string cgroups, string mountRoot, string type, string options, string groupFolder)
    {
        string point = folder.Combine("mount");
        string group = Directory.CreateDirectory(Path.Combine(point, groupFolder)).FullName;
        File.WriteAllText(folder.Combine("cgroup"), cgroups);
        File.WriteAllText(
            folder.Combine("mountinfo"),
            "23 1 254:1 / / rw,relatime - ext4 /dev/root rw\n"
            + $"35 31 0:32 {mountRoot} {point} rw,relatime shared:5 - {type} {type} {options}\n");
        return group;
    }
}
