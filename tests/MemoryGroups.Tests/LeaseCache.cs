// A cache as services have them: every entry is a lease, and reclaim evicts the oldest until it gave what was asked.
//
// It is what the scenarios call cache or reclaimable memory; memory without a reclaimer is what they call anonymous.
// Its member stands for nobody who could be killed.
namespace MemoryGroups.Tests;

internal sealed class LeaseCache : MemoryReclaimer
{
    public const long Page = 4096;

    private readonly Queue<MemoryCharge> _entries = new();

    public LeaseCache(MemoryGroup group, bool reclaimable = true)
        : base("cache of " + group.Name)
    {
        Member = group.CreateMember(
            "cache", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });
        if (reclaimable)
        {
            group.AddReclaimer(this);
        }
    }

    public MemoryMember Member { get; }

    public long Held => Member.Usage;

    public int Count => _entries.Count;

    public List<ReclaimRequest> Calls { get; } = [];

    // Adds entries; a charge that is slowed down gets its time. Answers the most that was held on the way.
    public long Fill(World world, long bytes, long entry = Page)
    {
        long most = 0;
        for (long added = 0; added < bytes; added += entry)
        {
            Task<MemoryCharge> adding = Member.LeaseAsync(Math.Min(entry, bytes - added)).AsTask();
            world.Run();
            for (int ticks = 0; !adding.IsCompleted && ticks < 100; ticks++)
            {
                world.Advance(TimeSpan.FromMilliseconds(100));
            }

            Assert.True(adding.IsCompleted, "the cache waits for its next entry");
            _entries.Enqueue(adding.GetAwaiter().GetResult());
            most = Math.Max(most, Held);
        }

        return most;
    }

    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
    {
        Calls.Add(request);
        long gave = 0;
        while (gave < request.Bytes && _entries.TryDequeue(out MemoryCharge? oldest))
        {
            gave += oldest.Bytes;
            oldest.Dispose();
        }

        return ValueTask.FromResult(gave);
    }
}
