// The pool of what suspended methods need, and its boxes: bounded, the warmest first, and no result before the end.
namespace MemoryGroups.Tests;

public sealed class PooledValueTaskTests
{
    [Fact]
    public void Spares_come_back_newest_first_and_each_once()
    {
        var spares = new Spares<object>();
        object[] given = [.. Enumerable.Range(0, 100).Select(static _ => new object())];
        Assert.Null(spares.TryTake());

        Array.ForEach(given, spares.Give);

        foreach (object one in given.Reverse())
        {
            Assert.Same(one, spares.TryTake());
        }

        Assert.Null(spares.TryTake());
    }

    [Fact]
    public void Spares_beyond_the_bound_are_left_to_the_collector()
    {
        var spares = new Spares<object>();
        for (int count = 0; count < Spares<object>.Capacity + 10; count++)
        {
            spares.Give(new object());
        }

        int kept = 0;
        while (spares.TryTake() is not null)
        {
            kept++;
        }

        Assert.Equal(Spares<object>.Capacity, kept);
    }

#pragma warning disable CA2012, xUnit1031 // takes a result when it must not, as the analyzers say
    [Fact]
    public void Result_that_is_asked_for_too_early_is_refused_and_comes_later_all_the_same()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        ValueTask charging = tenant.CreateMember("asker").ChargeAsync(10);
        world.Run();

        var error = Assert.Throws<InvalidOperationException>(() => charging.GetAwaiter().GetResult());
        Assert.Equal("The result was asked for before the method had ended.", error.Message);
        hog.Uncharge(100);
        world.Run();

        Assert.True(charging.IsCompletedSuccessfully);
        charging.GetAwaiter().GetResult();
    }
#pragma warning restore CA2012, xUnit1031

    [Fact]
    public void Charge_that_was_begun_without_a_context_goes_on_without_one()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        Pending asking;
        using (ExecutionContext.SuppressFlow())
        {
            asking = FullGroup.Ask(world, tenant, 10);
        }

        Assert.True(asking.Sleeps);
        hog.Uncharge(100);
        world.Run();

        Assert.True(asking.Granted);
    }
}
