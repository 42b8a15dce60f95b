// How much a limit of 16 MiB really lets in: every thread charges until it is refused, and the sum is what counts.
//
// Late posting is the control: each thread may hold what nobody knows of, so the sum passes the limit.
namespace MemoryGroups.Benchmarks;

internal static class OverAdmission
{
    private const long Limit = 16L << 20;
    private const long Bytes = 4096;

    internal static IEnumerable<Row> Measure(string area)
    {
        foreach (int threads in (int[])[2, 8, 16])
        {
            using var tree = new Tree(3, max: Limit);
            MemoryAccount[] accounts =
                [.. Enumerable.Range(0, threads).Select(i => tree.Leaf.CreateMember($"m{i}").OpenAccount())];
            double ours = Share(threads, i => new AccountCharger(accounts[i]));
            CounterNode node = CounterNode.Chain(3, Limit);
            double late = Share(threads, _ => new ThreadBuffer(node));
            string what = $"accounts on {threads} threads: admitted over the limit";
            string control = $"  control: late posting on {threads} threads, admitted";
            Row[] judged = Goal.Judge(
                Row.Exact(area, what, Math.Max(0, ours - 100), unit: "%"),
                Row.Single(area, control, Bound.AtLeast(110), "%", late));
            yield return judged[0];
            yield return judged[1];
        }
    }

    // Per cent of the limit.
    private static double Share<TCharger>(int threads, Func<int, TCharger> charger)
        where TCharger : struct, ICharger
    {
        long admitted = 0;
        Thread[] running = [.. Enumerable.Range(0, threads).Select(i => new Thread(() =>
        {
            TCharger own = charger(i);
            long sum = 0;
            while (own.TryCharge(Bytes))
            {
                sum += Bytes;
            }

            Interlocked.Add(ref admitted, sum);
        }))];
        Array.ForEach(running, static thread => thread.Start());
        Array.ForEach(running, static thread => thread.Join());
        return 100.0 * admitted / Limit;
    }
}
