// Whether the demo showed what it claims: a list of rules over the governed phase's outcome, each with what was found.
// The ungoverned phase is reported beside it and never judged; how it ends is the kernel's business.
//
// What must stay true: a rule that could not be checked has not held. A phase that died on the way therefore fails.

namespace MemoryGroups.Cli;

internal sealed record DemoRule(string Name, bool Held, string Found);

internal sealed record DemoVerdict(
    DemoOptions Options, PhaseOutcome? Ungoverned, PhaseOutcome Governed, IReadOnlyList<DemoRule> Rules)
{
    // Per mille of a polite tenant's queries that must succeed.
    internal const int PolitePerMille = 999;

    // Percent of the greedy tenant's everyday queries that must succeed: it is stopped where it is greedy, not shut
    // out.
    internal const int GreedySmallPercent = 95;

    internal bool Pass => Rules.All(r => r.Held);

    internal static DemoVerdict Judge(DemoOptions options, PhaseOutcome? ungoverned, PhaseOutcome governed)
    {
        var rules = new List<DemoRule>
        {
            new("the governed phase reached its end", governed.EndedByItself, governed.Exit),
        };
        foreach (TenantProfile polite in TenantProfile.All.Where(t => t.IsPolite))
            rules.Add(PoliteIsServed(TenantOf(governed, polite.Name)));
        TenantCounts greedy = TenantOf(governed, TenantProfile.All.Single(t => !t.IsPolite).Name);
        rules.Add(BigQueriesAreStopped(greedy));
        rules.Add(SmallQueriesAreServed(greedy));
        rules.Add(KillsSayWhy(governed.Kills));
        rules.Add(UsageStaysInBudget(options.BudgetBytes, governed));
        rules.Add(BooksAreAtZero(governed.End));
        return new DemoVerdict(options, ungoverned, governed, rules);
    }

    private static TenantCounts TenantOf(PhaseOutcome outcome, string name) =>
        outcome.Tenants.FirstOrDefault(t => t.Name == name) ?? TenantCounts.None(name);

    private static DemoRule PoliteIsServed(TenantCounts tenant) => new(
        $"{tenant.Name}: at least 99.9 % of its queries succeed",
        tenant.Tried > 0 && (long)tenant.Succeeded * 1000 >= (long)tenant.Tried * PolitePerMille,
        $"{tenant.Succeeded} of {tenant.Tried}");

    // Unfinished is not stopped: a big query that ran to the end of the phase was neither refused nor killed.
    private static DemoRule BigQueriesAreStopped(TenantCounts greedy) => new(
        $"{greedy.Name}: every query that wants several budgets is killed or refused",
        greedy.Big.Tried > 0 && greedy.Big.Killed + greedy.Big.Refused == greedy.Big.Tried,
        $"{greedy.Big.Tried} tried, {greedy.Big.Killed} killed, {greedy.Big.Refused} refused");

    private static DemoRule SmallQueriesAreServed(TenantCounts greedy) => new(
        $"{greedy.Name}: its small queries are still served ({GreedySmallPercent} %)",
        greedy.Small.Tried > 0 && (long)greedy.Small.Succeeded * 100 >= (long)greedy.Small.Tried * GreedySmallPercent,
        $"{greedy.Small.Succeeded} of {greedy.Small.Tried}");

    private static DemoRule KillsSayWhy(IReadOnlyList<KillRow> kills) => new(
        "victims are the greedy tenant's, and each kill says why",
        kills.Count > 0 && kills.All(k => k.Reason.Length > 0 && IsGreedy(k.Group)),
        kills.Count == 0
            ? "no kill"
            : $"{kills.Count} killed, of {string.Join(", ", kills.Select(k => k.Group).Distinct())}");

    private static bool IsGreedy(string groupPath) =>
        TenantProfile.All.Any(t => !t.IsPolite && groupPath.EndsWith("/" + t.Name, StringComparison.Ordinal));

    private static DemoRule UsageStaysInBudget(long budgetBytes, PhaseOutcome governed)
    {
        const string Name = "usage never above budget and published bound";
        if (governed.End is not { } end) return new DemoRule(Name, false, "the phase did not report it");

        return new DemoRule(
            Name,
            end.PeakChargedBytes > 0 && end.PeakChargedBytes <= budgetBytes + end.BoundBytes,
            $"peak {Shown.Bytes(end.PeakChargedBytes)}, "
            + $"budget {Shown.Bytes(budgetBytes)} + {Shown.Bytes(end.BoundBytes)}");
    }

    private static DemoRule BooksAreAtZero(PhaseEnd? end) => new(
        "all books are at zero at the end",
        end?.BooksZero == true,
        end is null ? "the phase did not report them"
            : end.BooksZero == true ? "nothing is left charged"
            : string.Join("; ", end.BooksLeft.Take(30)));
}
