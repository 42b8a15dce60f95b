// Charges that always fit, beside one that never does: every refusal of the former is false.
//
// Half of a limit is filled for good. Each worker holds at most its share of the other half, so whatever it asks for
// fits; a nuisance asks all the time for one byte more than the half. A speculative add makes the nuisance's bytes
// stand in the counter for a moment, and the workers are refused on bytes that nobody has.
namespace MemoryGroups.Benchmarks;

internal sealed class Fitting<TCharger>(long limit, Func<int, TCharger> worker, TCharger nuisance)
    where TCharger : struct, ICharger
{
    private long _asked;
    private long _refused;
    private int _working;

    internal long Asked => _asked;

    internal long FalselyRefused => _refused;

    /// <summary>Thread 0 is the nuisance.</summary>
    internal void Run(int threads, long charges, int seed)
    {
        _working = threads - 1;
        Thread[] running =
        [
            new Thread(Nag),
            .. Enumerable.Range(1, threads - 1).Select(i => new Thread(() =>
            {
                Work(worker(i), limit / 2 / (threads - 1), charges / (threads - 1), new Random(seed + i));
                Interlocked.Decrement(ref _working);
            })),
        ];
        Array.ForEach(running, static thread => thread.Start());
        Array.ForEach(running, static thread => thread.Join());
    }

    private void Nag()
    {
        while (Volatile.Read(ref _working) > 0)
        {
            if (nuisance.TryCharge((limit / 2) + 1))
            {
                throw new InvalidOperationException("what cannot fit was granted");
            }
        }
    }

    private void Work(TCharger own, long share, long charges, Random random)
    {
        var held = new Queue<long>();
        long holds = 0;
        long refused = 0;
        for (long i = 0; i < charges; i++)
        {
            long bytes = 1 + random.NextInt64(Math.Min(16 * 1024, share));
            while (holds + bytes > share || (held.Count > 0 && random.Next(64) == 0))
            {
                // Now and then everything, so that there is room for stock.
                for (int back = random.Next(32) == 0 ? held.Count : 1; back > 0; back--)
                {
                    long part = held.Dequeue();
                    holds -= part;
                    own.Uncharge(part);
                }
            }

            if (own.TryCharge(bytes))
            {
                held.Enqueue(bytes);
                holds += bytes;
            }
            else
            {
                refused++;
            }
        }

        foreach (long part in held)
        {
            own.Uncharge(part);
        }

        Interlocked.Add(ref _asked, charges);
        Interlocked.Add(ref _refused, refused);
    }
}
