// The single-owner form keeps the same books, keeps nothing under pressure, and returns everything at its end.
namespace MemoryGroups.Tests;

public sealed class MemoryAccountTests
{
    [Fact]
    public void Account_is_exact_where_there_is_no_stock()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000 }).CreateMember("m");
        using MemoryAccount account = member.OpenAccount();

        Assert.True(account.TryGrow(1000));
        Assert.False(account.TryGrow(1));
        account.Shrink(300);

        Assert.Equal((700, 700), (account.Used, member.Usage));
    }

    [Fact]
    public void Account_draws_a_quantum_and_gives_it_back_at_its_end()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("g").CreateMember("m");
        Assert.True(member.TryCharge(64L << 20));
        Assert.True(member.TryCharge(1));
        using (MemoryAccount account = member.OpenAccount())
        {
            for (int i = 0; i < 100; i++)
            {
                Assert.True(account.TryGrow(100));
            }

            Assert.Equal(10_000, account.Used);
            Assert.InRange(member.Usage, (64L << 20) + 10_001, (64L << 20) + 10_001 + (128 * 1024));
        }

        Assert.Equal((64L << 20) + 1, member.Usage);
    }

    [Fact]
    public void Account_under_pressure_returns_what_is_spare_at_its_next_call()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 256L << 20 });
        MemoryMember member = group.CreateMember("m");
        Assert.True(member.TryCharge(64L << 20));
        Assert.True(member.TryCharge(1));
        using MemoryAccount account = member.OpenAccount();
        Assert.True(account.TryGrow(100));
        long before = member.Usage;

        world.Root.Stocks.Drain(group);
        account.Shrink(50);

        Assert.True(member.Usage < before, "nothing spare came back");
        Assert.Equal((64L << 20) + 1 + 50, member.Usage);
    }

    [Fact]
    public void Account_that_would_have_to_wait_waits_and_is_granted()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 1000, KillDisabled = true });
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(hog.TryCharge(900));
        using MemoryAccount account = group.CreateMember("m").OpenAccount();

        Task growing = account.GrowAsync(500).AsTask();
        world.Run();
        Assert.False(growing.IsCompleted);
        hog.Uncharge(900);
        world.Run();

        Assert.True(growing.IsCompletedSuccessfully);
        Assert.Equal(500, account.Used);
    }

    [Fact]
    public void More_is_not_returned_than_is_used()
    {
        using var world = new World();
        using MemoryAccount account = world.Root.CreateGroup("g").CreateMember("m").OpenAccount();
        Assert.True(account.TryGrow(10));

        Assert.Throws<ArgumentOutOfRangeException>(() => account.Shrink(11));
        Assert.Throws<ArgumentOutOfRangeException>(() => account.Shrink(-1));
        Assert.Equal(10, account.Used);
    }

    [Fact]
    public void Account_that_follows_its_member_twice_returns_what_it_left_everywhere()
    {
        using var world = new World();
        MemoryGroup[] groups = [.. Enumerable.Range(0, 3).Select(i => world.Root.CreateGroup(
            $"g{i}", new MemoryGroupOptions { BatchBytes = 1 }))];
        MemoryMember member = groups[0].CreateMember("m");
        MemoryAccount account = member.OpenAccount();
        Assert.True(account.TryGrow(100));
        Assert.True(member.MoveTo(groups[1]));
        Assert.True(account.TryGrow(20));
        Assert.True(member.MoveTo(groups[2]));
        Assert.True(account.TryGrow(3));
        Assert.Equal((123, 100, 20, 3), (account.Used, groups[0].Usage, groups[1].Usage, groups[2].Usage));

        account.Shrink(110);
        Assert.Equal((13, 0, 10, 3), (account.Used, groups[0].Usage, groups[1].Usage, groups[2].Usage));
        account.Dispose();

        Assert.Equal((0, 0, 0), (groups[0].Usage, groups[1].Usage, groups[2].Usage));
    }

    [Fact]
    public void Closed_account_is_closed()
    {
        using var world = new World();
        MemoryAccount account = world.Root.CreateGroup("g").CreateMember("m").OpenAccount();
        account.Dispose();
        account.Dispose();

        Assert.Throws<ObjectDisposedException>(() => account.TryGrow(1));
    }
}
