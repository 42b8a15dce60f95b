// The protocol under every order of small cases and under many orders of larger ones.
//
// A failure prints a seed, or the path of an enumerated case. To run it again:
//   SCHEDULE_SEED=123 MemoryGroups.Tests -explicit only -method '*ScheduleTests.Replay*'
//   SCHEDULE_CASE='a limit is raised' SCHEDULE_PATH='0 1 0 2' (the same command)
// To run millions: SCHEDULE_FIRST=1000000 SCHEDULE_COUNT=10000000 SCHEDULE_RUNNERS=2, -method '*ScheduleTests.Soak*'.
namespace MemoryGroups.Tests;

public sealed class ScheduleTests(ITestOutputHelper output)
{
    private const long FirstSeed = 0;
    private const int Schedules = 200_000;

    public static TheoryData<string> SmallCaseNames => [.. SmallCases.Names];

    // Every order of the first choices, twelve where the case is narrow; after those everybody runs to its end.
    [Theory]
    [Requirement("S000-7")]
    [Requirement("S000-17")]
    [MemberData(nameof(SmallCaseNames))]
    public void Small_case_ends_well_in_every_order(string name) =>
        RunEveryOrder(name, SmallCases.IsNarrow(name) ? 12 : 8);

    [Theory(Explicit = true)]
    [Trait("Category", "Soak")]
    [MemberData(nameof(SmallCaseNames))]
    public void Soak_of_every_order_of_twelve_choices_finds_no_fault(string name) => RunEveryOrder(name, 12);

    [Fact]
    [Requirement("I1")]
    [Requirement("I2")]
    [Requirement("I3")]
    [Requirement("I4")]
    [Requirement("I6")]
    [Requirement("I7")]
    [Requirement("I8")]
    [Requirement("I9")]
    [Requirement("I10")]
    [Requirement("I13")]
    public void Many_random_schedules_keep_every_invariant()
    {
        Exploration.Summary summary = Exploration.Run(FirstSeed, Schedules, runners: 2);

        output.WriteLine(summary.ToString());
        if (summary.Fault is { } fault)
        {
            throw fault;
        }

        Assert.Equal(Schedules, summary.Schedules);
    }

    [Fact]
    public void Same_seed_is_the_same_schedule()
    {
        using var scheduler = new Scheduler();
        for (long seed = 0; seed < 200; seed++)
        {
            Exploration.RunOne(seed, scheduler);
            int steps = scheduler.Steps;
            int handOvers = scheduler.HandOvers;

            Exploration.RunOne(seed, scheduler);

            Assert.True((steps, handOvers) == (scheduler.Steps, scheduler.HandOvers), $"seed {seed} differs");
        }
    }

    [Fact(Explicit = true)]
    [Trait("Category", "Soak")]
    public void Soak_of_random_schedules_finds_no_fault()
    {
        long count = Number("SCHEDULE_COUNT", 10_000_000);
        int runners = (int)Number("SCHEDULE_RUNNERS", Environment.ProcessorCount);

        Exploration.Summary summary = Exploration.Run(Number("SCHEDULE_FIRST", 1_000_000), count, runners);

        output.WriteLine(summary.ToString());
        if (summary.Fault is { } fault)
        {
            throw fault;
        }

        Assert.Equal(count, summary.Schedules);
    }

    [Fact(Explicit = true)]
    public void Replay_of_one_schedule_runs_it_again()
    {
        int lines = 0;
        using var scheduler = new Scheduler { Log = line => Print(line, ++lines) };
        if (Environment.GetEnvironmentVariable("SCHEDULE_CASE") is { } name)
        {
            string path = Environment.GetEnvironmentVariable("SCHEDULE_PATH") ?? "";
            SmallCases.Run(name, scheduler, Choices.Of(path));
        }
        else
        {
            Exploration.RunOne(Number("SCHEDULE_SEED", 0), scheduler);
        }

        output.WriteLine($"{scheduler.Steps} steps, {scheduler.HandOvers} hand-overs");
        Assert.True(scheduler.Steps > 0, "nothing ran");
    }

    private void RunEveryOrder(string name, int depth)
    {
        using var scheduler = new Scheduler();
        var choices = new Choices { MaxDepth = depth };
        var watch = System.Diagnostics.Stopwatch.StartNew();
        while (choices.MoveNext())
        {
            try
            {
                SmallCases.Run(name, scheduler, choices);
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"{name}, path {choices}: {error.Message}", error);
            }
        }

        output.WriteLine($"{name}: {choices.Runs} orders, {choices.Runs / watch.Elapsed.TotalSeconds:F0}/s");
        Assert.True(choices.Runs > 100, $"only {choices.Runs} orders");
    }

    private void Print(string line, int number)
    {
        if (number < 2000)
        {
            output.WriteLine(line);
        }
    }

    private static long Number(string variable, long otherwise) =>
        long.TryParse(Environment.GetEnvironmentVariable(variable), out long number) ? number : otherwise;
}
