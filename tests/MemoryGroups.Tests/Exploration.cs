// Many schedules, one seed each: half of them small cases in random orders, half random cases.
//
// The same seed is the same schedule on every machine; what fails says its seed, and ScheduleTests.Replay* runs it
// again. Several runners share the seeds, each with a scheduler and threads of its own.
namespace MemoryGroups.Tests;

internal static class Exploration
{
    public static void RunOne(long seed, Scheduler scheduler)
    {
        var dice = new Dice(seed);
        if (seed % 2 == 0)
        {
            SmallCases.Run(dice.Next(SmallCases.Count), scheduler, new SeededChooser(dice));
        }
        else
        {
            RandomCase.Run(scheduler, new SeededChooser(dice), dice);
        }
    }

    // Null when all went well, else what went wrong at the smallest seed. Called by reflection as well, in another copy
    // of this assembly (see MutantCore): only plain arguments.
    public static string? FirstFault(long firstSeed, int count)
    {
        using var scheduler = new Scheduler();
        for (long seed = firstSeed; seed < firstSeed + count; seed++)
        {
            try
            {
                RunOne(seed, scheduler);
            }
            catch (Exception error)
            {
                return $"{seed} {error.Message}";
            }
        }

        return null;
    }

    public static Summary Run(long firstSeed, long count, int runners)
    {
        var summary = new Summary();
        long next = firstSeed - 1;
        var watch = System.Diagnostics.Stopwatch.StartNew();
        Thread[] threads = [.. Enumerable.Range(0, runners).Select(_ => new Thread(RunSome, 4 << 20))];
        foreach (Thread thread in threads)
        {
            thread.UnsafeStart();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        summary.Seconds = watch.Elapsed.TotalSeconds;
        return summary;

        void RunSome()
        {
            using var scheduler = new Scheduler();
            long seed;
            while (summary.Fault is null && (seed = Interlocked.Increment(ref next)) < firstSeed + count)
            {
                try
                {
                    RunOne(seed, scheduler);
                    summary.Add(scheduler.Steps, scheduler.HandOvers);
                }
                catch (Exception error)
                {
                    summary.Fault = new InvalidOperationException($"schedule seed {seed}: {error.Message}", error);
                }
            }
        }
    }

    internal sealed class Summary
    {
        private long _schedules;
        private long _steps;
        private long _handOvers;

        public double Seconds { get; set; }

        public Exception? Fault { get; set; }

        public long Schedules => _schedules;

        public void Add(int steps, int handOvers)
        {
            Interlocked.Increment(ref _schedules);
            Interlocked.Add(ref _steps, steps);
            Interlocked.Add(ref _handOvers, handOvers);
        }

        public override string ToString() =>
            $"{_schedules} schedules in {Seconds:F0} s, {_schedules / Seconds:F0}/s; each {_steps / _schedules} steps "
            + $"and {(double)_handOvers / _schedules:F1} hand-overs";
    }
}
