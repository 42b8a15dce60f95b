// How much of the time a group's work stood still for want of memory: some of it, or all of it.
//
// Two switches, and the clock between their changes. Three averages of each fade exponentially, over 10, 60 and 300
// seconds; they are brought up to date when a switch changes or somebody reads, so no timer runs. The kernel does the
// same in steps of two seconds (avg = avg * e^(-2/T) + share * (1 - e^(-2/T))); this is its continuous form, which
// agrees with it wherever a switch changes only between steps.
//
// Must stay true: all under the root's guard; nothing is ever negative or above 100 percent, whatever the clock does: a
// clock that goes back stops ours until it has caught up. Follows kernel/sched/psi.c.
namespace MemoryGroups;

/// <summary>The share of time in which work was stalled on memory; see <see cref="MemoryPressure"/>.</summary>
/// <remarks>Thread safety: immutable.</remarks>
/// <param name="Average10">Percent of the time, 0 to 100, fading over 10 seconds.</param>
/// <param name="Average60">Percent of the time, 0 to 100, fading over 60 seconds.</param>
/// <param name="Average300">Percent of the time, 0 to 100, fading over 300 seconds.</param>
/// <param name="TotalTime">All of the time since the group was made. Never falls.</param>
public readonly record struct PressureStall(
    double Average10, double Average60, double Average300, TimeSpan TotalTime);

internal sealed class StallClock(TimeProvider time)
{
    private Share _some;
    private Share _full;
    private long _last = time.GetTimestamp();

    internal void SetLocked(bool some, bool full)
    {
        if (some != _some.Runs || full != _full.Runs)
        {
            AdvanceLocked();
            _some.Runs = some;
            _full.Runs = full;
        }
    }

    internal (PressureStall Some, PressureStall Full) ReadLocked()
    {
        AdvanceLocked();
        return (_some.Read(time), _full.Read(time));
    }

    private void AdvanceLocked()
    {
        long now = time.GetTimestamp();
        if (now <= _last)
        {
            return;
        }

        long passed = now - _last;
        _last = now;
        double seconds = passed / (double)time.TimestampFrequency;
        double keep10 = Math.Exp(-seconds / 10);
        double keep60 = Math.Exp(-seconds / 60);
        double keep300 = Math.Exp(-seconds / 300);
        _some.Advance(passed, keep10, keep60, keep300);
        _full.Advance(passed, keep10, keep60, keep300);
    }

    private struct Share
    {
        private double _average10;
        private double _average60;
        private double _average300;
        private long _total;

        internal bool Runs { get; set; }

        internal void Advance(long passed, double keep10, double keep60, double keep300)
        {
            double now = Runs ? 1 : 0;
            _average10 = now + ((_average10 - now) * keep10);
            _average60 = now + ((_average60 - now) * keep60);
            _average300 = now + ((_average300 - now) * keep300);
            _total += Runs ? passed : 0;
        }

        internal readonly PressureStall Read(TimeProvider time) => new(
            Percent(_average10), Percent(_average60), Percent(_average300), time.GetElapsedTime(0, _total));

        private static double Percent(double share) => Math.Clamp(100 * share, 0, 100);
    }
}
