// A job that is metered, and killed when it allocates more than it was given. docs/programs.md shows the lines between
// the markers.
namespace MemoryGroups.Samples;

internal static class MeteredJob
{
    internal static async Task RunAsync(MemoryRoot root)
    {
        // <Job>
        using MemoryGroup jobs = root.CreateGroup("jobs");
        using MemoryMember job = jobs.CreateMember("nightly report");
        job.AllocationBudget = ByteSize.Parse("50M");
        try
        {
            using (job.Enter())
            {
                while (true)
                {
                    job.Killed.ThrowIfCancellationRequested(); // a runaway: it ends here
                    GC.KeepAlive(new byte[100_000]);
                    await Task.Yield();
                }
            }
        }
        catch (OperationCanceledException) when (job.IsKilled)
        {
            Console.WriteLine(job.KillReason);             // it allocated 50.1M, more than its AllocationBudget of ...
        }

        // </Job>
        Console.WriteLine($"{job.Path} has allocated {ByteSize.FormatRounded(job.AllocatedBytes)}");
    }
}
