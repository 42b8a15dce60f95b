// What can be watched of a group: events, peaks, thresholds and pressure.
//
// Each is made when it is first asked for: most groups live and die without anybody looking.
// Must stay true: when the group is closed every signal registered here is raised a last time (M51).
namespace MemoryGroups;

public partial class MemoryGroup
{
    private Watched? _watched;

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
            return Volatile.Read(ref _watched)?.Peaks?.Own.Bytes ?? mark;
        }
    }

    /// <summary>Event counters.</summary>
    public MemoryEvents Events => Volatile.Read(ref _watched)?.Events ?? WatchedNow.EventsOf(this);

    /// <summary>Signals for usage that crosses a size.</summary>
    public UsageThresholds Thresholds => WatchedNow.ThresholdsOf(this);

    /// <summary>How hard memory is to get here: signals by level, and the time that was lost.</summary>
    public MemoryPressure Pressure => Volatile.Read(ref _watched)?.Pressure ?? WatchedNow.PressureOf(this);

    // Null while nobody has asked for it and nothing has stalled.
    internal MemoryPressure? KnownPressure => Volatile.Read(ref _watched)?.Pressure;

    private UsagePeaks Peaks => WatchedNow.PeaksOf(this);

    private Watched WatchedNow =>
        Volatile.Read(ref _watched) ?? Interlocked.CompareExchange(ref _watched, new Watched(), null) ?? _watched;

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
        Watched? watched = Volatile.Read(ref _watched);
        watched?.Thresholds?.TakeAllLocked(into);
        watched?.Pressure?.TakeAllLocked(into);
    }

    // One object for all of them: a group that nobody looks at has none. Each part is made once, whoever asks.
    private sealed class Watched
    {
        private MemoryEvents? _events;
        private UsagePeaks? _peaks;
        private UsageThresholds? _thresholds;
        private MemoryPressure? _pressure;

        internal MemoryEvents? Events => Volatile.Read(ref _events);

        internal UsagePeaks? Peaks => Volatile.Read(ref _peaks);

        internal UsageThresholds? Thresholds => Volatile.Read(ref _thresholds);

        internal MemoryPressure? Pressure => Volatile.Read(ref _pressure);

        internal MemoryEvents EventsOf(MemoryGroup group) =>
            Events ?? Interlocked.CompareExchange(ref _events, new MemoryEvents(group), null) ?? _events;

        internal UsagePeaks PeaksOf(MemoryGroup group) =>
            Peaks ?? Interlocked.CompareExchange(ref _peaks, new UsagePeaks(group), null) ?? _peaks;

        internal UsageThresholds ThresholdsOf(MemoryGroup group) =>
            Thresholds ?? Interlocked.CompareExchange(ref _thresholds, new UsageThresholds(group), null) ?? _thresholds;

        internal MemoryPressure PressureOf(MemoryGroup group) =>
            Pressure ?? Interlocked.CompareExchange(ref _pressure, new MemoryPressure(group), null) ?? _pressure;
    }
}
