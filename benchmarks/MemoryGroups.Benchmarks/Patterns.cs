// The patterns as cases: the same words for the product and for its peers, so that a comparison is one line each.
//
// `charger` makes what thread i charges: the same thing for all threads, or one for each.
namespace MemoryGroups.Benchmarks;

internal static class Patterns
{
    internal const long Page = 4096;

    internal static string Counted(int threads) => threads == 1 ? "1 thread" : $"{threads} threads";

    /// <summary>L: the uncontended interlocked pair that figures are multiples of.</summary>
    internal static LoopCase Unit() => Pair("L", 1, static _ => new AtomicCharger());

    internal static LoopCase Pair<TCharger>(
        string name, int threads, Func<int, TCharger> charger, long bytes = Page, int chunk = 4096, int counted = 0)
        where TCharger : struct, ICharger =>
        new(name, threads, thread =>
        {
            TCharger own = charger(thread);
            return operations => Loops.Pair(own, bytes, operations);
        }, chunk, counted);

    internal static LoopCase Walk<TCharger>(string name, int threads, Func<int, TCharger> charger)
        where TCharger : struct, ICharger =>
        new(name, threads, thread =>
        {
            TCharger own = charger(thread);
            return operations => Loops.Walk(own, Page, operations);
        });

    internal static LoopCase Mix<TCharger>(string name, int threads, Func<int, TCharger> charger)
        where TCharger : struct, ICharger =>
        new(name, threads, thread =>
        {
            TCharger own = charger(thread);
            var live = new Live(seed: 100 + thread);
            return operations => Loops.Mix(own, live, operations);
        });

    internal static LoopCase HandOff<TCharger>(string name, Func<int, TCharger> charger)
        where TCharger : struct, ICharger
    {
        Mailbox[] boxes = [new(), new()];
        return new LoopCase(name, 2, thread =>
        {
            TCharger own = charger(thread);
            return operations => Loops.HandOff(own, boxes[thread], boxes[1 - thread], Page, operations);
        });
    }

    internal static LoopCase Rotate<TCharger>(string name, int threads, TCharger[] chargers)
        where TCharger : struct, ICharger =>
        new(name, threads, thread =>
        {
            var turn = new Turn(thread * chargers.Length / 2);
            return operations => Loops.Rotate(chargers, turn, Page, operations);
        });
}
