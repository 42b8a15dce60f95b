// The groups of the governed phase, all of them and why they have their limits:
//
//   service            capacity = the budget: everything that is charged, together
//   +- tenants         Max = 15/16 of it: when the tenants fill this, the OOM protocol of this group runs, and its
//   |  |               victim can only be a tenant's query, never the cache or the process's own memory
//   |  +- alpha        Low = 1/8: the polite tenants are spared when memory is reclaimed
//   |  +- beta         Low = 1/8
//   |  +- greedy       no limit of its own: what stops it is that the others need memory
//   +- cache           takes what is free; first to give back
//   +- process         the engine's own memory that is no query's, and the parachute (1/16): given up when the capacity
//                      itself is exhausted, before anybody is killed for it
//
// Tenants and parachute fill the capacity exactly, so the little that an engine needs for itself makes the capacity the
// first wall under full load (last-resort reclaim), and the tenants' Max the second (group OOM).

namespace MemoryGroups.Cli;

internal sealed class ServiceTree : IDisposable
{
    private readonly IDisposable _parachuteRegistration;
    private readonly IDisposable _cacheRegistration;
    private readonly Dictionary<string, MemoryGroup> _tenants = [];
    private readonly Dictionary<string, MemoryMember> _requests = [];
    private readonly MemoryMember _answers;
    private readonly MemoryMember _reserve;

    internal ServiceTree(DemoOptions options, TimeProvider clock)
    {
        long budgetBytes = options.BudgetBytes;
        Root = new MemoryRoot(
            new MemoryRootOptions { Name = "service", CapacityBytes = budgetBytes, TimeProvider = clock });
        Tenants = Root.CreateGroup("tenants", new MemoryGroupOptions { Max = budgetBytes / 16 * 15 });
        foreach (TenantProfile tenant in TenantProfile.All)
        {
            long low = tenant.IsPolite ? budgetBytes / 8 : 0;
            MemoryGroup group = Tenants.CreateGroup(tenant.Name, new MemoryGroupOptions { Low = low });
            _tenants.Add(tenant.Name, group);
            _requests.Add(tenant.Name, group.CreateMember("requests", NeverKilled));
        }

        MemoryGroup cacheGroup = Root.CreateGroup("cache");
        _answers = cacheGroup.CreateMember("answers", NeverKilled);
        Cache = new QueryCache(_answers, budgetBytes / 4);
        _cacheRegistration = cacheGroup.AddReclaimer(Cache);

        MemoryGroup process = Root.CreateGroup("process");
        EngineShared = process.CreateMember(options.Engine.Name, NeverKilled);
        _reserve = process.CreateMember("parachute", NeverKilled);
        Parachute = new Parachute(_reserve, (int)(budgetBytes / 16));
        _parachuteRegistration = Root.AddLastResortReclaimer(Parachute);
        options.Engine.Install(EngineShared);
    }

    internal MemoryRoot Root { get; }

    internal MemoryGroup Tenants { get; }

    internal QueryCache Cache { get; }

    internal Parachute Parachute { get; }

    // What the engine allocates outside any query: its globals. The only member that is charged whether it fits or not.
    internal MemoryMember EngineShared { get; }

    private static MemoryMemberOptions NeverKilled => new() { OomScoreAdjustment = -1000 };

    internal MemoryGroup this[string tenant] => _tenants[tenant];

    // Charged nothing: for whom a tenant's managed allocations are metered.
    internal MemoryMember RequestsOf(string tenant) => _requests[tenant];

    internal MemoryShares Shares()
    {
        UnattributedMemory rest = Root.Unattributed;
        return new MemoryShares(rest.MeasuredBytes, rest.DeclaredBytes, rest.Bytes, Root.MeteredBytes);
    }

    // The groups from the root down, each before its children.
    internal IReadOnlyList<TreeRow> Rows()
    {
        var rows = new List<TreeRow>();
        AddRows(Root, 0, rows);
        return rows;
    }

    // What is still in use, by group and member, and errors that the library found in its own books. Stock that a group
    // has drawn ahead is charged and not in use.
    internal IReadOnlyList<string> InUse()
    {
        var found = new List<string>();
        AddInUse(Root, found);
        if (Root.BooksErrorCount > 0) found.Add($"{Root.BooksErrorCount} errors in the books: {Root.FirstBooksError}");
        return found;
    }

    internal void CloseGroups()
    {
        foreach (MemoryGroup group in Root.Children) group.Dispose();
    }

    // How far usage may stand above the budget at most, by what the library publishes.
    internal long BoundBytes => Root.OomReserveBytes;

    // Closes what this tree charges by itself. The tenants' sessions must be closed before.
    internal void CloseHolders()
    {
        _cacheRegistration.Dispose();
        _parachuteRegistration.Dispose();
        Cache.Dispose();
        Parachute.Dispose();
    }

    public void Dispose() => Root.Dispose();

    private static void AddInUse(MemoryGroup group, List<string> found)
    {
        if (group.UsageLower != 0) found.Add($"{group.Path}: {group.UsageLower} bytes");
        foreach (MemoryMember member in group.Members)
        {
            if (member.Usage != 0) found.Add($"{member.Path}: {member.Usage} bytes");
        }

        foreach (MemoryGroup child in group.Children) AddInUse(child, found);
    }

    private static void AddRows(MemoryGroup group, int depth, List<TreeRow> rows)
    {
        long limit = group is MemoryRoot root ? root.Capacity : group.Max;
        rows.Add(new TreeRow(
            group.Name, depth, group.Usage, group.PeakUsage, limit == long.MaxValue ? null : limit, group.Low));
        foreach (MemoryGroup child in group.Children) AddRows(child, depth + 1, rows);
    }
}
