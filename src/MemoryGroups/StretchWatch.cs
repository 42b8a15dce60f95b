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
    internal const long InEarnest = 1 << 20;
    internal const int LooksUntilOff = 20;

    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan IdlePeriod = TimeSpan.FromMilliseconds(500);
    private static readonly Lazy<Watch> Shared = new(static () => new Watch());

    internal static bool IsListening => Shared.IsValueCreated && Shared.Value.IsListening;

    // The first metered scope of the process starts the looks.
    internal static void Start() => _ = Shared.Value;

    // On the thread that is to be known: the event is delivered here and now, with the system's number of this thread.
    internal static void Identify() => Shared.Value.Ticks.Identify();

    private sealed class Watch
    {
        private readonly ITimer _timer;
        private long _total;
        private int _quiet;

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

        internal bool IsListening { get; private set; }

        private void Look()
        {
            (bool metered, bool isLong) = MeteredThread.LookAtAll(TimeProvider.System.GetUtcNow().UtcDateTime);
            long total = GC.GetTotalAllocatedBytes(precise: false);
            if (isLong && total - _total >= InEarnest)
            {
                _quiet = 0;
                Listen(true);
            }
            else if (IsListening && ++_quiet >= LooksUntilOff)
            {
                Listen(false);
            }

            _total = total;
            _timer.Change(metered ? Period : IdlePeriod, Timeout.InfiniteTimeSpan);
        }

        private void Listen(bool on)
        {
            if (IsListening != on)
            {
                IsListening = on;
                Ticks.Switch(on);
            }
        }
    }
}
