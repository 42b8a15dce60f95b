// How a cache of this library gives back what its group is asked for: whatever the cache is, it answers with what it
// has uncharged.
namespace MemoryGroups.Caching;

internal sealed class CacheReclaimer(string name, int cost, Func<ReclaimRequest, long> shrink) : MemoryReclaimer(name)
{
    public override int Cost => cost;

    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken) =>
        new(shrink(request));
}
