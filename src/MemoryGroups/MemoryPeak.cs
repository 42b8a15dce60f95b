// Peaks: the highest usage since somebody's own reset, for the group and for any number of readers.
//
// The counter keeps one mark, the highest usage since anybody's last reset, and raises it as it always did; readers
// cost the charge path nothing. Each peak is the larger of the mark and of what was folded into it before: whoever
// resets first folds the mark into all the others, then swaps exactly that mark for the usage now, then is the only one
// that starts anew. A mark that was raised in between stays: it is a usage that came after the reset had begun.
//
// Must stay true: a peak is never below a usage that its reader could have seen since its reset, and never falls except
// by that reset. Resets and reads exclude each other by the root's guard: in the middle of a reset the mark may be too
// low. A charge adds and then looks at the mark, a reset swaps the mark and then looks at the usage: one of the two
// sees the other. How wrong at most: a charge that added before the reset and raises the mark after it shows its (true,
// slightly older) usage in the new peak. Follows memory.peak in mm/memcontrol.c.
namespace MemoryGroups;

/// <summary>A reader of a group's peak with a reset of its own; see <see cref="MemoryGroup.OpenPeak"/>.</summary>
/// <remarks>
/// The counterpart of an open <c>memory.peak</c> of cgroup v2. Thread safety: all members may be used from any thread.
/// </remarks>
public sealed class MemoryPeak : IDisposable
{
    private readonly UsagePeaks _peaks;

    // Guarded by the root's guard.
    private long _folded;
    private bool _closed;

    internal MemoryPeak(UsagePeaks peaks, long start)
    {
        _peaks = peaks;
        _folded = start;
    }

    /// <summary>
    /// The highest <see cref="MemoryGroup.Usage"/> since <see cref="Reset"/>, in bytes, stock included. Before the
    /// first reset it is what <see cref="MemoryGroup.PeakUsage"/> was when this reader was opened, or more. After <see
    /// cref="Dispose"/> it stays what it was then.
    /// </summary>
    public long Bytes
    {
        get
        {
            using (_peaks.EnterGuard())
            {
                return BytesLocked;
            }
        }
    }

    internal long BytesLocked => _closed ? _folded : Math.Max(_folded, _peaks.Mark);

    /// <summary>Sets this peak, and no other, to the usage now.</summary>
    /// <exception cref="ObjectDisposedException">The reader is disposed.</exception>
    public void Reset() => ObjectDisposedException.ThrowIf(!_peaks.TryReset(this), this);

    /// <summary>Closes the reader. In any order with others and with the group; twice is harmless.</summary>
    public void Dispose() => _peaks.Close(this);

    internal void FoldLocked(long mark) => _folded = Math.Max(_folded, mark);

    internal void RestartLocked() => _folded = 0;

    internal void CloseLocked(long mark)
    {
        FoldLocked(mark);
        _closed = true;
    }
}

internal sealed class UsagePeaks
{
    private readonly MemoryGroup _group;

    // Guarded by the root's guard.
    private readonly HashSet<MemoryPeak> _readers = [];

    internal UsagePeaks(MemoryGroup group)
    {
        _group = group;
        Own = new MemoryPeak(this, start: 0);
        _readers.Add(Own);
    }

    // The group's own: what PeakUsage shows and ResetPeak resets.
    internal MemoryPeak Own { get; }

    internal long Mark => _group.Counter.Peak;

    internal Lock.Scope EnterGuard() => _group.Root.EnterGuard(_group);

    internal MemoryPeak Open()
    {
        using (EnterGuard())
        {
            Gone.ThrowIf(_group.IsClosed, _group);
            var reader = new MemoryPeak(this, Own.BytesLocked);
            _readers.Add(reader);
            return reader;
        }
    }

    // False when it is closed.
    internal bool TryReset(MemoryPeak reader)
    {
        using (EnterGuard())
        {
            if (!_readers.Contains(reader))
            {
                return false;
            }

            long mark = Mark;
            foreach (MemoryPeak other in _readers)
            {
                other.FoldLocked(mark);
            }

            _group.Counter.RestartPeak(mark);
            reader.RestartLocked();
            return true;
        }
    }

    internal void Close(MemoryPeak reader)
    {
        using (EnterGuard())
        {
            if (_readers.Remove(reader))
            {
                reader.CloseLocked(Mark);
            }
        }
    }
}
