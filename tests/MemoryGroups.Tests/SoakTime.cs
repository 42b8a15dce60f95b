// The soak's clock: timers run by elapsed time, which its driver moves on; what the clock shows may jump besides.
//
// A timer that was armed never fires early or late because the shown time jumped: that is how an operating system's
// timers behave. Now and then there is no memory for a timer.
namespace MemoryGroups.Tests;

internal sealed class SoakTime(int seed) : TimeProvider
{
    private readonly VirtualTime _elapsed = new();
    private readonly Random _random = new(seed);
    private long _jumped;
    private int _fails;

    public int FailuresInThousand { get; set; }

    public int Failures => Volatile.Read(ref _fails);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => new(GetTimestamp(), TimeSpan.Zero);

    public override long GetTimestamp() => _elapsed.GetTimestamp() + Interlocked.Read(ref _jumped);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        lock (_random)
        {
            if (_random.Next(1000) < FailuresInThousand)
            {
                _fails++;
                throw new InsufficientMemoryException("no memory for a timer");
            }
        }

        return _elapsed.CreateTimer(callback, state, dueTime, period);
    }

    public void Advance(TimeSpan by) => _elapsed.Advance(by);

    public void Jump(TimeSpan by) => Interlocked.Add(ref _jumped, by.Ticks);
}
