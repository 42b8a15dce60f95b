// The tick of the root: measures, follows the container's limit, and sees to it that what is in use fits.
//
//   read      what the process uses (ProcessGauge); a failed reading grows old, and then counts for nothing
//   follow    capacity = the container's limit - a reserve, never above the one set by hand; the garbage collector's
//             own limit goes there too, so that it collects before the kernel kills
//   relieve   when the usage no longer fits, although nobody charges: reclaim, garbage, last resort, and then a kill,
//             on a work item of its own, one at a time (LimitChange.MeetAsync)
// The collector refuses a limit below what it has committed: the old one stays, the refusal is counted, and the next
// tick tries again.
//
// Must stay true: no timer unless the options ask for one; it re-arms itself only after its work and never for a
// closed root; it runs no user code; nothing is thrown out of it, for out of a timer that would end the process.
namespace MemoryGroups;

internal sealed class RootSampling : IThreadPoolWorkItem, IDisposable
{
    private const long NoLimit = -1;

    private readonly MemoryRoot _root;
    private readonly MemoryRootOptions _options;
    private readonly ITimer? _timer;
    private long _heapLimit = NoLimit;
    private long _heapRefusals;
    private bool _relieving;

    internal RootSampling(MemoryRoot root, MemoryRootOptions options)
    {
        _root = root;
        _options = options;
        if (options.FollowContainer || options.CountsUnattributed)
        {
            _timer = root.TimeProvider.CreateTimer(
                static sampling => ((RootSampling)sampling!).Tick(),
                this,
                Timeout.InfiniteTimeSpan,
                Timeout.InfiniteTimeSpan);
        }
    }

    // What the garbage collector was last told; null: nothing.
    internal long? HeapLimit => Interlocked.Read(ref _heapLimit) is var limit && limit != NoLimit ? limit : null;

    internal long HeapRefusals => Interlocked.Read(ref _heapRefusals);

    public void Dispose() => _timer?.Dispose();

    // From the constructor of the root: its capacity holds from the start.
    internal void Start()
    {
        if (_timer is not null)
        {
            Tick();
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = RelieveAsync();

    private void Tick()
    {
        if (_root.IsClosed)
        {
            Dispose();
            return;
        }

        try
        {
            Look();
        }
        catch (OutOfMemoryException)
        {
            // The collector's limit is ours, and what it refuses may hit anybody. The next tick tries again.
        }

        _timer!.Change(_options.SamplePeriod, Timeout.InfiniteTimeSpan);
    }

    private void Look()
    {
        if (_root.Gauge.TryRead())
        {
            Follow();
        }
        else
        {
            _root.Gauge.DropIfStale();
        }

        _root.StartBackgroundReclaimIfLow();
        _root.Gauge.CollectEarly();
        if (_root.IsOverRoom && !Interlocked.Exchange(ref _relieving, true))
        {
            _root.Post(this);
        }
    }

    private void Follow()
    {
        if (!_options.FollowContainer)
        {
            return;
        }

        long? capacity = _root.Gauge.ContainerBytes is { } limit
            ? Math.Max(0, limit - _options.ReserveOf(limit))
            : null;
        _root.FollowContainer(capacity ?? long.MaxValue);

        // Of nothing the collector would think that there is no limit.
        long? heap = capacity is { } bytes ? Math.Max(1, bytes) : null;
        if (heap == HeapLimit)
        {
            return;
        }

        if (_root.Gauge.Process.TryLimitHeap(heap))
        {
            Interlocked.Exchange(ref _heapLimit, heap ?? NoLimit);
        }
        else
        {
            Interlocked.Increment(ref _heapRefusals);
        }
    }

    private async Task RelieveAsync()
    {
        try
        {
            await LimitChange.MeetAsync(_root, default).ConfigureAwait(false);
        }
        finally
        {
            Volatile.Write(ref _relieving, false);
        }
    }
}
