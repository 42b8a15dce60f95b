// Reclaim that nobody waits for: starts when the root's free bytes fall below LOW, stops at HIGH or when nothing comes.
//
// Groups above their soft limit pay first, the largest excess first; then everybody. It kills nobody and blocks nobody,
// and at most one run is under way. Follows kswapd in mm/vmscan.c and the soft limit reclaim of cgroup v1.
namespace MemoryGroups;

internal sealed class BackgroundReclaim(MemoryRoot root) : IThreadPoolWorkItem
{
    private bool _running;

    internal void Start()
    {
        if (root.ReclaimersInSubtree > 0 && !Interlocked.Exchange(ref _running, true))
        {
            root.Post(this);
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = RunAsync();

    private async Task RunAsync()
    {
        var request = new OomRequest(root, null, 0, ChargeFlags.None, root.WaitTimeout);
        try
        {
            // A reclaimer that says it gave something while the usage does not fall is not believed for ever.
            int fruitless = 0;
            while (Missing > 0 && fruitless < ChargeAttempt.MaxRounds)
            {
                long before = root.Usage;
                if (await OneRoundAsync(request).ConfigureAwait(false) == 0)
                {
                    break;
                }

                fruitless = root.Usage < before ? 0 : fruitless + 1;
            }
        }
        finally
        {
            Volatile.Write(ref _running, false);
        }
    }

    private long Missing => -root.Counter.Room(root.HighWatermark);

    private async ValueTask<long> OneRoundAsync(OomRequest request)
    {
        long given = 0;
        foreach ((MemoryGroup group, long excess) in OverSoftLimit())
        {
            long missing = Missing;
            if (missing <= 0)
            {
                return given;
            }

            given += await SubtreeReclaim.RunAsync(request, group, Math.Min(excess, missing), ReclaimReason.Capacity)
                .ConfigureAwait(false);
        }

        return Missing <= 0 || given > 0
            ? given
            : await SubtreeReclaim.RunAsync(request, root, Missing, ReclaimReason.Capacity).ConfigureAwait(false);
    }

    private List<(MemoryGroup Group, long Excess)> OverSoftLimit()
    {
        var over = new List<(MemoryGroup Group, long Excess)>();
        var stack = new Stack<MemoryGroup>();
        stack.Push(root);
        while (stack.TryPop(out MemoryGroup? group))
        {
            if (group.Usage > group.SoftLimit)
            {
                over.Add((group, group.Usage - group.SoftLimit));
            }

            foreach (MemoryGroup? child in group.ChildRoster.Read())
            {
                if (child is { ReclaimersInSubtree: > 0 })
                {
                    stack.Push(child);
                }
            }
        }

        over.Sort(static (a, b) => b.Excess.CompareTo(a.Excess));
        return over;
    }
}
