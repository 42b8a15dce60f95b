// A wait for another thread that is in the middle of a few instructions: it yields, and then sleeps a millisecond at a
// time, because a thread that lost its core there has it back by then on all but the busiest machines.
//
// Bounded: whoever waits goes on without the other, which costs a refusal and never a hang.
namespace MemoryGroups;

internal struct BriefWait
{
    private const int MostYields = 1000;
    private const int MostSleeps = 20;

    private SpinWait _spin;
    private int _turns;

    // False when it has been long enough.
    internal bool TryGoOn()
    {
        if (_turns == MostYields + MostSleeps)
        {
            return false;
        }

        _turns++;
        _spin.SpinOnce(sleep1Threshold: MostYields);
        return true;
    }
}
