// A clock that stands still until a test moves it. Timers fire in order of their due time, on the test's own thread.
namespace MemoryGroups.Tests;

internal sealed class VirtualTime : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly List<VirtualTimer> _timers = [];
    private long _ticks = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero).Ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public int ArmedTimers
    {
        get
        {
            lock (_gate)
            {
                return _timers.Count;
            }
        }
    }

    public override DateTimeOffset GetUtcNow() => new(Interlocked.Read(ref _ticks), TimeSpan.Zero);

    public override long GetTimestamp() => Interlocked.Read(ref _ticks);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        Assert.True(period == Timeout.InfiniteTimeSpan, "no timer of the core repeats by itself");
        var timer = new VirtualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    // Fires what comes due on the way; `between` runs after each timer, so that its consequences come before the next.
    public void Advance(TimeSpan by, Action? between = null)
    {
        long end = Interlocked.Read(ref _ticks) + by.Ticks;
        while (Next(end) is { } due)
        {
            due.Fire();
            between?.Invoke();
        }

        Interlocked.Exchange(ref _ticks, end);
    }

    // How far away the next timer is; the longest time when there is none.
    public TimeSpan NextDueIn
    {
        get
        {
            lock (_gate)
            {
                long due = long.MaxValue;
                foreach (VirtualTimer timer in _timers)
                {
                    due = Math.Min(due, timer.Due);
                }

                return due == long.MaxValue ? TimeSpan.MaxValue : new TimeSpan(due - Interlocked.Read(ref _ticks));
            }
        }
    }

    // Goes on to the next timer, whenever that is due. False when there is none.
    public bool FireNext()
    {
        VirtualTimer? next = Next(long.MaxValue);
        next?.Fire();
        return next is not null;
    }

    private VirtualTimer? Next(long end)
    {
        lock (_gate)
        {
            VirtualTimer? next = null;
            foreach (VirtualTimer timer in _timers)
            {
                // Of equals the one that was armed first.
                if (timer.Due <= end && (next is null || timer.Due < next.Due))
                {
                    next = timer;
                }
            }

            if (next is not null)
            {
                _timers.Remove(next);
                Interlocked.Exchange(ref _ticks, Math.Max(_ticks, next.Due));
            }

            return next;
        }
    }

    private sealed class VirtualTimer(VirtualTime time, TimerCallback callback, object? state) : ITimer
    {
        public long Due { get; private set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (time._gate)
            {
                time._timers.Remove(this);
                if (dueTime != Timeout.InfiniteTimeSpan)
                {
                    Due = Interlocked.Read(ref time._ticks) + dueTime.Ticks;
                    time._timers.Add(this);
                }
            }

            return true;
        }

        public void Dispose()
        {
            lock (time._gate)
            {
                time._timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
