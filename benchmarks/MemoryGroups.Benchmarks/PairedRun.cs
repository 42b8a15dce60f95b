// The rounds of one scene: every round visits all cases in a random order.
//
// Before the first round everything is run until nothing is compiled any more: the runtime first compiles quickly,
// counts calls, and compiles what is hot again in the background some 100 ms after the last new method. A window that
// was dropped is repeated at once, a few times; then the case has no figure in this round. All repetitions together
// take no longer than the rounds themselves: on a busy machine there are fewer figures, not a longer run.
using System.Runtime;

namespace MemoryGroups.Benchmarks;

internal sealed class PairedRun(IReadOnlyList<Case> cases, Window window, Action<string> log)
{
    private const int Tries = 4;
    private const int MostWarmVisits = 12;

    // Longer than the runtime waits before it compiles what is hot again.
    private static readonly TimeSpan TieringPause = TimeSpan.FromMilliseconds(150);

    private int _allowed;
    private int _dropped;
    private int _measured;

    internal IReadOnlyList<Round> Run(Effort effort)
    {
        var random = new Random(effort.Seed);
        if (!effort.Smoke)
        {
            WarmUp();
        }

        window.Length = effort.Window;
        _allowed = cases.Count * effort.Rounds;
        var rounds = new List<Round>();
        for (int i = 0; i < effort.Rounds; i++)
        {
            Case[] order = [.. cases];
            random.Shuffle(order);
            rounds.Add(new Round(order.ToDictionary(static at => at.Name, Measure)));
        }

        log($"{cases.Count} cases, {effort.Rounds} rounds, {_dropped} of {_measured} windows dropped");
        if (effort.Times)
        {
            foreach (Case at in cases)
            {
                string name = at.Threads == 1 ? at.Name : $"{at.Name}, {Patterns.Counted(at.Threads)}";
                log($"{Environment.NewLine}  {name,-50} {MedianNanos(rounds, at),10:0.00} ns");
            }
        }

        return rounds;
    }

    private static double MedianNanos(List<Round> rounds, Case at)
    {
        double[] sorted = [.. rounds.Select(round => round.Nanos(at.Name)).Where(double.IsFinite).Order()];
        return sorted.Length == 0 ? double.NaN : Figures.Median(sorted);
    }

    private Measurement? Measure(Case at)
    {
        for (int tries = 0; tries == 0 || (tries < Tries && _dropped < _allowed); tries++)
        {
            _measured++;
            if (at.TryMeasure(window) is { } measurement)
            {
                return measurement;
            }

            _dropped++;
        }

        return null;
    }

    private void WarmUp()
    {
        window.Length = TimeSpan.FromMilliseconds(8);
        using var pause = new ManualResetEventSlim();
        long before;
        int visits = 0;
        do
        {
            before = JitInfo.GetCompiledMethodCount();
            foreach (Case at in cases)
            {
                at.TryMeasure(window);
            }

            pause.Wait(TieringPause);
        }
        while (++visits < 3 || (visits < MostWarmVisits && JitInfo.GetCompiledMethodCount() > before));
    }
}
