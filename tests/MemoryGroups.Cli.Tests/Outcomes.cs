// Made-up phase outcomes: one that passes every rule, for tests to spoil one thing at a time.

namespace MemoryGroups.Cli.Tests;

internal static class Outcomes
{
    internal const long Budget = 64L << 20;
    internal static readonly DemoOptions Options = DemoOptions.Default with { BudgetBytes = Budget };

    internal static PhaseOutcome Good { get; } = new(
        DemoPhase.Governed, "exit code 0", EndedByItself: true, 21.5, MemoryCapKind.CgroupV1, 224L << 20,
        [
            new TenantCounts("alpha", Counts(1000, 999), QueryCounts.None, QueryCounts.None),
            new TenantCounts("beta", Counts(400, 400), QueryCounts.None, QueryCounts.None),
            new TenantCounts(
                "greedy",
                Counts(100, 95) with { Refused = 5 },
                Counts(10, 0) with { Refused = 7, Killed = 3 },
                Counts(4, 1) with { Killed = 3 }),
        ],
        [new KillRow(1.5, "service/tenants/greedy/BigExport-9", "service/tenants/greedy", "highest score", 40L << 20,
            "service/tenants/alpha/Sort-8", 1L << 20, "service/tenants")],
        Budget,
        150L << 20,
        new PhaseEnd(Budget, 1L << 19, 4096, 2, BooksZero: true, [], "OOM report #1"));

    internal static PhaseOutcome Died { get; } = Good with
    {
        Name = DemoPhase.Ungoverned,
        Exit = "SIGKILL by the kernel: out of memory in its cgroup",
        EndedByItself = false,
        Kills = [],
        PeakChargedBytes = 0,
        End = null,
    };

    internal static QueryCounts Counts(int tried, int succeeded) => new(tried, succeeded, 0, 0, 0, 0, 2.5, 20);

    // The good outcome with one tenant changed.
    internal static PhaseOutcome With(string tenant, Func<TenantCounts, TenantCounts> change) =>
        Good with { Tenants = [.. Good.Tenants.Select(t => t.Name == tenant ? change(t) : t)] };
}
