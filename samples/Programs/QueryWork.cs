// A query engine: what an operator holds is a lease, what grows by small steps an account, and sorted runs are spilled
// when the tenant is full. docs/programs.md shows the lines between the markers.
namespace MemoryGroups.Samples;

// <Spill>
// Runs in memory, and how they leave it. Called on any thread, never twice at the same time.
internal sealed class Spill : MemoryReclaimer
{
    private readonly Stack<MemoryCharge> _runs = new();

    internal Spill()
        : base("sorted runs")
    {
    }

    public override int Cost => 10;                    // after caches: what is spilled has to be read again

    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
    {
        long gave = 0;
        lock (_runs)
        {
            while (gave < request.Bytes && _runs.TryPop(out MemoryCharge? run))
            {
                // Write the run to disk here, free it, and only then:
                gave += run.Bytes;
                run.Dispose();
            }
        }

        return ValueTask.FromResult(gave);
    }

    internal void Add(MemoryCharge run)
    {
        lock (_runs)
        {
            _runs.Push(run);
        }
    }
}
// </Spill>

internal static class QueryWork
{
    internal static async Task RunAsync(MemoryRoot root)
    {
        using MemoryGroup tenant = root.CreateGroup("queries", new() { Max = ByteSize.Parse("32M") });

        // <Query>
        using MemoryMember query = tenant.CreateMember("sort");
        var spill = new Spill();
        using IDisposable registration = tenant.AddReclaimer(spill);

        using MemoryAccount keys = query.OpenAccount();        // one owner, many small steps
        for (int row = 0; row < 100_000; row++)
        {
            await keys.GrowAsync(100, cancellationToken: query.Killed);
        }

        for (int run = 0; run < 50; run++)
        {
            // 50 MiB in all. When 32 are full, earlier runs are spilled; the loop does not notice.
            spill.Add(await query.LeaseAsync(1 << 20, cancellationToken: query.Killed));
        }

        // </Query>
        Console.WriteLine($"{query.Path}: {ByteSize.FormatRounded(query.Usage)} of 60M in memory at the end");
    }
}
