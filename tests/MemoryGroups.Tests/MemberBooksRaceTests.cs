// A member's books on real threads: exits race charges, moves and uncharges, and each byte still returns once.
namespace MemoryGroups.Tests;

public sealed class MemberBooksRaceTests
{
    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [Requirement("I5")]
    [Requirement("B21")]
    public void Exits_racing_charges_moves_and_uncharges_return_each_byte_once(int seed, bool wide)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryMember keeper = tenant.CreateMember("keeper");
        Assert.True(keeper.TryCharge(1 << 20));
        for (int round = 0; round < 3000; round++)
        {
            MemoryMember a = tenant.CreateMember("a"), b = tenant.CreateMember("b");
            if (wide)
            {
                Stocked.Widen(a);
                Stocked.Widen(b);
            }

            Assert.True(a.TryCharge(5000) && a.TryCharge(5000));
            using var start = new Barrier(3);
            int own = (seed * 10_000) + round;
            Parallel.Invoke(
                new ParallelOptions { MaxDegreeOfParallelism = 3 },
                () => Play(start, own, () => a.TryMoveTo(b, 4000), () => a.Uncharge(2000)),
                () => Play(start, own + 1, a.Dispose, b.Dispose),
                () => Play(start, own + 2, b.Dispose, () => a.TryMoveTo(b, 3000)));
            a.Dispose();
            b.Dispose();
            world.Root.Stocks.Drain(world.Root);
            Assert.True(tenant.Usage == 1 << 20, $"seed {seed}, round {round}: {tenant.Usage - (1 << 20)} too much");
        }

        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    private static void Play(Barrier start, int seed, Action first, Action second)
    {
        var random = new Random(seed);
        start.SignalAndWait();
        Thread.SpinWait(random.Next(60));
        first();
        Thread.SpinWait(random.Next(60));
        second();
    }
}
