// The root of a tree: the process-wide budget, and the one guard that makes the OOM protocol's small steps atomic.
//
// The capacity is the global pool (not a limit of a group): exhausting it runs the global path (GlobalOom), with
// last-resort reclaimers, watermarks and reserves. Charges normally leave the MIN watermark free; what is below it
// serves high-priority charges and victims. Below LOW, reclaim starts in the background and goes on up to HIGH.
//
// Lock order: StockLedger's gate and the guard are never held together, except that nothing is called under either that
// takes the other; MemorySpace's list lock and OomReports' gate are leaves. No user code, completion or log runs under
// any of them.
using System.Diagnostics;

namespace MemoryGroups;

/// <summary>The root of a tree of memory groups.</summary>
/// <remarks>
/// The counterpart of the machine: its memory, its page allocator, its OOM killer. Make one for a process.
/// Thread safety: all members may be used from any thread.
/// </remarks>
public sealed partial class MemoryRoot : MemoryGroup
{
    // Not set by hand: one long, so that nobody reads half of it.
    private const long FollowsCapacity = -1;

    private readonly MemoryRootOptions _options;
    private readonly BackgroundReclaim _background;
    private readonly RootSampling _sampling;
    private long _minWatermark;
    private long _lowWatermark;
    private long _highWatermark;
    private long _costlyChargeBytes;
    private int _limitsVersion;
    private long _leftAtExit;
    private bool _storageSuspended;
    private Action<string>? _panicking;

    /// <summary>Makes a root.</summary>
    /// <param name="options">Capacity, watermarks, deadlines; null for the defaults.</param>
    /// <exception cref="ArgumentException">A value of the options is not allowed.</exception>
    public MemoryRoot(MemoryRootOptions? options = null)
        : base(NameOf(options), null, null, new MemoryGroupOptions { WaitTimeout = options?.WaitTimeout })
    {
        _options = options ?? new MemoryRootOptions();
        _options.Validate();
        TimeProvider = _options.TimeProvider;
        SetWatermarks(_options.CapacityBytes);
        _costlyChargeBytes = _options.CostlyChargeBytes ?? FollowsCapacity;
        _capacity = _options.CapacityBytes;
        Counter.SetLimit(_options.CapacityBytes, out _);
        Stocks = new StockLedger();
        Books = new BooksErrors(this);
        BufferFaults = new BufferFaults(this);
        Reserve = new OomReserve(ReserveFor(_options.CapacityBytes));
        WaitQueue = new OomWaitQueue(this);
        KillLock = new KillLock(this);
        LastResort = new LastResort(this);
        Reports = new OomReports(this);
        Reaper = new OomReaper(this);
        OomKiller = new OomKiller(this);
        _background = new BackgroundReclaim(this);
        Gauge = new ProcessGauge(this, _options);
        _sampling = new RootSampling(this, _options);
        _sampling.Start();
    }

    /// <summary>
    /// The process-wide budget, in bytes; <see cref="long.MaxValue"/> is no limit. Watermarks, reserve and the costly
    /// limit that were not set by hand follow it. With <see cref="MemoryRootOptions.FollowContainer"/> it is the
    /// smaller of what was set here and what the container leaves.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public long Capacity
    {
        get => Math.Min(Interlocked.Read(ref _capacity), Interlocked.Read(ref _containerCapacity));
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            Interlocked.Exchange(ref _capacity, value);
            CapacityChanged();
        }
    }

    /// <summary>What ordinary charges leave free, in bytes.</summary>
    public long MinWatermark => Volatile.Read(ref _minWatermark);

    /// <summary>When less is free, reclaim starts in the background, in bytes.</summary>
    public long LowWatermark => Volatile.Read(ref _lowWatermark);

    /// <summary>
    /// Where background reclaim stops, and what the last attempt before a global kill leaves free, in bytes.
    /// </summary>
    public long HighWatermark => Volatile.Read(ref _highWatermark);

    /// <summary>
    /// Larger requests are refused rather than have somebody killed, in bytes. Default: a quarter of the capacity.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public long CostlyChargeBytes
    {
        get
        {
            long own = Volatile.Read(ref _costlyChargeBytes);
            return own != FollowsCapacity ? own : Capacity == long.MaxValue ? long.MaxValue : Capacity / 4;
        }

        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            Volatile.Write(ref _costlyChargeBytes, value);
        }
    }

    /// <summary>
    /// While true the root's exhaustion kills nobody: what a victim would have to write to finish cannot be written.
    /// Default false.
    /// </summary>
    public bool StorageSuspended
    {
        get => Volatile.Read(ref _storageSuspended);
        set => Volatile.Write(ref _storageSuspended, value);
    }

    /// <summary>The OOM killer's switch and manual trigger.</summary>
    public OomKiller OomKiller { get; }

    /// <summary>The newest OOM reports.</summary>
    public OomReports Reports { get; }

    /// <summary>What victims overdraw at this moment, in bytes.</summary>
    public long OomReserveUsed => Reserve.Used;

    /// <summary>What victims together may overdraw, in bytes.</summary>
    public long OomReserveBytes => Reserve.Size;

    /// <summary>Requests that sleep because some group is full.</summary>
    public int WaitingCharges => WaitQueue.Length;

    /// <summary>
    /// Errors found in the books since the root was made: more uncharged than charged. 0 unless there is a bug.
    /// </summary>
    public long BooksErrorCount => Books.Count;

    /// <summary>The first error found in the books; null when there was none.</summary>
    public string? FirstBooksError => Books.First;

    /// <summary>Bytes that members had not returned when they exited, and that were returned for them.</summary>
    public long BytesLeftAtExit => Interlocked.Read(ref _leftAtExit);

    /// <summary>Buffers that were leaked, disposed twice, or written to after that.</summary>
    public BufferFaults BufferFaults { get; }

    /// <summary>
    /// Called with a message when <see cref="MemoryRootOptions.PanicOnOom"/> says that an OOM stops the process: once
    /// for each request that comes to that, however often it tries again.
    /// Default null:
    /// <see cref="Environment.FailFast(string)"/>.
    /// </summary>
    public Action<string>? Panicking
    {
        get => Volatile.Read(ref _panicking);
        set => Volatile.Write(ref _panicking, value);
    }

    internal TimeProvider TimeProvider { get; }

    internal Lock Guard { get; } = new();

    internal StockLedger Stocks { get; }

    internal ScoreTable Scores { get; } = new();

    internal BooksErrors Books { get; }

    internal OomReserve Reserve { get; }

    internal OomWaitQueue WaitQueue { get; }

    internal KillLock KillLock { get; }

    internal LastResort LastResort { get; }

    internal OomReaper Reaper { get; }

    internal Spares<ChargeAttempt> SpareAttempts { get; } = new();

    internal Action<ProbePoint, object?>? ProbeHook { get; set; }

    // How often the guard was entered; counted in debug builds only. The fast path must leave it alone.
    internal long GuardEntries { get; private set; }

    internal int LimitsVersion => Volatile.Read(ref _limitsVersion);

    internal bool ChecksBuffers => _options.CheckBuffers;

    internal bool RecursiveProtection => _options.RecursiveProtection;

    internal bool KillAllocatingMember => _options.KillAllocatingMember;

    internal OomPanic PanicOnOom => _options.PanicOnOom;

    internal TimeSpan ReclaimDeadline => _options.ReclaimDeadline;

    internal TimeSpan HandlerDeadline => _options.HandlerDeadline;

    internal TimeSpan ReapDelay => _options.ReapDelay;

    // How long who finds the kill lock busy leaves the others alone.
    internal TimeSpan PauseTick { get; } = TimeSpan.FromMilliseconds(10);

    /// <summary>
    /// Registers somebody who is asked when the whole root is exhausted, before anybody is killed. They run one at a
    /// time, under no lock, and may sleep within their deadline.
    /// </summary>
    /// <param name="reclaimer">The reclaimer.</param>
    /// <returns>Dispose it to end the registration.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="reclaimer"/> is null.</exception>
    public IDisposable AddLastResortReclaimer(MemoryReclaimer reclaimer)
    {
        ArgumentNullException.ThrowIfNull(reclaimer);
        return LastResort.Add(reclaimer);
    }

    // What a request must leave free at the root. In integers: high priority may use half of the MIN watermark and,
    // when it cannot wait either, a quarter of the rest; a victim half of what is then still kept. See
    // __zone_watermark_ok.
    internal long FloorFor(ChargeFlags flags, bool victim)
    {
        long floor = MinWatermark;

        // First: who asks for no reserve gets none, whatever else it is.
        if ((flags & ChargeFlags.NoReserve) != 0)
        {
            return floor;
        }

        if ((flags & ChargeFlags.FromReclaim) != 0)
        {
            return 0;
        }

        if ((flags & ChargeFlags.HighPriority) != 0)
        {
            floor -= floor / 2;
            if ((flags & ChargeFlags.NoWait) != 0)
            {
                floor -= floor / 4;
            }
        }

        return victim ? floor - (floor / 2) : floor;
    }

    internal void Post(IThreadPoolWorkItem item)
    {
        // A pool may run it here and now, and it may be user code (I6).
        Debug.Assert(!Guard.IsHeldByCurrentThread, "nothing is handed over under the guard");
        if (_options.PostHook is { } hook)
        {
            hook(item);
        }
        else
        {
            ThreadPool.UnsafeQueueUserWorkItem(item, preferLocal: false);
        }
    }

    internal void LimitsChanged() => Interlocked.Increment(ref _limitsVersion);

    internal void NoteLeftAtExit(long bytes) => Interlocked.Add(ref _leftAtExit, bytes);

    // After a walk to the root: cheap when there is room.
    internal void StartBackgroundReclaimIfLow()
    {
        if (IsLow)
        {
            _background.Start();
        }
    }

    // A request that may not reclaim leaves it to others: once a run is made for its bytes, and while one is under way
    // nobody is killed for it. False when nobody reclaims for it, or not any more.
    internal bool LeavesReclaimToOthers(OomRequest request)
    {
        if (!request.Has(ChargeFlags.NoReclaim))
        {
            return false;
        }

        request.HasLeftReclaimToOthers |= !_background.IsRunning && !request.HasLeftReclaimToOthers
            && _background.Start(request.Bytes);
        return _background.IsRunning;
    }

    internal void Panic(string message)
    {
        if (Panicking is { } panicking)
        {
            panicking(message);
        }
        else
        {
            Environment.FailFast("MemoryGroups: " + message);
        }
    }

    // The only way into a guarded region. In debug builds the invariants are checked on entry; `at` says which path
    // matters where the tree is too large to be checked as a whole.
    internal Lock.Scope EnterGuard(MemoryGroup? at = null)
    {
        Lock.Scope scope = Guard.EnterScope();
        CountGuardEntryLocked();
        Invariants.AssertLocked(this, at ?? this);
        return scope;
    }

    [Conditional("DEBUG")]
    private void CountGuardEntryLocked() => GuardEntries++;

    private static string NameOf(MemoryRootOptions? options)
    {
        string name = options?.Name ?? "root";
        CheckName(name);
        return name;
    }

    private long ReserveFor(long capacity) =>
        _options.OomReserveBytes ?? (capacity == long.MaxValue ? 4L << 20 : capacity / 128);

    private void SetWatermarks(long capacity)
    {
        long min = _options.MinWatermarkBytes ?? (capacity == long.MaxValue ? 0 : capacity / 128);
        Volatile.Write(ref _minWatermark, min);
        Volatile.Write(ref _lowWatermark, Math.Max(min, _options.LowWatermarkBytes ?? min + (min / 4)));
        Volatile.Write(ref _highWatermark, Math.Max(LowWatermark, _options.HighWatermarkBytes ?? min + (min / 2)));
    }
}
