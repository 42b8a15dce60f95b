// A root for races on real threads: whatever the protocol posts runs at once, on the thread that posts it, and nothing
// is left over for the reserve. Time is virtual all the same: only the threads are real.
namespace MemoryGroups.Tests;

internal static class RacingRoot
{
    public static MemoryRoot On(VirtualTime time, bool checksBuffers = false) => new(new MemoryRootOptions
    {
        TimeProvider = time,
        OomReserveBytes = 0,
        CheckBuffers = checksBuffers,
        PostHook = static item => item.Execute(),
    });
}
