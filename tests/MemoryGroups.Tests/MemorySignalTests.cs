// The counting signal: never blocks, never allocates, never loses; and the streams that read it.
namespace MemoryGroups.Tests;

public sealed class MemorySignalTests
{
    // Only a hang reaches it.
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(60);

    [Fact]
    [Requirement("S004-9")]
    public void Raising_allocates_nothing_and_several_raises_read_as_one_number()
    {
        var signal = new MemorySignal();
        signal.Raise();
        Assert.Equal(1, signal.Take());

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            signal.Raise();
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.Equal((1000, 0, 1001), (signal.Take(), signal.Take(), signal.Total));
    }

    [Fact]
    [Requirement("S004-9")]
    public async Task Raises_from_many_threads_are_all_read_by_a_waiting_reader()
    {
        const int threads = 4;
        const int raises = 20_000;
        var signal = new MemorySignal();
        Task<long> reader = Task.Run(async () =>
        {
            long read = 0;
            while (read < threads * raises)
            {
                read += await signal.WaitAsync(TestContext.Current.CancellationToken);
            }

            return read;
        });

        Parallel.For(0, threads, _ =>
        {
            for (int i = 0; i < raises; i++)
            {
                signal.Raise();
            }
        });

        Assert.Equal(threads * raises, await reader.WaitAsync(Watchdog, TestContext.Current.CancellationToken));
        Assert.Equal(threads * raises, signal.Total);
    }

    [Fact]
    [Requirement("S004-9")]
    public async Task Cancelled_wait_leaves_the_count_for_the_next_reader()
    {
        var signal = new MemorySignal();
        using var cancel = new CancellationTokenSource();
        Task<long> waiting = signal.WaitAsync(cancel.Token).AsTask();
        Assert.False(waiting.IsCompleted);

        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        signal.Raise();

        Assert.Equal(1, await signal.WaitAsync(TestContext.Current.CancellationToken));
    }

    // A notifier that counted outside the guard would raise a signal whose registration has ended meanwhile.
    [Fact]
    [Requirement("S004-8")]
    public void Signal_is_never_raised_after_unregister_has_returned()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        var request = new OomRequest(world.Root, null, 1, ChargeFlags.None, TimeSpan.Zero);
        using var both = new Barrier(2);
        bool done = false;
        var notifier = new Thread(() =>
        {
            both.SignalAndWait();
            while (!Volatile.Read(ref done))
            {
                OomControl.NotifySubtree(tenant, request);
            }
        });
        notifier.Start();
        both.SignalAndWait();
        try
        {
            for (int round = 0; round < 20_000; round++)
            {
                var signal = new MemorySignal();
                tenant.Oom.Register(signal);
                tenant.Oom.Unregister(signal);
                long then = signal.Total;
                Thread.SpinWait(20);
                Assert.Equal(then, signal.Total);
            }
        }
        finally
        {
            Volatile.Write(ref done, true);
            notifier.Join();
        }
    }

    [Fact]
    [Requirement("S004-5")]
    public async Task Watching_yields_at_once_under_oom_then_once_for_each_oom_and_ends_with_the_group()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        FullGroup.Ask(world, tenant, 10);
        await using IAsyncEnumerator<long> watch = tenant.Oom.WatchAsync().GetAsyncEnumerator();

        Assert.True(await watch.MoveNextAsync().AsTask().WaitAsync(Watchdog));
        Assert.Equal(1, watch.Current);

        Task<bool> next = watch.MoveNextAsync().AsTask();
        Assert.False(next.IsCompleted);
        hog.Uncharge(10);
        world.Run();
        FullGroup.Ask(world, tenant, 10);
        Assert.True(await next.WaitAsync(Watchdog));
        Assert.Equal(1, watch.Current);

        Task<bool> last = watch.MoveNextAsync().AsTask();
        tenant.Dispose();
        Assert.False(await last.WaitAsync(Watchdog));
        Assert.Equal(0, world.Root.RegistrationsInSubtree);
    }

    [Fact]
    [Requirement("S004-8")]
    public async Task Watching_that_is_cancelled_ends_its_registration()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        using var cancel = new CancellationTokenSource();
        await using IAsyncEnumerator<long> watch = tenant.Oom.WatchAsync(cancel.Token).GetAsyncEnumerator();
        Task<bool> next = watch.MoveNextAsync().AsTask();
        Assert.Equal(1, tenant.RegistrationsInSubtree);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next);
        Assert.Equal(0, tenant.RegistrationsInSubtree);
    }
}
