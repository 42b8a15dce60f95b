// The thread of a session: one of its own, which leaves when it is told, and continues nobody's work.

using static MemoryGroups.Sqlite.Tests.TestDatabase;

namespace MemoryGroups.Sqlite.Tests;

public sealed class QueryThreadTests
{
    [Fact]
    public async Task Thread_runs_what_it_is_given_until_it_is_disposed_and_ends_then()
    {
        var worker = new QueryThread("worker");
        Thread first = await worker.RunAsync(() => Thread.CurrentThread);
        Assert.Equal(("worker", true), (first.Name, first.IsBackground));
        using var go = new ManualResetEventSlim();
        Task<Thread> second = worker.RunAsync(() =>
        {
            go.Wait(Abort);
            return Thread.CurrentThread;
        });

        worker.Dispose();
        go.Set();

        Assert.Same(first, await second);
        Assert.True(first.Join(Deadline));
    }

    [Fact]
    public async Task Continuation_does_not_run_on_the_thread_and_a_failure_is_the_task_s()
    {
        using var worker = new QueryThread("worker");
        using var go = new ManualResetEventSlim();
        Task<Thread> work = worker.RunAsync(() =>
        {
            go.Wait(Abort);
            return Thread.CurrentThread;
        });
        Task<Thread> after = work.ContinueWith(
            _ => Thread.CurrentThread, Abort, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        go.Set();

        Assert.NotSame(await work, await after);
        await Assert.ThrowsAsync<FormatException>(() => worker.RunAsync<int>(() => throw new FormatException()));
        Assert.Same(await work, await worker.RunAsync(() => Thread.CurrentThread));
    }
}
