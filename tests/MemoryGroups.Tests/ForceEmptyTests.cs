// Emptying a group by force, its fail count, and groups that come and go.
namespace MemoryGroups.Tests;

public sealed class ForceEmptyTests
{
    // The one user has moved away; what it left can be had back only from a reclaimer.
    [Fact]
    [Requirement("T11")]
    public void Group_whose_member_moved_away_is_emptied_as_far_as_it_is_reclaimable()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 10_000, Min = 5000 });
        MemoryMember member = group.CreateMember("member");
        MemoryCharge cache = member.Lease(4096);
        MemoryCharge kept = member.Lease(100);
        var reclaimer = new ScriptedReclaimer("cache", request =>
        {
            long part = Math.Min(10, cache.Bytes);
            cache.Shrink(part);
            return part;
        });
        group.AddReclaimer(reclaimer);
        member.MoveTo(world.Root);

        Assert.Equal(100, world.Await(group.ForceEmptyAsync()));
        Assert.Equal((100, 0), (group.Usage, cache.Bytes));
        Assert.All(reclaimer.Calls, static call => Assert.Equal(ReclaimReason.Requested, call.Reason));
        kept.Dispose();

        Assert.Equal(0, world.Await(group.ForceEmptyAsync()));
        Assert.False(member.IsKilled);
    }

    [Fact]
    [Requirement("T11")]
    public void Idle_stock_is_taken_back_and_a_reclaimer_that_lies_is_not_believed_for_ever()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(group);
        member.Uncharge(1 << 20);
        Assert.True(group.Usage > 0);
        var liar = new ScriptedReclaimer("liar", static _ => 1000);
        group.AddReclaimer(liar);
        Assert.Equal(0, world.Await(group.ForceEmptyAsync()));
        Assert.Equal(0, group.Usage);
        Assert.Empty(liar.Calls);

        Assert.True(member.TryCharge(10));
        world.Root.Stocks.Drain(group);
        Assert.Equal(10, world.Await(group.ForceEmptyAsync()));
        Assert.InRange(liar.Calls.Count, ChargeAttempt.MaxRounds, 4 * ChargeAttempt.MaxRounds);
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        int calls = liar.Calls.Count;
        Assert.Equal(10, world.Await(group.ForceEmptyAsync(cancelled.Token)));
        Assert.Equal(calls, liar.Calls.Count);
    }

    [Fact]
    public void Reclaimer_that_is_busy_is_asked_again_a_tick_later()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 1000 });
        MemoryCharge cache = group.CreateMember("member").Lease(500);
        var first = new TaskCompletionSource<long>();
        var reclaimer = new ScriptedReclaimer("slow", async (_, _) =>
        {
            await first.Task;
            cache.Dispose();
            return 500;
        });
        group.AddReclaimer(reclaimer);
        Task<long> other = group.ReclaimAsync(1).AsTask();
        world.Run();

        Task<long> emptying = group.ForceEmptyAsync().AsTask();
        world.Run();
        Assert.False(emptying.IsCompleted);
        first.SetResult(0);
        world.Advance(TimeSpan.FromMilliseconds(10));

        Assert.Equal(0, world.Await(new ValueTask<long>(emptying)));
        Assert.True(other.IsCompletedSuccessfully);
    }

    [Fact]
    [Requirement("M6")]
    [Requirement("T10")]
    public void Root_cannot_be_emptied_by_force_and_its_own_members_are_never_refused_by_a_limit()
    {
        using var world = new World();
        Assert.Contains(
            "root",
            Assert.Throws<InvalidOperationException>((Action)(() => _ = world.Root.ForceEmptyAsync().AsTask())).Message,
            StringComparison.Ordinal);
        MemoryMember member = world.Root.CreateMember("member");

        Assert.True(member.TryCharge(1L << 50));
        member.Uncharge(1L << 50);

        Assert.Equal((default, 0), (world.Root.Events.Current, world.Root.RefusalCount));
        world.AssertQuiet();
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("lease")]
    [InlineData("account")]
    [Requirement("T07")]
    public void Refusals_of_every_kind_of_charge_are_counted_and_the_count_can_be_reset(string kind)
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = 4096 });
        MemoryMember member = group.CreateMember("member");
        using MemoryAccount account = member.OpenAccount();

        bool granted = kind switch
        {
            "raw" => member.TryCharge(8192),
            "lease" => member.TryLease(8192) is not null,
            _ => account.TryGrow(8192),
        };

        Assert.False(granted);
        Assert.True(group.RefusalCount > 0);
        group.ResetRefusalCount();
        Assert.Equal((0, 0), (group.RefusalCount, group.GetStatistics().Refusals));
    }

    [Fact]
    [Requirement("T17")]
    public void Children_that_come_and_go_under_load_leave_nothing_in_the_parent()
    {
        using var root = new MemoryRoot();
        MemoryGroup parent = root.CreateGroup("parent", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        int threads = 2 * Environment.ProcessorCount;
        long most = Environment.ProcessorCount * 64L * 4096;
        for (int round = 0; round < 100; round++)
        {
            MemoryGroup child = parent.CreateGroup("child");
            Parallel.For(0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads }, _ =>
            {
                MemoryMember member = child.CreateMember("member");
                for (int i = 0; i < 50; i++)
                {
                    Assert.True(member.TryCharge(64 + i));
                }
            });
            long held = child.Members.Sum(static member => member.Usage);
            Assert.InRange(parent.Usage - held, 0, most);
            child.Dispose();
        }

        root.Stocks.Drain(root);
        Assert.Equal((0, 0), (parent.Usage, root.BooksErrorCount));
    }

    [Fact]
    [Requirement("T18")]
    public void Closed_groups_are_let_go_also_when_a_moved_member_lives_on()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember mover = parent.CreateMember("mover");

        WeakReference[][] dead = [.. Enumerable.Range(0, 30).Select(_ => new[] { UseAndClose(world, parent, mover) })];

        Assert.Equal([0], Survivors.Count(dead, most: 0, Keeping.Deadline));
        Assert.Empty(parent.Children);
        Assert.False(mover.IsExited);
    }

    // It frees later than it answers, so its answer says nothing while the usage falls.
    [Fact]
    public void Reclaimer_that_denies_what_it_frees_is_asked_on()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group");
        MemoryMember member = group.CreateMember("member");
        member.Charge(30);
        group.AddReclaimer(new ScriptedReclaimer("modest", _ =>
        {
            member.Uncharge(10);
            return 0;
        }));

        Assert.Equal(0, world.Await(group.ForceEmptyAsync()));
    }

    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private static WeakReference UseAndClose(World world, MemoryGroup parent, MemoryMember mover)
    {
        MemoryGroup group = parent.CreateGroup("group", new MemoryGroupOptions { Max = 1 << 20 });
        MemoryMember member = group.CreateMember("member");
        Assert.True(world.Charge(member, 100_000).Granted);
        mover.MoveTo(group);
        MemoryCharge lease = mover.Lease(1000);
        mover.MoveTo(parent);
        group.Dispose();
        Assert.Equal(1000, group.Usage);
        lease.Dispose();
        world.Run();
        return new WeakReference(group);
    }
}
