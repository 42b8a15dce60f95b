// Leases in the wrong moment: many threads at once, a receiver that has exited, growth of what is closed.
namespace MemoryGroups.Tests;

public sealed class MemoryChargeRaceTests
{
    [Fact]
    [Requirement("I5")]
    public void Lease_returns_its_bytes_once_however_often_it_is_disposed()
    {
        using var world = new World();
        MemoryMember member = Member(world, out MemoryGroup tenant);
        MemoryCharge lease = member.Lease(300);
        member.Charge(100);

        Parallel.For(0, 8, _ => lease.Dispose());

        Assert.Equal((0, 100, 100), (lease.Bytes, member.Usage, tenant.Usage));
        Assert.Same(member, lease.Member);
    }

    [Fact]
    public async Task Growing_a_disposed_lease_charges_nothing()
    {
        using var world = new World();
        MemoryMember member = Member(world, out MemoryGroup tenant);
        MemoryCharge lease = member.Lease(10);
        lease.Dispose();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => lease.GrowAsync(5).AsTask());

        Assert.Equal((0, 0), (tenant.Usage, tenant.PeakUsage - 10));
    }

    [Fact]
    public void Split_charges_and_returns_nothing()
    {
        using var world = new World();
        MemoryMember member = Member(world, out MemoryGroup tenant);
        MemoryCharge lease = member.Lease(300);

        MemoryCharge part = lease.Split(120);
        Assert.Equal((180, 120, 300), (lease.Bytes, part.Bytes, tenant.Usage));
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => lease.Split(181));
        Assert.Contains("180", error.Message, StringComparison.Ordinal);
        Assert.Equal(180, lease.Bytes);

        lease.Dispose();
        Assert.Equal((120, 120), (part.Bytes, tenant.Usage));
        Assert.Throws<ArgumentOutOfRangeException>(() => lease.Split(1));
    }

    [Fact]
    [Requirement("I5")]
    public void Transfer_to_who_has_exited_returns_the_bytes()
    {
        using var world = new World();
        MemoryMember from = Member(world, out MemoryGroup tenant);
        MemoryMember gone = tenant.CreateMember("gone");
        gone.Dispose();

        Assert.Null(from.Lease(400).TransferTo(gone));

        Assert.Equal((0, 0), (from.Usage, tenant.Usage));
        MemoryCharge kept = from.Lease(10);
        Assert.Throws<ArgumentException>(() => kept.TransferTo(world.Root.CreateMember("elsewhere")));
        Assert.Equal(10, kept.Bytes);
    }

    // One thread each: grow, shrink, split. Whatever the order, what the leases say is what is charged.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [Requirement("I5")]
    public void Racing_growth_shrinking_and_splits_keep_the_books_exact(int seed)
    {
        using var world = new World();
        MemoryMember member = Member(world, out MemoryGroup tenant);
        MemoryCharge lease = member.Lease(100);
        var parts = new System.Collections.Concurrent.ConcurrentBag<MemoryCharge>();
        Parallel.For(0, 4, thread =>
        {
            var random = new Random((seed * 10) + thread);
            for (int i = 0; i < 20_000; i++)
            {
                switch (random.Next(4))
                {
                    case 0:
                        lease.TryGrow(random.Next(20));
                        break;
                    case 1:
                        lease.Shrink(random.Next(20));
                        break;
                    case 2 when lease.Bytes > 40:
                        parts.Add(SplitIfEnough(lease));
                        break;
                    default:
                        if (parts.TryTake(out MemoryCharge? part))
                        {
                            part.Dispose();
                        }

                        break;
                }
            }
        });

        long known = lease.Bytes + parts.Sum(static part => part.Bytes);
        Assert.True(tenant.Usage == known, $"seed {seed}: {tenant.Usage} charged, the leases say {known}");
    }

    // What the lease carries for one group is ended when it needs another; nobody is refused for that.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [Requirement("I5")]
    public void Growth_and_shrinking_race_the_moves_of_the_member_and_are_never_refused(int seed)
    {
        using MemoryRoot root = RacingRoot.On(new VirtualTime());
        MemoryGroup[] groups = [.. Enumerable.Range(0, 4).Select(i => root.CreateGroup($"g{i}"))];
        MemoryMember member = groups[0].CreateMember("member");
        MemoryCharge lease = member.Lease(0);
        int refused = 0;
        Parallel.For(0, 4, thread =>
        {
            var random = new Random((seed * 10) + thread);
            for (int i = 0; i < 20_000; i++)
            {
                if (thread == 0)
                {
                    member.MoveTo(groups[random.Next(groups.Length)]);
                }
                else if (lease.TryGrow(7))
                {
                    lease.Shrink(7);
                }
                else
                {
                    Interlocked.Increment(ref refused);
                }
            }
        });

        Assert.Equal((0, 0), (refused, root.BooksErrorCount));
        Assert.Equal((0, 0), (lease.Bytes, member.Usage));
    }

    private static MemoryCharge SplitIfEnough(MemoryCharge lease)
    {
        try
        {
            return lease.Split(20);
        }
        catch (ArgumentOutOfRangeException)
        {
            // Others were faster: nothing may have changed by the failed split.
            return lease.Split(0);
        }
    }

    private static MemoryMember Member(World world, out MemoryGroup tenant)
    {
        tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        return tenant.CreateMember("member");
    }
}
