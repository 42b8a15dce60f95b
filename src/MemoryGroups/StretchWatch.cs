// Notices threads that meter and do not come back, and has the runtime say what they allocate.
//
// Every 50 ms it looks whether a metered thread is still in the stretch of the look before. If one is, and the process
// allocates in earnest, the runtime's allocation events are switched on (AllocationTicks); a second after the last such
// look they are switched off again, because each of them costs some microseconds. A service whose work awaits pays for
// the looks alone: two a second while nobody is in a scope, and none before the first one.
//
// How late at most: two looks, until the events flow; then what the runtime holds them back, measured up to some tens
// of milliseconds. What was allocated before that is not in the estimate; it is counted when the stretch ends.
// Must stay true: nothing here runs in anybody's metered flow; nothing of ours is locked while a member is told.
namespace MemoryGroups;

internal static class StretchWatch
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan IdlePeriod = TimeSpan.FromMilliseconds(500);
    private static readonly Lazy<Watch> Shared = new(static () => new Watch());

    // The first metered scope of the process starts the looks.
    internal static void Start() => _ = Shared.Value;

    // On the thread that is to be known: the event is delivered here and now, with the system's number of this thread.
    internal static void Identify() => Shared.Value.Ticks.Identify();

    private sealed class Watch
    {
        private readonly ListeningRule _rule = new();
        private readonly ITimer _timer;

        internal Watch()
        {
            // The timer must not capture the flow of who happens to come first.
            AsyncFlowControl? flow = ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();
            _timer = TimeProvider.System.CreateTimer(
                static watch => ((Watch)watch!).Look(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            flow?.Undo();
            _timer.Change(Period, Timeout.InfiniteTimeSpan);
        }

        internal AllocationTicks Ticks { get; } = new();

        private void Look()
        {
            (bool metered, bool isLong) = MeteredThread.LookAtAll(TimeProvider.System.GetUtcNow().UtcDateTime);
            bool before = _rule.IsListening;
            _rule.Look(isLong, GC.GetTotalAllocatedBytes(precise: false));
            if (_rule.IsListening != before)
            {
                Ticks.Switch(_rule.IsListening);
            }

            _timer.Change(metered ? Period : IdlePeriod, Timeout.InfiniteTimeSpan);
        }
    }
}

// Whether the runtime's allocation events are worth their cost, decided at each look.
internal sealed class ListeningRule
{
    internal const long InEarnest = 1 << 20;
    internal const int LooksUntilOff = 20;

    private long _total;
    private int _quiet;

    internal bool IsListening { get; private set; }

    // The total is what the process has allocated since it began, in bytes.
    internal void Look(bool isLong, long total)
    {
        bool wanted = isLong && total - _total >= InEarnest;
        _quiet = wanted ? 0 : _quiet + 1;
        IsListening = wanted || (IsListening && _quiet < LooksUntilOff);
        _total = total;
    }
}
