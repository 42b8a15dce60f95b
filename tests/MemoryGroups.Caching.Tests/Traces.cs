// Generated request traces: Zipf popularity, and the same with scans through it. Seeded, so that a figure in a test is
// a fact and not a chance.
namespace MemoryGroups.Caching.Tests;

internal static class Traces
{
    internal const int Objects = 100_000;
    internal const int Requests = 1_000_000;

    // Object k is asked for in proportion to 1 / k^alpha. Numbers are shuffled: neighbours are not equally popular.
    internal static int[] Zipf(int seed, double alpha, int objects = Objects, int requests = Requests)
    {
        var random = new Random(seed);
        double[] upTo = new double[objects];
        double sum = 0;
        for (int k = 0; k < objects; k++)
        {
            sum += 1 / Math.Pow(k + 1, alpha);
            upTo[k] = sum;
        }

        int[] names = [.. Enumerable.Range(0, objects)];
        random.Shuffle(names);
        int[] trace = new int[requests];
        for (int i = 0; i < requests; i++)
        {
            int at = Array.BinarySearch(upTo, random.NextDouble() * sum);
            trace[i] = names[Math.Min(at < 0 ? ~at : at, objects - 1)];
        }

        return trace;
    }

    // Every so often somebody reads objects that nobody else asks for, each of them once.
    internal static int[] WithScans(int[] trace, int every, int length)
    {
        var mixed = new List<int>(trace.Length + (trace.Length / every * length));
        int stranger = 1 << 30;
        for (int i = 0; i < trace.Length; i++)
        {
            mixed.Add(trace[i]);
            if (i % every == every - 1)
            {
                mixed.AddRange(Enumerable.Range(stranger, length));
                stranger += length;
            }
        }

        return [.. mixed];
    }
}
