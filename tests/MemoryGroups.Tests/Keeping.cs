// Pools that keep something, by returning to them often enough; and work on a thread of its own that then ends.
using System.Runtime.ExceptionServices;

namespace MemoryGroups.Tests;

internal static class Keeping
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    // The array of that length that the pool keeps for this thread.
    public static T[] Array<T>(ChargedArrayPool<T> pool, int length)
    {
        T[] last = [];
        for (int i = 0; i < 4; i++)
        {
            last = pool.Rent(length);
            pool.Return(last);
        }

        Assert.True(
            KeptSlots.Of(pool.Id)?.Holds(KeptSlots.ClassFor(last.Length), last) == true,
            "the pool does not keep it; it should");
        return last;
    }

    // Whether it keeps anything or not.
    public static void ReturnOften<T>(ChargedArrayPool<T> pool, int length)
    {
        for (int i = 0; i < 64; i++)
        {
            pool.Return(pool.Rent(length));
        }
    }

    // On another thread, which has ended when it answers.
    public static T On<T>(Func<T> work)
    {
        T? result = default;
        Exception? error = null;
        var thread = new Thread(() => error = Record.Exception(() => result = work()));
        thread.Start();
        Assert.True(thread.Join(Deadline), "the thread does not end");
        if (error is not null)
        {
            ExceptionDispatchInfo.Throw(error);
        }

        return result!;
    }
}
