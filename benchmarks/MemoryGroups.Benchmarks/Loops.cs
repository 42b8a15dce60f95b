// The patterns in which the chargers are used. Each is one method over a struct, compiled for each charger by itself;
// each answers how many charges were refused.
namespace MemoryGroups.Benchmarks;

internal static class Loops
{
    /// <summary>How many charges the walk makes before it gives them back.</summary>
    internal const int WalkLength = 256;

    /// <summary>Charge and uncharge, again and again.</summary>
    internal static long Pair<TCharger>(TCharger charger, long bytes, int operations)
        where TCharger : struct, ICharger
    {
        long refused = 0;
        for (int i = 0; i < operations; i++)
        {
            if (charger.TryCharge(bytes))
            {
                charger.Uncharge(bytes);
            }
            else
            {
                refused++;
            }
        }

        return refused;
    }

    /// <summary>256 charges, then 256 uncharges: what a query does that builds a table and drops it.</summary>
    internal static long Walk<TCharger>(TCharger charger, long bytes, int operations)
        where TCharger : struct, ICharger
    {
        long refused = 0;
        for (int done = 0; done < operations; done += WalkLength)
        {
            int charged = 0;
            for (int i = 0; i < WalkLength; i++)
            {
                charged += charger.TryCharge(bytes) ? 1 : 0;
            }

            for (int i = 0; i < charged; i++)
            {
                charger.Uncharge(bytes);
            }

            refused += WalkLength - charged;
        }

        return refused;
    }

    /// <summary>Each operation replaces one of 256 live objects by another of a random size: the sizes are drawn
    /// before, log-uniform from 64 B to 64 KiB.</summary>
    internal static long Mix<TCharger>(TCharger charger, Live live, int operations)
        where TCharger : struct, ICharger
    {
        long refused = 0;
        for (int i = 0; i < operations; i++)
        {
            ref long held = ref live.Next(out long wanted);
            if (held > 0)
            {
                charger.Uncharge(held);
            }

            held = charger.TryCharge(wanted) ? wanted : 0;
            refused += held == 0 ? 1 : 0;
        }

        return refused;
    }

    /// <summary>One charge in each of many groups in turn.</summary>
    internal static long Rotate<TCharger>(TCharger[] chargers, Turn turn, long bytes, int operations)
        where TCharger : struct, ICharger
    {
        long refused = 0;
        for (int i = 0; i < operations; i++)
        {
            TCharger charger = chargers[turn.Next(chargers.Length)];
            if (charger.TryCharge(bytes))
            {
                charger.Uncharge(bytes);
            }
            else
            {
                refused++;
            }
        }

        return refused;
    }

    /// <summary>
    /// Charged by one thread, returned by the other, in both directions: what a pipeline of threads does. Handed over
    /// in lots of 512, so that the hand-over itself is not what is measured; a lot that the other one does not take in
    /// time (it ended its window, or lags) goes back here.
    /// </summary>
    internal static long HandOff<TCharger>(TCharger charger, Mailbox own, Mailbox other, long bytes, int operations)
        where TCharger : struct, ICharger
    {
        long refused = 0;
        for (int done = 0; done < operations; done += Mailbox.Lot)
        {
            for (int i = 0; i < Mailbox.Lot; i++)
            {
                refused += charger.TryCharge(bytes) ? 0 : 1;
            }

            int lots = (other.TrySend() ? 0 : 1) + (own.TryTake() ? 1 : 0);
            for (int i = 0; i < lots * Mailbox.Lot; i++)
            {
                charger.Uncharge(bytes);
            }
        }

        return refused;
    }
}

/// <summary>Lots that one thread has charged and another is to return.</summary>
internal sealed class Mailbox
{
    internal const int Lot = 512;
    private const int MostLots = 16;

    private readonly PaddedCount _lots = new();

    internal bool TrySend()
    {
        if (Volatile.Read(ref _lots.Value) >= MostLots)
        {
            return false;
        }

        Interlocked.Increment(ref _lots.Value);
        return true;
    }

    // One taker, so that what it has seen is still there.
    internal bool TryTake()
    {
        if (Volatile.Read(ref _lots.Value) == 0)
        {
            return false;
        }

        Interlocked.Decrement(ref _lots.Value);
        return true;
    }
}

/// <summary>The objects of one thread of <see cref="Loops.Mix"/>.</summary>
internal sealed class Live
{
    private const int Objects = 256;

    private readonly long[] _held = new long[Objects];
    private readonly long[] _sizes = new long[4096];
    private int _next;

    internal Live(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < _sizes.Length; i++)
        {
            _sizes[i] = (long)Math.Pow(2, 6 + (10 * random.NextDouble()));
        }
    }

    internal long Bytes => _held.Sum();

    internal ref long Next(out long wanted)
    {
        int at = _next = (_next + 1) & (_sizes.Length - 1);
        wanted = _sizes[at];
        return ref _held[(at * 97) & (Objects - 1)];
    }
}

/// <summary>Whose turn it is, kept between chunks. A step that is prime to the number of groups, so that neighbours
/// in memory are not neighbours in time.</summary>
internal sealed class Turn(int start)
{
    private int _at = start;

    internal int Next(int count)
    {
        _at += 389;
        return _at %= count;
    }
}
