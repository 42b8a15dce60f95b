// What a thread waits for until it is its turn. Waits actively for a moment, because the next hand-over is usually near
// and waking a sleeping thread costs more than everything else in a step; then sleeps.
namespace MemoryGroups.Tests;

internal sealed class Baton
{
    private const int Closed = 0;
    private const int Opened = 1;
    private const int Slept = 2;

    // With one core spinning only keeps the other thread from running.
    private static readonly int Spins = Environment.ProcessorCount > 1 ? 20 : 0;

    private readonly object _bed = new();
    private int _state;

    public void Open()
    {
        if (Interlocked.Exchange(ref _state, Opened) == Slept)
        {
            lock (_bed)
            {
                Monitor.Pulse(_bed);
            }
        }
    }

    public bool Wait(TimeSpan timeout)
    {
        for (int i = 0; i < Spins; i++)
        {
            if (Volatile.Read(ref _state) == Opened)
            {
                Volatile.Write(ref _state, Closed);
                return true;
            }

            Thread.SpinWait(20);
        }

        lock (_bed)
        {
            if (Interlocked.CompareExchange(ref _state, Slept, Closed) == Closed)
            {
                while (Volatile.Read(ref _state) != Opened)
                {
                    if (!Monitor.Wait(_bed, timeout))
                    {
                        return false;
                    }
                }
            }
        }

        Volatile.Write(ref _state, Closed);
        return true;
    }
}
