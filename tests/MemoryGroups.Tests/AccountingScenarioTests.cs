// What a group says it uses, beside what is really held; and what a refusal counts.
namespace MemoryGroups.Tests;

public sealed class AccountingScenarioTests
{
    private const long M = 1 << 20;
    private const long Page = 4096;

    [Theory]
    [InlineData(1)]
    [InlineData(GroupStock.LargestBatch)]
    [Requirement("T02")]
    [Requirement("M11")]
    public void Memory_touched_page_by_page_is_charged_while_it_is_held_and_gone_after_the_exit(long batch)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { BatchBytes = batch });
        MemoryMember process = group.CreateMember("process");
        for (long touched = 0; touched < 50 * M; touched += Page)
        {
            Assert.True(process.TryCharge(Page));
        }

        Assert.True(group.Usage >= 50 * M);
        Tolerance.AssertClose(50 * M, group.Usage, 3);
        Tolerance.AssertClose(process.Usage, group.Usage, 3);
        Assert.Equal(50 * M, process.Usage);
        process.Dispose();

        Assert.Equal(0, group.UsageLower);
        Assert.InRange(group.Usage, 0, batch == 1 ? 0 : 2 * batch * GroupStock.Slots);
    }

    [Fact]
    [Requirement("T03")]
    public void Cache_is_charged_while_it_is_held()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group");
        var cache = new LeaseCache(group);

        cache.Fill(world, 50 * M);

        Assert.True(group.Usage >= 50 * M);
        Tolerance.AssertClose(cache.Held, group.Usage, 10);
        Assert.Equal(50 * M, cache.Held);
        Assert.Empty(cache.Calls);
    }

    // The batch is chosen such that all stock of all CPUs together is at most the 65 pages of the scenario.
    [Fact]
    [Requirement("T06")]
    [Requirement("M11")]
    public void Usage_is_above_what_is_held_by_at_most_the_stock_and_exact_without()
    {
        using var world = new World();
        long batch = 64 * Page / ((2 * GroupStock.Slots) + 1);
        MemoryGroup stocked = world.Root.CreateGroup("stocked", new MemoryGroupOptions { BatchBytes = batch });
        MemoryGroup exact = world.Root.CreateGroup("exact", new MemoryGroupOptions { BatchBytes = 1 });
        foreach (MemoryGroup group in (MemoryGroup[])[stocked, exact])
        {
            MemoryMember member = group.CreateMember("member");
            for (int page = 0; page < 1024; page++)
            {
                Assert.True(member.TryCharge(Page));
            }
        }

        Assert.InRange(stocked.Usage, 1024 * Page, (1024 + 65) * Page);
        Assert.True(world.Root.Stocks.HeldIn(stocked) > 0);
        Assert.Equal(1024 * Page, exact.Usage);
    }

    // The parent has no room for the big one, and that is seen before anything is added below it.
    [Fact]
    [Requirement("M2")]
    public void Small_charge_is_not_refused_because_of_a_big_one_that_fails_at_the_same_moment()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup group = parent.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        Assert.True(parent.CreateMember("other").TryCharge(500));
        MemoryMember big = group.CreateMember("big");
        MemoryMember small = group.CreateMember("small");
        long seen = 0;
        world.Once(ProbePoint.BeforeSwap, () =>
        {
            // The small one is about to be added: the big one fails right now.
            Assert.False(big.TryCharge(900));
            seen = group.Usage;
        });

        Assert.True(small.TryCharge(400));

        Assert.Equal((0, 400), (seen, group.Usage));
        Assert.Equal((0, 1), (group.RefusalCount, parent.RefusalCount));
    }

    [Fact]
    [Requirement("M10")]
    public void Refused_attempt_counts_its_batch_and_its_exact_try_and_a_granted_one_may_count_too()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(group);
        Stocked.FillOwnStock(group);

        // Refused with something for the stock, refused alone, and granted when the idle stock has come back.
        Assert.True(member.TryCharge(member.Books.Held));
        Assert.True(group.Usage > member.Usage);
        Assert.True(member.TryCharge(Stocked.AmpleLimit - member.Usage));
        Assert.Equal((Stocked.AmpleLimit, 2), (group.Usage, group.RefusalCount));
        Assert.Equal(0, group.Events.Current.Max);

        Assert.False(member.TryCharge(1));
        Assert.True(group.RefusalCount > 2);
    }

    // Every round of one request says that it met Max, and each looks at the limit again.
    [Fact]
    [Requirement("M10")]
    [Requirement("M8")]
    public void One_request_may_count_max_and_refusals_many_times_and_be_granted()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, group);
        group.AddReclaimer(new ScriptedReclaimer("slowly", _ =>
        {
            hog.Uncharge(1);
            return 1;
        }));

        Assert.True(FullGroup.Ask(world, group, 60).Granted);

        Assert.InRange(group.Events.Current.Max, 10, 60);
        Assert.True(group.RefusalCount >= group.Events.Current.Max);
        Assert.Equal(0, group.Events.Current.Oom);
    }
}
