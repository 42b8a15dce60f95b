// Reports: complete, bounded, readable, and the same after a trip through JSON.
using System.Text.Json;

namespace MemoryGroups.Tests;

public sealed class OomReportTests
{
    private const StringComparison Exact = StringComparison.Ordinal;

    // The streams hand over on the thread pool: a test that would hang fails instead.
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(30);

    [Fact]
    public void Report_says_who_asked_who_refused_what_was_tried_who_died_and_why()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        using IDisposable registered = hog.Group.AddReclaimer(new ScriptedReclaimer("cache", static _ => 0));
        world.Advance(TimeSpan.FromSeconds(10));

        world.Charge(asker, 200, ChargeFlags.HighPriority);

        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(
            ("root/tenant/asker", 200L, ChargeFlags.HighPriority, "root/tenant", 1000L, 1000L),
            (report.AskerPath, report.RequestedBytes, report.Flags, report.RefusingGroup, report.LimitBytes,
                report.UsageBytes));
        Assert.Equal(
            ("root/tenant/hog", "root/tenant", 900L, 950L, 2, 1L),
            (report.VictimPath, report.VictimGroup, report.VictimUsageBytes, report.VictimScore, report.Candidates,
                report.Number));
        Assert.Equal(world.Time.GetUtcNow(), report.Time);
        Assert.Equal(["root/tenant/hog"], report.Killed);
        Assert.Equal(["cache"], report.Tried.Select(static step => step.What).Distinct());
        Assert.Equal(new OomReportGroup("root/tenant", 1000, 0, 1000, 5), Assert.Single(report.Groups));
        Assert.Equal(new OomReportScore("root/tenant/hog", 900, 50, 950), report.Scores[0]);
        Assert.Contains("limit", report.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Report_is_the_same_after_a_trip_through_json()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        world.Charge(asker, 200, ChargeFlags.HighPriority | ChargeFlags.NoReserve);
        hog.Dispose();
        OomReport report = Assert.Single(world.Root.Reports.Latest());

        string json = report.ToJson();
        OomReport again = OomReport.FromJson(json);

        Assert.Equal(json, again.ToJson());
        Assert.Equal(report.ToString(), again.ToString());
        Assert.Equal((report.Flags, report.Outcome, report.Time), (again.Flags, again.Outcome, again.Time));
        Assert.Equal(report.Scores, again.Scores);
        using JsonDocument document = JsonDocument.Parse(json);
        Assert.Equal("root/tenant/hog", document.RootElement.GetProperty("victim_path").GetString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"number\": \"one\"}")]
    [InlineData("OOM report #1")]
    public void Text_that_is_no_report_is_refused_with_one_clear_error(string text)
    {
        var error = Assert.Throws<FormatException>(() => OomReport.FromJson(text));

        Assert.Contains("OOM report", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_is_readable_and_marks_the_victim()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        world.Charge(asker, 200);
        hog.Dispose();
        string text = world.Root.Reports.Latest()[0].ToString();

        string[] lines = text.Split('\n');

        Assert.StartsWith("OOM report #1, 2026-01-01", lines[0], StringComparison.Ordinal);
        Assert.Contains(lines, static line => line.StartsWith("  asked     root/tenant/asker wanted 200 (", Exact));
        Assert.Contains(lines, static line => line.StartsWith("  refused   root/tenant: 1000 of 1000 in use", Exact));
        Assert.Contains(lines, static line => line.StartsWith("  killed    root/tenant/hog: 900, score 950", Exact));
        Assert.Contains(lines, static line => line.StartsWith("  outcome   it exited after 0.0 ms", Exact));
        Assert.Equal(
            ["root/tenant/hog"],
            lines.Where(static line => line.EndsWith("<- killed", Exact)).Select(static line => line.Split(' ',
                StringSplitOptions.RemoveEmptyEntries)[0]));
    }

    [Fact]
    public void Report_of_a_wide_tree_is_bounded_and_holds_the_largest()
    {
        using var world = new World(configure: static options => options with { CostlyChargeBytes = long.MaxValue });
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = 500_500, KillWholeGroup = true });
        for (int i = 1; i <= 1000; i++)
        {
            tenant.CreateGroup($"group{i:D4}").CreateMember("member").Charge(i);
        }

        Pending asking = world.Charge(tenant.CreateMember("asker"), 100);

        asking.Failed<OomKilledException>();
        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(1000, report.Candidates);
        Assert.Equal("root/tenant/group1000/member", report.Scores[0].Path);
        Assert.Equal(report.Scores.OrderByDescending(static one => one.Score), report.Scores);
        Assert.Contains(report.Groups, static group => group.Path == "root/tenant/group1000");
        Assert.Contains(report.Groups, static group => group.Path == "root/tenant");
        Assert.DoesNotContain(report.Groups, static group => group.Path == "root/tenant/group0001");
        string text = report.ToString();
        Assert.InRange(text.Count(static c => c == '\n'), 10, 60);
        Assert.InRange(text.Length, 500, 8000);
        Assert.Contains(" and 990 more", text, StringComparison.Ordinal);
    }

    // All groups of the chain use the same, and one has to give way: never the one whose OOM it is.
    [Fact]
    public void Report_of_a_deep_tree_keeps_the_group_that_refused()
    {
        using var world = new World();
        MemoryGroup top = world.Root.CreateGroup("top", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup at = top;
        for (int depth = 0; depth < 20; depth++)
        {
            at = at.CreateGroup("g");
        }

        Assert.True(at.CreateMember("hog").TryCharge(1000));
        world.Charge(at.CreateMember("asker"), 100);

        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal("root/top", report.RefusingGroup);
        Assert.Contains(report.Groups, static group => group.Path == "root/top");
    }

    [Fact]
    public void Request_that_tried_for_long_leaves_a_bounded_list_of_what_it_tried()
    {
        using var world = new World(1000);
        MemoryMember hog = world.Root.CreateMember("hog");
        hog.Charge(1000);
        using IDisposable registered = world.Root.AddReclaimer(
            new ScriptedReclaimer("boasts", static request => request.Bytes));
        using IDisposable chain = world.Root.AddLastResortReclaimer(
            new ScriptedReclaimer("boasts too", static request => request.Bytes));
        for (int i = 0; i < 40; i++)
        {
            world.Root.AddLastResortReclaimer(new ScriptedReclaimer($"does nothing {i}", static _ => 0));
        }

        world.Charge(world.Root.CreateMember("asker"), 100);

        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(32, report.Tried.Count);
        ReclaimStep lie = Assert.Single(report.Tried, static step => step.What == "boasts");
        Assert.True(lie.Times > 1, "it was asked again and again");
        Assert.Contains($"({lie.Times} times)", report.ToString(), StringComparison.Ordinal);
        Assert.InRange(report.ToString().Count(static c => c == '\n'), 10, 60);
    }

    [Fact]
    public void Outcome_changes_from_in_flight_to_what_happened_in_the_ring_and_on_the_member()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        world.Charge(asker, 200);
        OomReport before = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal((OomOutcome.InFlight, 0.0), (before.Outcome, before.TookMilliseconds));
        Assert.Contains("on its way out", before.ToString(), StringComparison.Ordinal);

        world.Advance(TimeSpan.FromMilliseconds(1500));
        hog.Dispose();

        OomReport after = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal((OomOutcome.Exited, 1500.0), (after.Outcome, after.TookMilliseconds));
        Assert.Equal(after, hog.KillReport);
        Assert.Equal(before, after with { Outcome = OomOutcome.InFlight, TookMilliseconds = 0 });
    }

    [Fact]
    public void Latest_gives_the_newest_first_and_keeps_fifty()
    {
        using var world = new World();
        for (int i = 0; i < OomReports.Capacity + 5; i++)
        {
            KillOne(world);
        }

        OomReports reports = world.Root.Reports;

        Assert.Equal(OomReports.Capacity + 5, reports.Count);
        Assert.Equal(OomReports.Capacity, reports.Latest(1000).Count);
        Assert.Equal([55L, 54L], reports.Latest(2).Select(static report => report.Number));
        Assert.Equal(6, reports.Latest()[^1].Number);
        Assert.Empty(reports.Latest(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => reports.Latest(-1));
    }

    [Fact]
    public async Task Watcher_gets_every_report_from_then_on_and_ends_with_its_token()
    {
        using var world = new World();
        KillOne(world);
        using var cancel = new CancellationTokenSource();
        await using IAsyncEnumerator<OomReport> watching =
            world.Root.Reports.WatchAsync(cancel.Token).GetAsyncEnumerator(CancellationToken.None);
        Task<bool> next = watching.MoveNextAsync().AsTask();
        Assert.False(next.IsCompleted);

        KillOne(world, "one");
        KillOne(world, "two");

        Assert.True(await next.WaitAsync(Watchdog));
        Assert.Equal("root/one", watching.Current.VictimPath);
        Assert.True(await watching.MoveNextAsync().AsTask().WaitAsync(Watchdog));
        Assert.Equal("root/two", watching.Current.VictimPath);
        Task<bool> last = watching.MoveNextAsync().AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => last.WaitAsync(Watchdog));
    }

    [Fact]
    public async Task Slow_watcher_loses_the_oldest_and_holds_up_nobody()
    {
        using var world = new World();
        await using IAsyncEnumerator<OomReport> watching = world.Root.Reports.WatchAsync().GetAsyncEnumerator();
        Task<bool> first = watching.MoveNextAsync().AsTask();
        KillOne(world);
        Assert.True(await first.WaitAsync(Watchdog));
        Assert.Equal(1, watching.Current.Number);

        for (int i = 0; i < OomReports.Capacity + 11; i++)
        {
            KillOne(world);
        }

        Assert.True(await watching.MoveNextAsync().AsTask().WaitAsync(Watchdog));
        Assert.Equal(13, watching.Current.Number);
    }

    private static void KillOne(World world, string name = "member")
    {
        world.Root.CreateMember(name).Charge(1);
        Assert.NotNull(world.Await(world.Root.OomKiller.KillNowAsync()));
    }

    [Fact]
    public void Usage_in_the_report_is_that_of_the_decision_whatever_is_returned_during_the_kill()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        world.Once(ProbePoint.KillSent, () => asker.Uncharge(100));

        world.Charge(asker, 200);

        Assert.True(hog.IsKilled);
        Assert.Equal(1000, Assert.Single(world.Root.Reports.Latest()).UsageBytes);
    }

    [Fact]
    public void Step_that_was_tried_several_times_tells_the_most_that_was_asked_and_all_that_came()
    {
        using var world = new World();
        var request = new OomRequest(world.Root, null, 10, ChargeFlags.None, TimeSpan.FromSeconds(1));

        foreach (long asked in (long[])[10, 30, 20])
        {
            request.Note(new ReclaimStep("cache", asked, 5, "done"));
        }

        ReclaimStep step = Assert.Single(request.Tried);
        Assert.Equal((30, 15, 3), (step.AskedBytes, step.GaveBytes, step.Times));
    }

    [Fact]
    public void Report_names_the_twelve_largest_groups()
    {
        using var world = new World();
        (MemoryMember hog, MemoryMember asker) = Full(world);
        asker.Uncharge(100);
        for (int i = 0; i < 13; i++)
        {
            asker.Group.CreateGroup($"g{i:00}").CreateMember("m").Charge(1 + i);
        }

        world.Charge(asker, 200);

        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(12, report.Groups.Count);
        Assert.Equal(
            ["root/tenant", .. Enumerable.Range(2, 11).Select(static i => $"root/tenant/g{i:00}")],
            report.Groups.Select(static group => group.Path));
        Assert.True(hog.IsKilled);
    }

    private static (MemoryMember Hog, MemoryMember Asker) Full(World world)
    {
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000, Low = 5 });
        MemoryMember hog = tenant.CreateMember("hog", new MemoryMemberOptions { OomScoreAdjustment = 50 });
        MemoryMember asker = tenant.CreateMember("asker");
        hog.Charge(900);
        asker.Charge(100);
        return (hog, asker);
    }
}
