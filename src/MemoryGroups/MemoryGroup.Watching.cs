// What can be watched of a group besides its events: peaks, thresholds and pressure.
//
// Each is made when it is first asked for: most groups live and die without anybody looking.
// Must stay true: when the group is closed every signal registered here is raised a last time (M51).
namespace MemoryGroups;

public partial class MemoryGroup
{
    private UsagePeaks? _peaks;
    private UsageThresholds? _thresholds;
    private MemoryPressure? _pressure;

    // Guarded by the root's guard: members of the subtree that are neither exited nor frozen, and those of them that
    // are stalled; see MemoryPressure.
    internal int LiveMembers;
    internal int StalledMembers;

    /// <summary>
    /// The highest <see cref="Usage"/> since <see cref="ResetPeak"/>, or of all time, in bytes. Bytes that were refused
    /// never count.
    /// </summary>
    public long PeakUsage
    {
        get
        {
            // The mark first: a reader that opens and resets in between replaces it, but not before _peaks is there.
            long mark = Counter.Peak;
            return Volatile.Read(ref _peaks)?.Own.Bytes ?? mark;
        }
    }

    /// <summary>Signals for usage that crosses a size.</summary>
    public UsageThresholds Thresholds =>
        Volatile.Read(ref _thresholds)
        ?? Interlocked.CompareExchange(ref _thresholds, new UsageThresholds(this), null)
        ?? _thresholds;

    /// <summary>How hard memory is to get here: signals by level, and the time that was lost.</summary>
    public MemoryPressure Pressure =>
        Volatile.Read(ref _pressure)
        ?? Interlocked.CompareExchange(ref _pressure, new MemoryPressure(this), null)
        ?? _pressure;

    // Null while nobody has asked for it and nothing has stalled.
    internal MemoryPressure? KnownPressure => Volatile.Read(ref _pressure);

    private UsagePeaks Peaks =>
        Volatile.Read(ref _peaks) ?? Interlocked.CompareExchange(ref _peaks, new UsagePeaks(this), null) ?? _peaks;

    /// <summary>
    /// Sets <see cref="PeakUsage"/> to the usage now. Readers of <see cref="OpenPeak"/> keep theirs.
    /// </summary>
    public void ResetPeak() => Peaks.TryReset(Peaks.Own);

    /// <summary>
    /// Opens a peak of its own, which starts with <see cref="PeakUsage"/> and is reset independently.
    /// </summary>
    /// <returns>The reader; dispose it when done.</returns>
    /// <exception cref="ObjectDisposedException">The group is closed.</exception>
    public MemoryPeak OpenPeak() => Peaks.Open();

    /// <summary>
    /// Whom the killer would choose now if this group were full (the root: out of capacity), the first to die first,
    /// with the scores and why. Only who may be killed is in it, one member for each space. A custom policy or a
    /// handler is not asked.
    /// </summary>
    /// <returns>A new list; scores are bytes, against this group's limit, or its usage when it has none.</returns>
    public IReadOnlyList<OomCandidate> GetOomScores() => OomCandidates.Table(this);

    private void TakeWatchersLocked(List<MemorySignal> into)
    {
        _thresholds?.TakeAllLocked(into);
        _pressure?.TakeAllLocked(into);
    }
}
