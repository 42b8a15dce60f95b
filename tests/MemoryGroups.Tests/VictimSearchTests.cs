// The scan over the table of bounds finds whom the walk over the tree finds, in whatever state the tree is.
namespace MemoryGroups.Tests;

public sealed class VictimSearchTests
{
    private const int Steps = 1500;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [Requirement("M24")]
    public void Scan_and_walk_find_the_same_member_in_any_state(int seed)
    {
        using var world = new World(1L << 40);
        var tree = new CrowdedTree(world, seed);
        int found = 0;
        for (int step = 0; step < Steps; step++)
        {
            string did = tree.Step();
            foreach (MemoryGroup top in tree.SomeGroups())
            {
                long scale = tree.SomeScale();
                OomCandidate? walked = VictimSearch.WorstByWalk(top, scale);
                OomCandidate? scanned = scale < ScoreTable.Always ? VictimSearch.WorstByScan(top, scale) : walked;
                OomCandidate? chosen = VictimSearch.Worst(top, scale);
                Assert.True(
                    walked == scanned && walked == chosen,
                    $"seed {seed}, step {step} ({did}), '{top.Path}': walk {walked}, scan {scanned}, chosen {chosen}");
                found += walked is null ? 0 : 1;
            }
        }

        Assert.True(found > Steps, $"only {found} comparisons found anybody");
    }

    // Where nobody is without an adjustment no bound alone tells the order.
    [Fact]
    public void Adjustments_count_in_a_block_of_which_every_member_has_one()
    {
        using var world = new World(1L << 40);
        MemoryMember large = world.Root.CreateMember("large", new MemoryMemberOptions { OomScoreAdjustment = 1 });
        MemoryMember adjusted = world.Root.CreateMember(
            "adjusted", new MemoryMemberOptions { OomScoreAdjustment = 500 });
        large.Charge(1000);
        adjusted.Charge(900);

        Assert.Same(adjusted, VictimSearch.WorstByScan(world.Root, 1_000_000)?.Member);
        Assert.Same(adjusted, VictimSearch.WorstByWalk(world.Root, 1_000_000)?.Member);
    }

    [Fact]
    public void Of_equals_in_different_groups_the_later_in_a_walk_level_by_level_is_found()
    {
        using var world = new World(1L << 40);
        MemoryGroup first = world.Root.CreateGroup("first");
        MemoryGroup second = world.Root.CreateGroup("second");
        MemoryMember deep = second.CreateGroup("deep").CreateMember("m");
        MemoryMember alsoDeep = first.CreateGroup("deep").CreateMember("m");
        MemoryMember early = first.CreateMember("early");
        MemoryMember late = first.CreateMember("late");
        MemoryMember beside = second.CreateMember("m");

        foreach (MemoryMember next in (MemoryMember[])[early, late, beside, alsoDeep, deep])
        {
            next.Charge(1000);
            Assert.Same(next, VictimSearch.WorstByWalk(world.Root, 1000)?.Member);
            Assert.Same(next, VictimSearch.WorstByScan(world.Root, 1000)?.Member);
        }
    }

    // Every place shows what is true of its owner when all threads are done, whatever they did to one another's places.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Places_show_the_truth_after_members_came_charged_and_went_on_many_threads(int seed)
    {
        using var world = new World(1L << 40);
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryGroup exact = world.Root.CreateGroup("exact", new MemoryGroupOptions { BatchBytes = 1 });
        var kept = new MemoryMember[8];
        for (int i = 0; i < kept.Length; i++)
        {
            kept[i] = (i % 2 == 0 ? tenant : exact).CreateMember($"kept{i}");
        }

        Parallel.For(0, 4, thread =>
        {
            var random = new Random((seed * 100) + thread);
            for (int round = 0; round < 4000; round++)
            {
                using MemoryMember passing = exact.CreateMember("passing");
                Assert.True(passing.TryCharge(random.Next(1, 1000)));
                MemoryMember other = kept[random.Next(kept.Length)];
                int bytes = random.Next(1, 20_000);
                if (other.TryCharge(bytes) && random.Next(3) > 0)
                {
                    other.Uncharge(bytes);
                }

                other.OomScoreAdjustment = random.Next(3) - 1;
            }
        });

        AssertTrue(world.Root, seed);
        Assert.Equal(
            VictimSearch.WorstByWalk(world.Root, 1000), VictimSearch.WorstByScan(world.Root, 1000));
    }

    [Fact]
    public void Places_are_used_again_by_members_that_come_after_those_that_left()
    {
        using var world = new World();
        for (int i = 0; i < 1000; i++)
        {
            world.Root.CreateMember("passing").Dispose();
        }

        Assert.InRange(world.Root.Scores.Places, 1, 16);
    }

    [Fact]
    public void Every_place_of_a_block_is_given_to_somebody()
    {
        using var world = new World();
        for (int i = 0; i < 16; i++)
        {
            world.Root.CreateMember("m");
        }

        Assert.Equal(16, world.Root.Scores.Places);
    }

    // Nobody below the group, and a crowd beside it that uses more: the walk of the few answers.
    [Fact]
    [Requirement("S003-11")]
    public void Crowd_beside_the_group_hides_nobody_in_it_and_is_not_chosen()
    {
        using var world = new World(1L << 40);
        MemoryGroup beside = world.Root.CreateGroup("beside");
        MemoryGroup group = world.Root.CreateGroup("group");
        for (int i = 0; i < 6000; i++)
        {
            Assert.True(beside.CreateMember("m").TryCharge(1000 + i));
        }

        Assert.Null(VictimSearch.Worst(group, 1000));
        for (int i = 0; i < 300; i++)
        {
            Assert.True(group.CreateMember($"m{i}").TryCharge(1 + i));
        }

        Assert.Equal("m299", VictimSearch.Worst(group, 1000)!.Value.Member.Name);
        Assert.Equal("m299", VictimSearch.WorstByScan(group, 1000)!.Value.Member.Name);
    }

    // As if the charge of another thread came between writing the bound and looking at it again.
    [Fact]
    public void Change_between_the_two_halves_of_showing_a_score_is_found_by_the_second()
    {
        using var world = new World();
        MemoryMember before = world.Root.CreateMember("before");
        MemoryMember after = world.Root.CreateMember("after");
        Assert.True(before.TryCharge(1000) && after.TryCharge(2000));
        var block = new ScoreBlock(16);
        block.SetOwner(3, before);
        block.Show(3);
        Assert.Equal(1000, block.ScoreAt(3, 0));

        block.SetOwner(3, after);
        block.Confirm(3);

        Assert.Equal(after.Books.Drawn, block.ScoreAt(3, 0));
    }

    private static void AssertTrue(MemoryRoot root, int seed)
    {
        var seen = new HashSet<MemoryMember>();
        foreach (ScoreBlock block in root.Scores.Blocks)
        {
            for (int at = 0; at < block.Size; at++)
            {
                MemoryMember? owner = block.OwnerOf(at);
                long bound = owner?.ScoreBound.Bound ?? 0;
                long truth = bound > 0 ? bound + (owner!.ScoreBound.Adjustment * 7L) : ScoreTable.Never;
                Assert.True(block.ScoreAt(at, 7) == truth, $"seed {seed}: place {at} of '{owner?.Path}'");
                Assert.True(owner is null || seen.Add(owner), $"seed {seed}: '{owner?.Path}' has two places");
            }
        }

        Assert.Equal(8, seen.Count);
    }
}
