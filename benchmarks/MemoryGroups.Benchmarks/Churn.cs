// Threads that charge and return random sizes in a tree with tight limits, watched by counters of their own.
//
// A thread adds to the shadow counters after a charge was granted and subtracts before it returns the bytes, so the
// shadows never say more than is really charged: a shadow above a limit is an over-admission, whatever the books say.
// Limits are the smallest at which there is stock at all, so that stock is opened and drained all the time; larger ones
// hide every mistake. Three levels: one top, two tenants, four leaves; threads refuse, return much, and come again.
namespace MemoryGroups.Benchmarks;

internal sealed class Churn<TCharger>(Churn.Limits limits, Func<int, int, TCharger> charger)
    where TCharger : struct, ICharger
{
    private const int Stride = 16;

    private readonly long[] _shadow = new long[7 * Stride];
    private long _mostOver;
    private long _admitted;
    private long _refused;

    /// <summary>The most that was ever charged above some limit, in bytes.</summary>
    internal long MostOver => Math.Max(0, _mostOver);

    internal long Admitted => _admitted;

    internal long Refused => _refused;

    internal void Run(int threads, long charges, int seed)
    {
        Exception? failure = null;
        Thread[] running = [.. Enumerable.Range(0, threads).Select(i => new Thread(() =>
        {
            try
            {
                Work(i, charges / threads, new Random(seed + i));
            }
            catch (Exception e)
            {
                failure = e;
            }
        }))];
        Array.ForEach(running, static thread => thread.Start());
        Array.ForEach(running, static thread => thread.Join());
        if (failure is not null)
        {
            throw new InvalidOperationException("a thread failed", failure);
        }
    }

    private void Work(int thread, long charges, Random random)
    {
        TCharger[] leaves = [.. Enumerable.Range(0, Churn.Leaves).Select(leaf => charger(thread, leaf))];
        var held = new Queue<(int Leaf, long Bytes)>();
        long admitted = 0;
        long refused = 0;
        while (admitted < charges)
        {
            int dice = random.Next();
            int leaf = dice & 3;
            bool isLarge = (dice & 0x1c) == 0;
            long bytes = 1 + random.Next(isLarge ? 200_000 : 4096);
            int release = 1;
            if ((dice & 0x700) < 0x500)
            {
                if (leaves[leaf].TryCharge(bytes))
                {
                    Add(leaf, bytes);
                    held.Enqueue((leaf, bytes));
                    admitted++;
                    continue;
                }

                refused++;
                release = (dice & 0x3800) == 0 ? held.Count : 1;
            }

            Release(leaves, held, release);
        }

        Release(leaves, held, held.Count);
        Interlocked.Add(ref _admitted, admitted);
        Interlocked.Add(ref _refused, refused);
    }

    private void Release(TCharger[] leaves, Queue<(int Leaf, long Bytes)> held, int count)
    {
        for (; count > 0 && held.TryDequeue(out (int Leaf, long Bytes) back); count--)
        {
            Move(back.Leaf, -back.Bytes);
            leaves[back.Leaf].Uncharge(back.Bytes);
        }
    }

    private void Add(int leaf, long bytes)
    {
        long over = Move(leaf, bytes);
        long most = Volatile.Read(ref _mostOver);
        while (over > most)
        {
            long was = Interlocked.CompareExchange(ref _mostOver, over, most);
            most = was == most ? over : was;
        }
    }

    // How far the level that is furthest above its limit is above it; negative when none is.
    private long Move(int leaf, long bytes)
    {
        long top = Interlocked.Add(ref _shadow[0], bytes) - limits.Top;
        long tenant = Interlocked.Add(ref _shadow[(1 + (leaf / 2)) * Stride], bytes) - limits.Tenant;
        long own = Interlocked.Add(ref _shadow[(3 + leaf) * Stride], bytes) - limits.Leaf;
        return Math.Max(top, Math.Max(tenant, own));
    }
}

internal static class Churn
{
    internal const int Leaves = 4;

    internal sealed record Limits(long Top, long Tenant, long Leaf)
    {
        /// <summary>The smallest at which a group of this machine has stock, times so much.</summary>
        internal static Limits Tight(int times)
        {
            long smallest = 16L * 1024 * 16 * Tree.StockSlots * times;
            return new Limits(3 * smallest, 2 * smallest, smallest * 5 / 4);
        }
    }
}
