// The score as it is exported, the table that the killer would use, and the member that is marked as the origin.
namespace MemoryGroups.Tests;

public sealed class OomScoreTests
{
    private const long Page = 4096;

    // The kernel rounds a thousandth of the limit down to a page, we to a byte.
    [Theory]
    [InlineData(10010, 0, 10010)]
    [InlineData(8000, 50, 10550)]
    [InlineData(8000, -200, -2200)]
    [InlineData(500, -999, -50449)]
    [Requirement("T45")]
    [Requirement("M24")]
    public void Score_in_bytes_is_the_kernels_in_pages_but_for_a_page_a_point(long pages, int adjustment, long score)
    {
        using var world = new World(51200 * Page);
        MemoryMember member = Filled(world.Root, "member", pages * Page, adjustment);

        OomCandidate row = Assert.Single(world.Root.GetOomScores());

        Assert.Equal(member, row.Member);
        Assert.Equal((pages * Page) + (adjustment * (51200 * Page / 1000)), row.Score);
        Assert.InRange(row.Score - (score * Page), -Page * Math.Abs(adjustment), Page * Math.Abs(adjustment));
    }

    [Fact]
    [Requirement("T45")]
    [Requirement("M24")]
    public void Table_is_in_the_order_of_death_and_says_why()
    {
        using var world = new World(51200 * Page);
        (long Pages, int Adjustment)[] rows = [(10010, 0), (8000, 50), (8000, -200), (500, -999), (700, 0), (700, 0)];
        MemoryMember[] members =
        [
            .. rows.Select((row, at) => Filled(world.Root, $"m{at}", row.Pages * Page, row.Adjustment)),
        ];
        Filled(world.Root, "immune", 20_000 * Page / 2, MemoryMember.NeverKill);
        world.Root.CreateMember("empty");
        world.Root.CreateMember(
            "sharer", new MemoryMemberOptions { Space = members[0].Space, OomScoreAdjustment = -9 });

        IReadOnlyList<OomCandidate> table = world.Root.GetOomScores();

        Assert.Equal(
            [members[1], members[0], members[5], members[4], members[2], members[3]],
            table.Select(static row => row.Member));
        Assert.Equal("usage, adjusted by 50 thousandths", table[0].Reason);
        Assert.Equal("usage", table[1].Reason);
        Assert.Equal(table[0].Score, world.Await(world.Root.OomKiller.KillNowAsync())!.VictimScore);
        Assert.True(members[1].IsKilled);
    }

    // Whatever the scores are, the first of the table is who dies.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [Requirement("M24")]
    [Requirement("M26")]
    public void First_of_the_table_is_the_victim_and_nobody_related_to_it(int seed)
    {
        var random = new Random(seed);
        using var world = new World(10_000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 4000 });
        MemoryGroup[] groups = [tenant, tenant.CreateGroup("a"), tenant.CreateGroup("b")];
        var members = new List<MemoryMember>();
        for (int i = 0; i < 30; i++)
        {
            int adjustment = random.Next(3) == 0 ? 0 : random.Next(-999, 1001);
            members.Add(Filled(groups[random.Next(3)], $"m{i}", 1 + random.Next(60), adjustment));
        }

        while (tenant.GetOomScores() is [var first, ..])
        {
            Pending asking = world.Charge(tenant.CreateMember("asker"), 4000 - tenant.Usage + 1);
            Assert.Equal([first.Member], members.Where(static one => one.IsKilled && !one.IsExited));
            first.Member.Dispose();
            world.Run();
            Assert.True(asking.Granted, $"seed {seed}");
            tenant.Members.Where(static one => one.Name == "asker").ToList().ForEach(static one => one.Dispose());
        }

        Assert.All(members, one => Assert.True(one.IsExited, $"seed {seed}: {one.Path} was never chosen"));
    }

    [Theory]
    [InlineData(0, 1000, 1, 1334)]
    [InlineData(1, 0, 1000, 667)]
    [InlineData(500, 0, 1000, 1000)]
    [InlineData(1000, 0, 1000, 1333)]
    [InlineData(1000, 1000, 1000, 2000)]
    [InlineData(1000, -500, 1000, 1000)]
    [InlineData(1, -999, 1000, 1)]
    [InlineData(1000, -1000, 1000, 0)]
    [Requirement("M25")]
    public void Exported_score_is_two_thirds_of_a_thousand_plus_the_score(
        long usage, int adjustment, long scale, int exported)
    {
        using var world = new World(scale * 1000);
        MemoryMember member = Filled(world.Root, "member", Math.Max(1, usage * 1000), adjustment);

        Assert.Equal(exported, member.OomScore);
    }

    [Fact]
    [Requirement("M25")]
    public void Exported_score_of_who_cannot_be_chosen_is_zero_and_never_leaves_its_range()
    {
        using var world = new World(1000);
        MemoryMember empty = world.Root.CreateMember("empty");
        MemoryMember forced = world.Root.CreateMember("forced", new MemoryMemberOptions { OomScoreAdjustment = 1000 });
        forced.Charge(10_000, ChargeFlags.NoFail);
        Assert.Equal((0, 2000), (empty.OomScore, forced.OomScore));

        forced.OomScoreAdjustment = MemoryMember.NeverKill;
        Assert.Equal(0, forced.OomScore);
        forced.OomScoreAdjustment = 0;
        Assert.NotNull(world.Await(world.Root.OomKiller.KillNowAsync()));
        Assert.Equal(0, forced.OomScore);
    }

    [Fact]
    [Requirement("M25")]
    public void Exported_score_without_a_capacity_is_measured_against_the_usage_of_the_root()
    {
        using var world = new World();
        MemoryMember member = Filled(world.Root, "member", 250);
        Filled(world.Root, "other", 750);

        Assert.Equal((1000 + 250) * 2 / 3, member.OomScore);
    }

    [Fact]
    [Requirement("M25")]
    public void Member_marked_as_origin_wins_among_the_candidates_and_only_among_them()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember large = Filled(tenant, "large", 900, 500);
        MemoryMember origin = Filled(tenant, "origin", 40, -900);
        MemoryMember later = Filled(tenant, "later", 60);
        MemoryMember immune = Filled(world.Root, "outside", 5000);
        origin.IsOomOrigin = immune.IsOomOrigin = true;
        Assert.True(origin.IsOomOrigin && !large.IsOomOrigin);
        OomCandidate first = tenant.GetOomScores()[0];
        Assert.Equal((origin, 40 - 900), (first.Member, first.Score));
        Assert.Contains("origin", first.Reason, StringComparison.Ordinal);
        Assert.Equal(immune, world.Root.GetOomScores()[0].Member);

        Pending asking = world.Charge(tenant.CreateMember("asker"), 30);

        Assert.Equal((true, false, false, false), (origin.IsKilled, large.IsKilled, later.IsKilled, immune.IsKilled));
        Assert.Contains("origin", origin.KillReason, StringComparison.Ordinal);
        origin.Dispose();
        world.Run();
        Assert.True(asking.Granted);

        later.IsOomOrigin = true;
        later.OomScoreAdjustment = MemoryMember.NeverKill;
        world.Charge(tenant.CreateMember("next"), 100);
        Assert.Equal((true, false), (large.IsKilled, later.IsKilled));
    }

    [Fact]
    [Requirement("B30")]
    public void Table_of_members_with_negative_adjustments_is_ordered_by_size()
    {
        using var world = new World(100_000);
        foreach (int usage in (int[])[10_000, 45_000, 30_000])
        {
            Filled(world.Root, $"m{usage}", usage, -500);
        }

        Assert.Equal([45_000 - 50_000, 30_000 - 50_000, 10_000 - 50_000],
            world.Root.GetOomScores().Select(static row => row.Score));
    }

    private static MemoryMember Filled(MemoryGroup group, string name, long bytes, int adjustment = 0)
    {
        MemoryMember member = group.CreateMember(name, new MemoryMemberOptions { OomScoreAdjustment = adjustment });
        member.Charge(bytes);
        return member;
    }
}
