// The tokens that say a member was killed or has exited: made when asked for, cancelled once, on work items of their
// own.
namespace MemoryGroups.Tests;

public sealed class MemberTokenTests
{
    [Fact]
    public void Exit_cancels_its_token_after_the_bytes_have_gone_back()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember member = tenant.CreateMember("cache");
        Assert.True(member.TryCharge(1000));
        long found = -1;
        using CancellationTokenRegistration registered = member.Exited.Register(() => found = tenant.Usage);
        Assert.False(member.Exited.IsCancellationRequested);

        member.Dispose();
        Assert.Equal(-1, found);
        world.Run();

        Assert.Equal(0, found);
        Assert.False(member.Killed.IsCancellationRequested);
    }

    [Fact]
    public void Token_that_is_asked_for_afterwards_is_cancelled_already()
    {
        using var world = new World();
        MemoryMember gone = world.Root.CreateMember("gone"), killed = world.Root.CreateMember("killed");

        gone.Dispose();
        killed.Kill("test");

        Assert.True(gone.Exited.IsCancellationRequested && killed.Killed.IsCancellationRequested);
        Assert.False(killed.Exited.IsCancellationRequested);
        Assert.Equal(0, world.PostedCount);
    }

    [Fact]
    public void Closing_the_group_is_an_exit_of_its_members()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        CancellationToken exited = tenant.CreateMember("cache").Exited;

        tenant.Dispose();
        world.Run();

        Assert.True(exited.IsCancellationRequested);
    }

    // Whichever of the two is first, nobody who asked before the end waits for ever.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Exit_that_races_the_first_asking_is_missed_by_nobody(int seed)
    {
        using var world = new World();
        for (int round = 0; round < 2000; round++)
        {
            MemoryMember member = world.Root.CreateMember("cache");
            using var start = new Barrier(2);
            var random = new Random((seed * 10_000) + round);
            (int first, int second) = (random.Next(40), random.Next(40));
            CancellationToken token = default;
            Parallel.Invoke(
                () =>
                {
                    start.SignalAndWait();
                    Thread.SpinWait(first);
                    token = member.Exited;
                },
                () =>
                {
                    start.SignalAndWait();
                    Thread.SpinWait(second);
                    member.Dispose();
                });
            world.Run();
            Assert.True(token.IsCancellationRequested, $"seed {seed}, round {round}");
        }
    }
}
