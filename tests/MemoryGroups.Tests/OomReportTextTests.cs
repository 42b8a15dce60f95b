// The text of a report, line by line: what an operator reads at night.
namespace MemoryGroups.Tests;

public sealed class OomReportTextTests
{
    private static readonly OomReport Plain = new()
    {
        Number = 7,
        Time = new DateTimeOffset(2026, 2, 3, 4, 5, 6, 789, TimeSpan.FromHours(1)),
        AskerPath = "root/t/asker",
        RequestedBytes = 2048,
        Flags = ChargeFlags.HighPriority,
        WaitedMilliseconds = 12.34,
        RefusingGroup = "root/t",
        LimitBytes = 10 << 20,
        UsageBytes = 9 << 20,
        VictimPath = "root/t/hog",
        VictimGroup = "root/t",
        VictimUsageBytes = 8 << 20,
        VictimScore = 7 << 20,
        Reason = "the limit; the highest score",
        Killed = ["root/t/hog"],
        Tried = [],
        Groups = [new OomReportGroup("root/t", 9 << 20, 1024, long.MaxValue, 0)],
        Scores =
        [
            new OomReportScore("root/t/hog", 8 << 20, -5, 7 << 20),
            new OomReportScore("root/t/other", 100, 0, 100),
        ],
        Candidates = 9,
    };

    [Fact]
    public void Report_is_written_line_by_line()
    {
        Assert.Equal(
            """
            OOM report #7, 2026-02-03 04:05:06.789 +01:00
              asked     root/t/asker wanted 2.0K (flags: HighPriority), tried for 12.3 ms
              refused   root/t: 9.0M of 10.0M in use
              killed    root/t/hog: 8.0M, score 7.0M
              because   the limit; the highest score
              outcome   the victim is on its way out
              tried     nothing there to reclaim
              groups                                  usage      stock      limit        low
                root/t                                 9.0M       1.0K        max          0
              scores    the highest 2 of 9
                root/t/hog                             8.0M     -5       7.0M  <- killed
                root/t/other                            100      0        100

            """,
            Plain.ToString());
    }

    [Fact]
    public void Kill_that_nobody_asked_for_in_a_group_without_a_limit_names_no_request_and_no_refusal()
    {
        OomReport report = Plain with { AskerPath = string.Empty, RequestedBytes = 0, LimitBytes = long.MaxValue };

        string[] lines = report.ToString().Split('\n');

        Assert.Equal("  asked     nobody in particular", lines[1]);
        Assert.Equal("  refused   nobody: root/t has no limit, 9.0M in use", lines[2]);
    }

    [Fact]
    public void Steps_that_were_tried_stand_below_each_other()
    {
        OomReport report = Plain with
        {
            AskerPath = string.Empty,
            Tried =
            [
                new ReclaimStep("cache", 4096, 1024, "gave some"),
                new ReclaimStep("spill", 10 << 20, 0, "timed out", 3),
            ],
        };

        string[] lines = report.ToString().Split('\n');

        Assert.Equal("  asked     nobody in particular wanted 2.0K (flags: HighPriority), tried for 12.3 ms", lines[1]);
        Assert.Equal(
            [
                "  tried     ",
                "    cache                          asked     4.0K  gave     1.0K  gave some",
                "    spill                          asked    10.0M  gave        0  timed out (3 times)",
            ],
            lines[6..9]);
    }

    [Theory]
    [InlineData(1, null)]
    [InlineData(2, "  and       m1")]
    [InlineData(11, "  and       m1, m2, m3, m4, m5, m6, m7, m8, m9, m10")]
    [InlineData(12, "  and       m1, m2, m3, m4, m5, m6, m7, m8, m9, m10 and 1 more")]
    [InlineData(30, "  and       m1, m2, m3, m4, m5, m6, m7, m8, m9, m10 and 19 more")]
    public void Others_who_were_killed_are_named_up_to_ten(int killed, string? line)
    {
        OomReport report = Plain with { Killed = [.. Enumerable.Range(0, killed).Select(static at => $"m{at}")] };

        string[] lines = report.ToString().Split('\n');

        Assert.Equal(line ?? "  because   the limit; the highest score", lines[4]);
    }

    [Theory]
    [InlineData(OomOutcome.Exited, "it exited after 1.5 ms")]
    [InlineData(OomOutcome.Reaped, "the reaper took 3.0K after 1.5 ms")]
    [InlineData(
        OomOutcome.NotReapable, "it did not exit and could not be reaped; the killer goes on without it after 1.5 ms")]
    [InlineData(OomOutcome.ReapStuck, "freeing its memory hangs; the killer goes on without it after 1.5 ms")]
    public void Outcome_is_told_in_words(OomOutcome outcome, string words)
    {
        OomReport report = Plain with { Outcome = outcome, ReapedBytes = 3072, TookMilliseconds = 1.5 };

        Assert.Equal("  outcome   " + words, report.ToString().Split('\n')[5]);
    }

    [Fact]
    public void Text_that_is_no_report_says_what_was_expected()
    {
        Assert.Equal(
            "An OOM report was expected, but the JSON text is 'null'.",
            Assert.Throws<FormatException>(static () => OomReport.FromJson("null")).Message);
        Assert.StartsWith(
            "The JSON text is not an OOM report: ",
            Assert.Throws<FormatException>(static () => OomReport.FromJson("[]")).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Scores_are_listed_from_the_highest_down_and_groups_by_their_path()
    {
        using var world = new World();
        MemoryGroup top = world.Root.CreateGroup("t", new MemoryGroupOptions { Max = 10_000 });
        foreach (int at in (int[])[3, 1, 2])
        {
            top.CreateGroup($"g{at}").CreateMember("m").Charge(1000 * at);
        }

        world.Charge(top.CreateMember("asker"), 5000);

        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal([3000, 2000, 1000], report.Scores.Select(static one => one.Score));
        Assert.Equal(["root/t", "root/t/g1", "root/t/g2", "root/t/g3"], report.Groups.Select(static one => one.Path));
        Assert.Equal([6000, 1000, 2000, 3000], report.Groups.Select(static one => one.UsageBytes));
        Assert.Equal(3, report.Candidates);
    }

    [Fact]
    public void Report_tells_the_usage_at_the_decision_though_the_victim_has_gone_since()
    {
        using var world = new World();
        MemoryGroup top = world.Root.CreateGroup("t", new MemoryGroupOptions { Max = 10_000 });
        MemoryMember hog = top.CreateGroup("g").CreateMember("hog");
        hog.Charge(9000);
        hog.Killed.Register(hog.Dispose);

        Assert.True(world.Charge(top.CreateMember("asker"), 5000).Granted);

        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal((9000, 9000), (report.UsageBytes, report.VictimUsageBytes));
        Assert.Equal([9000, 9000], report.Groups.Select(static one => one.UsageBytes));
        Assert.EndsWith("; the highest score (usage and adjustment)", report.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Members_that_share_their_memory_are_one_row_of_the_scores()
    {
        using var world = new World();
        MemoryGroup top = world.Root.CreateGroup("t", new MemoryGroupOptions { Max = 10_000 });
        top.CreateMember("hog").Charge(7000);
        MemoryMember one = top.CreateMember("one");
        one.Charge(1000);
        top.CreateMember("other", new MemoryMemberOptions { Space = one.Space }).Charge(500);
        top.CreateMember("alone").Charge(100);

        world.Charge(top.CreateMember("asker"), 5000);

        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(
            ["root/t/hog", "root/t/one", "root/t/alone"], report.Scores.Select(static score => score.Path));
        Assert.Equal((3, 1500), (report.Candidates, report.Scores[1].UsageBytes));
    }

    [Fact]
    public void Who_dies_with_the_victim_is_told_why()
    {
        using var world = new World();
        MemoryGroup top = world.Root.CreateGroup("t", new MemoryGroupOptions { Max = 10_000, KillWholeGroup = true });
        MemoryMember hog = top.CreateMember("hog");
        MemoryMember other = top.CreateMember("other");
        MemoryMember sharer = world.Root.CreateMember("sharer", new MemoryMemberOptions { Space = hog.Space });
        hog.Charge(9000);
        other.Charge(10);

        world.Charge(top.CreateMember("asker"), 5000);

        Assert.Equal("'root/t' is killed as a whole", other.KillReason);
        Assert.Equal("it shares the memory of root/t/hog", sharer.KillReason);
    }

    [Theory]
    [InlineData(false, "asked for by an administrator; ")]
    [InlineData(true, "the root's capacity was exhausted; ")]
    public void Reason_begins_with_what_the_kill_was_for(bool shortage, string begin)
    {
        using var world = new World(capacity: 1000);
        world.Root.CreateMember("hog").Charge(900);

        if (shortage)
        {
            world.Charge(world.Root.CreateMember("asker"), 500);
        }
        else
        {
            world.Await(world.Root.OomKiller.KillNowAsync());
        }

        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.StartsWith(begin, report.Reason, StringComparison.Ordinal);
    }
}
