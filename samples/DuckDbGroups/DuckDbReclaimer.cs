// A session as a reclaimer: what its engine has ahead of its usage, pages of files that can be read again, and what it
// can spill.

using MemoryGroups;

namespace DuckDbGroups;

internal sealed class DuckDbReclaimer(DuckDbBudget budget, string name) : MemoryReclaimer($"buffer pool of {name}")
{
    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken) =>
        new(budget.GiveBack(request.Bytes));
}
