// The thread on which a session's queries run.
//
// A thread of its own, not the pool's: a query blocks its thread for as long as it runs, and a few of them would keep
// the pool from running what is to kill one of them. It starts with the first query and waits for the next without a
// deadline, because it waits for work, not for memory; Dispose ends it.
//
// Must stay true: one piece of work at a time (the session sees to it), so one slot is enough.
namespace MemoryGroups.Sqlite;

internal sealed class QueryThread(string name) : IDisposable
{
    private readonly SemaphoreSlim _posted = new(0);
    private Task? _work;
    private Thread? _thread;

    // The caller's async-locals flow with the task, as they do to the pool.
    internal Task<T> RunAsync<T>(Func<T> work)
    {
        var task = new Task<T>(
            work, TaskCreationOptions.RunContinuationsAsynchronously | TaskCreationOptions.DenyChildAttach);
        if (_thread is null)
        {
            _thread = new Thread(Loop) { IsBackground = true, Name = name };
            _thread.UnsafeStart();
        }

        Volatile.Write(ref _work, task);
        _posted.Release();
        return task;
    }

    // Nothing to do: that is the end.
    public void Dispose() => _posted.Release();

    private void Loop()
    {
        while (true)
        {
            _posted.Wait();
            if (Interlocked.Exchange(ref _work, null) is not { } task)
            {
                return;
            }

            task.RunSynchronously(TaskScheduler.Default);
        }
    }
}
