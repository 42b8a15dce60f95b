// Usage thresholds: a signal for every crossing, upwards and downwards.
//
// The registrations are sorted by size; a pointer separates those at or below the usage of the last check from those
// above. The two next to the pointer are the bounds: as long as the usage stays between them nothing is crossed, and a
// change of the counter costs a look at them and no more. A change that leaves them has the pointer moved, under the
// root's guard, and every threshold that the pointer passes is raised once.
//
// Two threads that move the usage in opposite directions while the pointer moves: each changes the usage and then looks
// at the bounds; who moves the pointer writes the bounds and then looks at the usage again (all with full fences). So
// either the changer finds the new bounds, or the mover finds the new usage and goes on. Must stay true: when the usage
// has settled, the pointer stands at it: since a threshold was registered its raises are an even number while the usage
// is on the side where it was then, and odd while it is on the other. How wrong at most: a crossing there and back
// that is over before it is looked at raises nothing, or both; never one of the two.
//
// Signals are counted under the guard, so nothing is raised after Unregister has returned; readers are resumed by a
// work item, never on the stack or under the locks of whoever charges. Follows __mem_cgroup_threshold in
// mm/memcontrol-v1.c, which looks only now and then (every 128 page events on a CPU).
namespace MemoryGroups;

/// <summary>Signals for usage that crosses a size; see <see cref="MemoryGroup.Thresholds"/>.</summary>
/// <remarks>
/// Follows the thresholds of <c>memory.usage_in_bytes</c> (cgroup v1). Sizes are bytes of <see
/// cref="MemoryGroup.Usage"/>, stock included. Works on the root too.
/// Thread safety: all members may be used from any thread.
/// </remarks>
public sealed class UsageThresholds
{
    private readonly MemoryGroup _group;

    // Guarded by the root's guard, down to _seen.
    private readonly List<Threshold> _sorted = [];
    private int _reached;
    private long _seen;

    // Crossed below the lower, and at the upper: read without the guard.
    private long _lower = long.MinValue;
    private long _upper = long.MaxValue;

    internal UsageThresholds(MemoryGroup group) => _group = group;

    /// <summary>
    /// Has a signal raised whenever the usage rises to a size or above it, and whenever it falls below it again.
    /// Registering raises nothing, on whichever side the usage is now. The same signal may be registered at several
    /// sizes and several times, and is then raised for each. When the group is closed it is raised a last time.
    /// </summary>
    /// <param name="bytes">The size, at least 1.</param>
    /// <param name="signal">The signal to raise.</param>
    /// <returns>Dispose it to end this registration; disposing twice is harmless.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is less than 1.</exception>
    /// <exception cref="ArgumentNullException"><paramref name="signal"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The group is closed.</exception>
    public IDisposable Register(long bytes, MemorySignal signal)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, 1);
        ArgumentNullException.ThrowIfNull(signal);
        var threshold = new Threshold(this, bytes, signal);
        List<TaskCompletionSource>? readers = null;
        using (_group.Root.EnterGuard(_group))
        {
            Gone.ThrowIf(_group.IsClosed, _group);
            _sorted.EnsureCapacity(_sorted.Count + 1);

            // The pointer to where the usage is now, so that the new one can be put on its right side.
            SettleLocked(ref readers);
            int place = _sorted.FindIndex(other => other.Bytes > bytes);
            _sorted.Insert(place < 0 ? _sorted.Count : place, threshold);
            ChangedLocked(ref readers);
        }

        ResumedReaders.Post(_group.Root, readers);
        return threshold;
    }

    /// <summary>Ends every registration of a signal on this group, at whatever size; no error when there is none.
    /// </summary>
    /// <param name="signal">The signal; it gets nothing more from this group's thresholds.</param>
    /// <exception cref="ArgumentNullException"><paramref name="signal"/> is null.</exception>
    public void Unregister(MemorySignal signal)
    {
        ArgumentNullException.ThrowIfNull(signal);
        Remove(threshold => threshold.Signal == signal);
    }

    // Whoever has changed the usage to this has to have it checked.
    internal bool IsCrossedBy(long usage) => usage < Volatile.Read(ref _lower) || usage >= Volatile.Read(ref _upper);

    internal void Check()
    {
        List<TaskCompletionSource>? readers = null;
        using (_group.Root.EnterGuard(_group))
        {
            SettleLocked(ref readers);
        }

        ResumedReaders.Post(_group.Root, readers);
    }

    // The group is going away (M51): the caller raises what is handed out.
    internal void TakeAllLocked(List<MemorySignal> into)
    {
        into.AddRange(_sorted.Select(static threshold => threshold.Signal));
        _sorted.Clear();
        _reached = 0;
        _group.Counter.Watch(null);
    }

    private void Remove(Predicate<Threshold> which)
    {
        List<TaskCompletionSource>? readers = null;
        using (_group.Root.EnterGuard(_group))
        {
            if (_sorted.RemoveAll(which) > 0)
            {
                ChangedLocked(ref readers);
            }
        }

        ResumedReaders.Post(_group.Root, readers);
    }

    // The list has changed, the pointer still stands at the usage last seen.
    private void ChangedLocked(ref List<TaskCompletionSource>? readers)
    {
        _reached = _sorted.Count(threshold => threshold.Bytes <= _seen);
        _group.Counter.Watch(_sorted.Count > 0 ? this : null);
        SettleLocked(ref readers);
    }

    // Goes round only when somebody else has moved the usage across a bound meanwhile.
    private void SettleLocked(ref List<TaskCompletionSource>? readers)
    {
        do
        {
            _seen = _group.Usage;
            while (_reached > 0 && _sorted[_reached - 1].Bytes > _seen)
            {
                CountLocked(_sorted[--_reached], ref readers);
            }

            while (_reached < _sorted.Count && _sorted[_reached].Bytes <= _seen)
            {
                CountLocked(_sorted[_reached++], ref readers);
            }

            Interlocked.Exchange(ref _lower, _reached > 0 ? _sorted[_reached - 1].Bytes : long.MinValue);
            Interlocked.Exchange(ref _upper, _reached < _sorted.Count ? _sorted[_reached].Bytes : long.MaxValue);
        }
        while (IsCrossedBy(_group.Usage));
    }

    private static void CountLocked(Threshold threshold, ref List<TaskCompletionSource>? readers)
    {
        if (threshold.Signal.Count() is { } reader)
        {
            (readers ??= []).Add(reader);
        }
    }

    private sealed class Threshold(UsageThresholds thresholds, long bytes, MemorySignal signal) : IDisposable
    {
        internal long Bytes { get; } = bytes;

        internal MemorySignal Signal { get; } = signal;

        public void Dispose() => thresholds.Remove(threshold => threshold == this);
    }
}
