// Reading the memory group of the operating system: recorded files of both versions, a real group of this machine whose
// limit is changed under the reader, and a child process in such a group whose collector gets the limit.
using System.Globalization;

namespace MemoryGroups.Tests;

public sealed class ContainerLimitTests : IDisposable
{
    private const string FirstMount =
        "35 31 0:32 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory";

    private const string SecondMount = "41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:4 master:2 - cgroup2 cgroup2 rw";

    private readonly string _folder = Directory.CreateTempSubdirectory("memorygroups").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Second_version_takes_the_smallest_limit_and_leaves_out_cached_files()
    {
        Write("proc/self/cgroup", "1:name=systemd:/elsewhere\n0::/pod/own\n");
        Write("proc/self/mountinfo", SecondMount + "\n");
        Group("sys/fs/cgroup", null, 0);
        Group("sys/fs/cgroup/pod", "500000", 300);
        Group("sys/fs/cgroup/pod/own", "700000", 9000, "anon 1\nactive_file 2000\ninactive_file 3000\nfile 6000\n");

        ContainerLimit found = ContainerLimit.Find(_folder)!;

        Assert.Equal(500_000, found.ReadLimit());
        Assert.Equal(4000, found.ReadMeasured());
        Write("sys/fs/cgroup/pod/memory.max", "900000\n");
        Assert.Equal(700_000, found.ReadLimit());
        Write("sys/fs/cgroup/pod/memory.max", "max\n");
        Assert.Equal(700_000, found.ReadLimit());
        Write("sys/fs/cgroup/pod/own/memory.max", "max\n");
        Assert.Null(found.ReadLimit());
    }

    [Fact]
    public void First_version_counts_where_its_controller_is_mounted()
    {
        Write("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/own\n0::/other\n");
        Write("proc/self/mountinfo", SecondMount + "\n" + FirstMount + "\n");
        Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        Write("sys/fs/cgroup/memory/own/memory.limit_in_bytes", "800000\n");
        Write("sys/fs/cgroup/memory/own/memory.usage_in_bytes", "9000\n");
        Group("sys/fs/cgroup/other", "700", 5);
        Write(
            "sys/fs/cgroup/memory/own/memory.stat",
            "active_file 1\ninactive_file 1\ntotal_inactive_file 4000\ntotal_active_file 500\n");

        ContainerLimit found = ContainerLimit.Find(_folder)!;

        Assert.Equal(800_000, found.ReadLimit());
        Assert.Equal(4500, found.ReadMeasured());
        Write("sys/fs/cgroup/memory/own/memory.limit_in_bytes", "9223372036854771712\n");
        Assert.Null(found.ReadLimit());
    }

    [Theory]
    [InlineData("/host/slice/container", "/host/slice/container")]
    [InlineData("/host/slice/container", "/host")]
    [InlineData("/..", "/")]
    public void Container_that_sees_its_own_group_as_the_top_is_found(string path, string root)
    {
        Write("proc/self/cgroup", $"0::{path}\n");
        Write("proc/self/mountinfo", $"41 31 0:38 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        Group("sys/fs/cgroup", "123456", 5, "");

        // Above the mount is nothing of ours.
        Group("sys/fs", "7", 5);

        ContainerLimit found = ContainerLimit.Find(_folder)!;

        Assert.Equal(123_456, found.ReadLimit());
        Assert.Equal(5, found.ReadMeasured());
    }

    [Fact]
    public void Group_below_what_is_mounted_is_found_by_the_rest_of_its_path()
    {
        Write("proc/self/cgroup", "0::/host/pod\n");
        Write("proc/self/mountinfo", "41 31 0:38 /host /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        Group("sys/fs/cgroup", "900000", 9, "");
        Group("sys/fs/cgroup/pod", "123456", 5, "");

        ContainerLimit found = ContainerLimit.Find(_folder)!;

        Assert.Equal(123_456, found.ReadLimit());
        Assert.Equal(5, found.ReadMeasured());
    }

    // As in a slice that hands down the CPU controller only.
    [Fact]
    public void Group_without_the_controller_is_counted_in_the_nearest_one_above()
    {
        Write("proc/self/cgroup", "0::/slice/pod/own\n");
        Write("proc/self/mountinfo", SecondMount + "\n");
        Group("sys/fs/cgroup/slice", "600000", 70);
        Group("sys/fs/cgroup/slice/pod", "700000", 9000, "active_file 2000\n");
        Group("sys/fs/cgroup/slice/pod/own", null, 0);

        ContainerLimit found = ContainerLimit.Find(_folder)!;

        Assert.Equal(600_000, found.ReadLimit());
        Assert.Equal(7000, found.ReadMeasured());
    }

    // The mounted part is another one than ours: cutting its length off our path would end up in a third group.
    [Fact]
    public void Group_beside_what_is_mounted_is_looked_for_at_the_top_of_the_mount()
    {
        Write("proc/self/cgroup", "0::/xyz/sub\n");
        Write("proc/self/mountinfo", "41 31 0:38 /abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        Group("sys/fs/cgroup", "123456", 5, "");
        Group("sys/fs/cgroup/sub", "900000", 9, "");

        ContainerLimit found = ContainerLimit.Find(_folder)!;

        Assert.Equal((123_456, 5), (found.ReadLimit(), found.ReadMeasured()));
    }

    [Fact]
    public void Line_that_ends_before_the_options_of_the_mount_is_passed_over()
    {
        Write("proc/self/cgroup", "0::/\n");
        Write("proc/self/mountinfo", "40 31 0:37 / /elsewhere rw - cgroup2 cgroup2\n" + SecondMount + "\n");
        Group("sys/fs/cgroup", "123456", 5, "");

        Assert.Equal(123_456, ContainerLimit.Find(_folder)!.ReadLimit());
    }

    [Theory]
    [InlineData("0::/\n", SecondMount)]
    [InlineData("3:cpu:/own\n", FirstMount)]
    [InlineData("0::/own\n", "rubbish")]
    [InlineData("0::/own\n", "")]
    [InlineData("rubbish\n", SecondMount)]
    public void Process_in_no_group_has_no_container(string groups, string mounts)
    {
        Assert.Null(ContainerLimit.Find(_folder));
        Write("proc/self/cgroup", groups);
        Write("proc/self/mountinfo", mounts + "\n");
        Directory.CreateDirectory(Path.Join(_folder, "sys/fs/cgroup"));

        Assert.Null(ContainerLimit.Find(_folder));
    }

    [Fact]
    public void File_that_goes_or_holds_rubbish_later_is_an_error_and_not_no_limit()
    {
        Write("proc/self/cgroup", "0::/own\n");
        Write("proc/self/mountinfo", SecondMount + "\n");
        Group("sys/fs/cgroup/own", "500000", 300, "");
        ContainerLimit found = ContainerLimit.Find(_folder)!;

        Write("sys/fs/cgroup/own/memory.max", "\n");
        var error = Assert.Throws<IOException>(() => found.ReadLimit());
        Assert.Contains("'' where a number should be", error.Message, StringComparison.Ordinal);
        File.Delete(Path.Join(_folder, "sys/fs/cgroup/own/memory.max"));
        Assert.ThrowsAny<IOException>(() => found.ReadLimit());
    }

    [Fact]
    public void Real_group_of_this_machine_is_read_live()
    {
        using SystemGroup group = SystemGroup.MakeOrSkip();
        Directory.CreateSymbolicLink(Path.Join(_folder, "sys"), "/sys");
        Write("proc/self/cgroup", group.Entry);
        Write("proc/self/mountinfo", File.ReadAllText("/proc/self/mountinfo"));
        group.Limit(64 << 20);

        ContainerLimit found = ContainerLimit.Find(_folder)!;

        Assert.Equal(64 << 20, found.ReadLimit());
        Assert.InRange(found.ReadMeasured(), 0, 64 << 20);
        group.Limit(32 << 20);
        Assert.Equal(32 << 20, found.ReadLimit());
    }

    [Fact]
    public async Task Child_in_a_limited_group_follows_it_and_tells_its_collector()
    {
        using SystemGroup group = SystemGroup.MakeOrSkip();
        group.Limit(512 << 20);

        string said = await ChildProcess.RunAsync(nameof(ChildProcess.FollowContainer), group.Path);

        // Capacity, the root's note of the heap limit, and what the collector itself says is available.
        string expected = ((512 << 20) / 16 * 15).ToString(CultureInfo.InvariantCulture);
        Assert.Equal($"{expected} {expected} {expected} counted", said);
    }

    private void Group(string path, string? limit, long usage, string stat = "")
    {
        if (limit is not null)
        {
            Write(path + "/memory.max", limit + "\n");
            Write(path + "/memory.current", usage.ToString(CultureInfo.InvariantCulture) + "\n");
        }

        Write(path + "/memory.stat", stat);
    }

    private void Write(string path, string text)
    {
        string full = Path.Join(_folder, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        File.WriteAllText(full, text);
    }
}
