// Event counters of a group: local (it happened here) and hierarchical (here or below), and a way to wait for a change.
//
// Counters only rise (I13). Hierarchical counts go up to, and not into, the root, which shows only what happened to
// itself. Local is written after hierarchical: who reads Local first and Current then never sees more events in a group
// than in its subtree. Watchers are told last, so that they find both.
namespace MemoryGroups;

internal enum MemoryEvent
{
    Low,
    High,
    Max,
    Oom,
    OomKill,
    OomGroupKill,
    Wait,
    BudgetKill,
}

/// <summary>A snapshot of the event counters of a group.</summary>
/// <remarks>The counters of the kernel's <c>memory.events</c> and one more. Thread safety: immutable.</remarks>
/// <param name="Low">Times the group was reclaimed although it was below its Low protection.</param>
/// <param name="High">Times a charge found the group above High.</param>
/// <param name="Max">Times a charge was about to exceed Max (one request may count several times).</param>
/// <param name="Oom">Times a request won the group's OOM lock.</param>
/// <param name="OomKill">Members of the group killed by the OOM killer (once for each space).</param>
/// <param name="OomGroupKill">Times the group was killed as a whole.</param>
/// <param name="Waits">Times a request went to sleep because the group was full.</param>
public readonly record struct MemoryEventCounts(
    long Low, long High, long Max, long Oom, long OomKill, long OomGroupKill, long Waits)
{
    /// <summary>
    /// Of the kills, those for a <see cref="MemoryMember.AllocationBudget"/>; they count as OomKill, too.
    /// </summary>
    public long BudgetKill { get; init; }
}

/// <summary>The event counters of a group, and the stream of their changes.</summary>
/// <remarks>
/// Follows <c>memory.events</c> and <c>memory.events.local</c> (Documentation/admin-guide/cgroup-v2.rst).
/// Thread safety: all members may be used from any thread.
/// </remarks>
public sealed class MemoryEvents
{
    private const int Kinds = 8;

    private readonly MemoryGroup _group;
    private readonly long[] _local = new long[Kinds];
    private readonly long[] _total = new long[Kinds];
    private TaskCompletionSource? _changed;

    internal MemoryEvents(MemoryGroup group) => _group = group;

    /// <summary>Events in this group and in all groups below it.</summary>
    public MemoryEventCounts Current => Read(_total);

    /// <summary>Events in this group itself. To compare, read this first and <see cref="Current"/> then.</summary>
    public MemoryEventCounts Local => Read(_local);

    /// <summary>
    /// Yields the current counters at once and again after every change; changes that come quickly are seen as one.
    /// </summary>
    /// <param name="cancellationToken">Ends the stream.</param>
    /// <returns>Snapshots of the hierarchical counters. Ends when the group is closed.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async IAsyncEnumerable<MemoryEventCounts> WatchAsync(
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (true)
        {
            // Ask for the next change before reading: a change in between completes the task at once.
            Task next = NextChange();
            yield return Current;
            if (_group.IsClosed)
            {
                yield break;
            }

            await next.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    internal void Raise(MemoryEvent kind)
    {
        for (MemoryGroup? at = _group; at is not null; at = Above(at))
        {
            Interlocked.Increment(ref at.Events._total[(int)kind]);
        }

        Interlocked.Increment(ref _local[(int)kind]);
        for (MemoryGroup? at = _group; at is not null; at = Above(at))
        {
            at.Events.SignalChange();
        }
    }

    // Somebody who watches a group must not sleep on when it goes away.
    internal void SignalChange() => Interlocked.Exchange(ref _changed, null)?.TrySetResult();

    // Up to, and not into, the root.
    private static MemoryGroup? Above(MemoryGroup group) => group.Parent is { Parent: not null } parent ? parent : null;

    private static MemoryEventCounts Read(long[] from) => new(
        Interlocked.Read(ref from[0]),
        Interlocked.Read(ref from[1]),
        Interlocked.Read(ref from[2]),
        Interlocked.Read(ref from[3]),
        Interlocked.Read(ref from[4]),
        Interlocked.Read(ref from[5]),
        Interlocked.Read(ref from[6]))
    {
        BudgetKill = Interlocked.Read(ref from[7]),
    };

    private Task NextChange()
    {
        TaskCompletionSource? current = Volatile.Read(ref _changed);
        while (current is null)
        {
            var fresh = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            current = Interlocked.CompareExchange(ref _changed, fresh, null) ?? fresh;
        }

        return current.Task;
    }
}
