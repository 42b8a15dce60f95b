// A counter that notifications raise (OOM, usage thresholds, pressure): the counterpart of an eventfd.
//
// Raising it never blocks, never allocates and never loses: several raises may be read as one number. It belongs to
// whoever made it and may be registered on any number of groups, and more than once.
namespace MemoryGroups;

/// <summary>A counting signal that notifications raise; see <see cref="OomControl.Register"/>.</summary>
/// <remarks>
/// The counterpart of an eventfd written by <c>mem_cgroup_oom_notify</c> (mm/memcontrol-v1.c).
/// Thread safety: all members may be used from any thread; one <see cref="WaitAsync"/> at a time.
/// </remarks>
public sealed class MemorySignal
{
    private long _count;
    private long _total;
    private TaskCompletionSource? _waiter;

    /// <summary>How often it was raised since it was made. Never falls.</summary>
    public long Total => Interlocked.Read(ref _total);

    /// <summary>Takes the count of raises since the last call; 0 when there was none. Never waits.</summary>
    /// <returns>The number of raises, 0 or more.</returns>
    public long Take() => Interlocked.Exchange(ref _count, 0);

    /// <summary>Waits until it has been raised and takes the count.</summary>
    /// <param name="cancellationToken">Ends the wait; the count stays.</param>
    /// <returns>The number of raises, 1 or more.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async ValueTask<long> WaitAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Volatile.Write(ref _waiter, source);

            // The waiter is published before the count is read; a raise counts first and then looks for the waiter.
            Interlocked.MemoryBarrier();
            long taken = Take();
            if (taken > 0)
            {
                return taken;
            }

            await source.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    internal void Raise() => Count()?.TrySetResult();

    // The counting alone, which is fit for a lock; the caller completes what it gets, after the lock.
    internal TaskCompletionSource? Count()
    {
        Interlocked.Increment(ref _total);
        Interlocked.Increment(ref _count);
        return Interlocked.Exchange(ref _waiter, null);
    }
}

// Readers of signals that were counted under a lock, or on the stack of somebody who merely charges: resumed on a work
// item of their own.
internal sealed class ResumedReaders(List<TaskCompletionSource> readers) : IThreadPoolWorkItem
{
    internal static void Post(MemoryRoot root, List<TaskCompletionSource>? readers)
    {
        if (readers is not null)
        {
            root.Post(new ResumedReaders(readers));
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        foreach (TaskCompletionSource reader in readers)
        {
            reader.TrySetResult();
        }
    }
}
