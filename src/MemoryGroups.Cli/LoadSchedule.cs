// When each query of a tenant is due: an open loop, fixed before the phase starts. A client that waits for one answer
// before it asks again slows down together with a starving service and hides the starvation; here the next query is due
// whether or not the last one came back, and latency counts from the due time.
//
// What must stay true: the schedule is a function of seed, tenant, length and budget alone, so both phases see the same
// load; and nothing big is due in the last BigQuietTail, so that a phase ends with answers and not with cut-off work.

namespace MemoryGroups.Cli;

internal readonly record struct Arrival(TimeSpan Due, DemoQuery Query);

internal readonly record struct DueCounts(int Small, int Big, int Export)
{
    internal int All => Small + Big + Export;
}

// What a tenant does: everyday queries per second, and how far apart its big ones are (Zero: none).
internal sealed record TenantProfile(string Name, int SmallPerSecond, TimeSpan BigEvery)
{
    // 2 x 15 + 5 everyday queries a second keep about a quarter of one core busy: latencies then show memory, not CPU.
    internal static readonly TenantProfile[] All =
    [
        new("alpha", 15, TimeSpan.Zero),
        new("beta", 15, TimeSpan.Zero),
        new("greedy", 5, TimeSpan.FromSeconds(0.9)),
    ];

    internal bool IsPolite => BigEvery == TimeSpan.Zero;
}

internal static class LoadSchedule
{
    internal static readonly TimeSpan BigQuietTail = TimeSpan.FromSeconds(2);

    // How many queries of each class the schedule holds: what a client wanted, however far the phase got.
    internal static DueCounts Due(string tenant, DemoOptions options)
    {
        TenantProfile profile = TenantProfile.All.Single(t => t.Name == tenant);
        Arrival[] big = Big(profile, options.Seed, options.PhaseLength, options.BudgetBytes);
        int exports = big.Count(a => a.Query.Kind == QueryKind.BigExport);
        return new DueCounts(Small(profile, options.Seed, options.PhaseLength).Length, big.Length - exports, exports);
    }

    internal static Arrival[] Small(TenantProfile tenant, int seed, TimeSpan length)
    {
        SeededSequence chance = SeededSequence.For(seed, tenant.Name + "/small");
        var arrivals = new List<Arrival>();
        TimeSpan step = TimeSpan.FromSeconds(1.0 / tenant.SmallPerSecond);
        // Steady with jitter: the gaps lie between half and one and a half steps.
        for (TimeSpan due = step * chance.Unit(); due < length; due += step * (0.5 + chance.Unit()))
            arrivals.Add(new Arrival(due, QueryMix.Small(chance)));
        return [.. arrivals];
    }

    internal static Arrival[] Big(TenantProfile tenant, int seed, TimeSpan length, long budgetBytes)
    {
        if (tenant.IsPolite) return [];

        SeededSequence chance = SeededSequence.For(seed, tenant.Name + "/big");
        var arrivals = new List<Arrival>();
        // The first second is left to the everyday queries, so that the eye has something to compare with.
        TimeSpan due = TimeSpan.FromSeconds(1);
        for (int turn = 0; due < length - BigQuietTail; turn++)
        {
            arrivals.Add(new Arrival(due, QueryMix.Big(turn, budgetBytes, chance)));
            due += tenant.BigEvery * (0.75 + chance.Unit() / 2);
        }

        return [.. arrivals];
    }
}
