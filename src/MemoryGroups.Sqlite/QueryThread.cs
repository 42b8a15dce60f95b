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
    // Waits in the kernel at once: spinning before would cost as much as a short query.
    private readonly AutoResetEvent _posted = new(false);
    private bool _ended;
    private Task? _work;
    private Thread? _thread;

    // The caller's async-locals flow with the task, as they do to the pool.
    internal Task<T> RunAsync<T>(Func<T> work)
    {
        var task = new Task<T>(
            work, TaskCreationOptions.RunContinuationsAsynchronously | TaskCreationOptions.DenyChildAttach);
        if (_thread is null)
        {
            // Known once it has started: where the system has no thread to give, the next call tries again.
            var thread = new Thread(Loop) { IsBackground = true, Name = name };
            thread.UnsafeStart();
            _thread = thread;
        }

        Volatile.Write(ref _work, task);
        _posted.Set();
        return task;
    }

    // What was posted before is still run. The event is left to its finalizer: the thread may be about to wait for it.
    public void Dispose()
    {
        Volatile.Write(ref _ended, true);
        _posted.Set();
    }

    private void Loop()
    {
        while (true)
        {
            _posted.WaitOne();
            Interlocked.Exchange(ref _work, null)?.RunSynchronously(TaskScheduler.Default);
            if (Volatile.Read(ref _ended))
            {
                return;
            }
        }
    }
}
