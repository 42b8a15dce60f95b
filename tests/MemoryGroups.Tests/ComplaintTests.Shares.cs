// What users of other memory governors complained about in public, shown not to happen here: limits above limits, and
// who pays how much. Each test names the report that it answers.
namespace MemoryGroups.Tests;

public sealed partial class ComplaintTests
{
    // StarRocks/starrocks#77408, #47318: the warning line came from one ancestor and the limit from another, so it lay
    // above the limit and nothing was spilled before it was too late.
    [Theory]
    [Requirement("C16")]
    [Requirement("I11")]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void C16_effective_lines_are_in_order_and_the_smallest_above_after_every_change(int seed)
    {
        var random = new Random(seed);
        using var world = new World(1_000_000, options => options with { RecursiveProtection = seed % 2 == 0 });
        List<MemoryGroup> groups = [];
        for (int i = 0; i < 12; i++)
        {
            MemoryGroup parent = i < 2 ? world.Root : groups[random.Next(groups.Count)];
            groups.Add(parent.CreateGroup($"g{i}", new MemoryGroupOptions { BatchBytes = 1 }));
        }

        MemoryMember[] members = [.. groups.Select(static one => one.CreateMember("m"))];
        for (int step = 0; step < 2000; step++)
        {
            MemoryGroup changed = groups[random.Next(groups.Count)];
            long bytes = random.Next(4) == 0 ? 0 : random.Next(200_000);
            switch (random.Next(5))
            {
                case 0:
                    changed.Min = bytes;
                    break;
                case 1:
                    changed.Low = bytes;
                    break;
                case 2:
                    changed.High = random.Next(3) == 0 ? long.MaxValue : bytes;
                    break;
                case 3:
                    changed.Max = random.Next(3) == 0 ? long.MaxValue : bytes;
                    break;
                default:
                    members[random.Next(members.Length)].TryCharge(random.Next(20_000));
                    break;
            }

            MemoryGroup group = groups[random.Next(groups.Count)];
            MemoryStatistics now = group.GetStatistics();
            Assert.True(
                now.EffectiveMinBytes >= 0
                && now.EffectiveMinBytes <= now.EffectiveLowBytes
                && now.EffectiveLowBytes <= now.EffectiveHighBytes
                && now.EffectiveHighBytes <= now.EffectiveLimitBytes,
                $"seed {seed}, step {step}: {now}");
            MemoryStatistics? above = group.Parent?.GetStatistics();
            Assert.Equal(Math.Min(group.Max, above!.EffectiveLimitBytes), now.EffectiveLimitBytes);
            Assert.Equal(
                Math.Min(Math.Min(group.High, group.Max), above.EffectiveHighBytes), now.EffectiveHighBytes);
        }
    }

    [Fact]
    [Requirement("C16")]
    public void C16_line_above_an_ancestors_limit_still_means_reclaim_before_refusal()
    {
        using var world = new World();
        MemoryGroup outer = world.Root.CreateGroup("outer", new MemoryGroupOptions { Max = 1000, Low = 300 });
        MemoryGroup inner = outer.CreateGroup("inner", new MemoryGroupOptions { High = 5000, Low = 300 });
        MemoryMember spills = inner.CreateMember("spills");
        var reclaimer = new ScriptedReclaimer("spill", request => spills.Free(request.Bytes));
        inner.AddReclaimer(reclaimer);
        spills.Charge(900);
        MemoryStatistics shown = inner.GetStatistics();
        Assert.Equal((1000, 300, 0), (shown.EffectiveHighBytes, shown.EffectiveLowBytes, shown.EffectiveMinBytes));

        Assert.True(FullGroup.Ask(world, inner, 400).Granted);

        Assert.Equal(ReclaimReason.Max, Assert.Single(reclaimer.Calls).Reason);
        Assert.Equal(0, outer.Events.Current.Oom);
    }

    // apache/datafusion#25172, #17334; apache/datafusion-comet#5214, #5961: a share was measured against the wrong sum,
    // so some paid more than theirs, or each share shrank with the number of consumers until nothing could run.
    [Theory]
    [Requirement("C17")]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public void C17_nobody_pays_more_than_the_share_and_the_shares_make_up_the_whole(int seed)
    {
        var random = new Random(seed);
        int consumers = 1 + random.Next(40);
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 100_000 });
        var asked = new Dictionary<MemoryGroup, long>();
        var owners = new List<MemoryMember>();
        for (int i = 0; i < consumers; i++)
        {
            MemoryGroup group = tenant.CreateGroup($"g{i}");
            MemoryMember owner = group.CreateMember("owner");
            long most = (tenant.Max - tenant.Usage) / (consumers - i);
            Assert.True(owner.TryCharge(i == consumers - 1 ? most : random.Next((int)most)));
            group.AddReclaimer(new ScriptedReclaimer(group.Name, request =>
            {
                asked[group] = asked.GetValueOrDefault(group) + request.Bytes;
                return owner.Free(request.Bytes);
            }));
            owners.Add(owner);
        }

        // However many they are, together they may use it all.
        Assert.True(owners[^1].TryCharge(tenant.Max - tenant.Usage));
        var before = tenant.Children.ToDictionary(static group => group, static group => group.Usage);
        long need = 1 + random.Next(50_000);

        Assert.True(FullGroup.Ask(world, tenant, need).Granted);

        long target = Math.Max(need, tenant.Max / 64);
        Assert.Equal(target, asked.Values.Sum());
        Assert.All(asked, one => Assert.InRange(one.Value, 1, (target * before[one.Key] / tenant.Max) + 1));
        Assert.DoesNotContain(owners, static one => one.IsKilled);
    }
}
