// Compiled into every test project: what is alive of things that are over. Many of a kind are made and ended one after
// the other; a handful may stay (in a pool, or in what a thread remembers), never a number that grows with those that
// were made.
namespace MemoryGroups.Tests;

internal static class Survivors
{
    // How many of each column are alive once there are no more than so many, or patience ends: what ends on the thread
    // pool, or with a thread of its own, does so a little later.
    public static int[] Count(IReadOnlyList<WeakReference[]> made, int most, TimeSpan patience)
    {
        int[] alive = [];
        SpinWait.SpinUntil(
            () =>
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
                alive = [.. made[0].Select((_, at) => made.Count(one => one[at].IsAlive))];
                return alive.All(count => count <= most);
            },
            patience);
        return alive;
    }
}
