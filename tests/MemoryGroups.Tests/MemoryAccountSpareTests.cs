// What an account keeps for itself, and what it says at the edges: an exited member, the largest legal size.
namespace MemoryGroups.Tests;

public sealed class MemoryAccountSpareTests
{
    [Fact]
    [Requirement("I12")]
    public void Account_keeps_at_most_two_quanta_of_spare()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember member = Stocked.Member(tenant);
        long others = member.Usage;
        MemoryAccount account = member.OpenAccount();
        var random = new Random(7);
        for (int i = 0; i < 5000; i++)
        {
            if (random.Next(5) < 3)
            {
                Assert.True(account.TryGrow(random.Next(20_000)));
            }
            else
            {
                account.Shrink(random.NextInt64(account.Used + 1));
            }

            long spare = member.Usage - others - account.Used;
            Assert.InRange(spare, 0, 2 * 64 * 1024);
        }

        account.Dispose();
        Assert.Equal(others, member.Usage);
    }

    [Fact]
    public void Account_of_an_exited_member_says_so_each_time()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = tenant.CreateMember("member");
        MemoryAccount account = member.OpenAccount();
        Assert.True(account.TryGrow(10));
        member.Dispose();

        Assert.Throws<ObjectDisposedException>(() => account.TryGrow(1000));
        Assert.Throws<ObjectDisposedException>(() => account.TryGrow(1000));

        account.Dispose();
        Assert.Equal((0, 0), (tenant.Usage, world.Root.BooksErrorCount));
    }

    [Fact]
    public void Largest_legal_size_is_refused_and_not_an_error()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryAccount account = Stocked.Member(tenant).OpenAccount();

        Assert.False(account.TryGrow(MemoryMember.MaxChargeBytes));
        Assert.Throws<ArgumentOutOfRangeException>(() => account.TryGrow(MemoryMember.MaxChargeBytes + 1));
    }
}
