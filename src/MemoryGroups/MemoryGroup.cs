// A node of the tree: a tenant, a session, a query; limits, children, members.
//
// The tree is built downwards and never rearranged: a group's parent is fixed for life, so anybody may walk upwards
// without a lock. Children and members are added and removed under the root's guard and read without it (Roster). A
// closed group has given everything back, but keeps its parent: bytes, locks and waiters that are still on their way
// out find their way.
//
// Must stay true: when quiet, usage = what the members drew + this group's own stock + the usage of the children (I1).
namespace MemoryGroups;

/// <summary>A memory control group: limits for all the work below it.</summary>
/// <remarks>
/// The counterpart of the kernel's <c>mem_cgroup</c>. Sizes are bytes; <see cref="long.MaxValue"/> is "no limit".
/// Thread safety: all members may be used from any thread.
/// </remarks>
public partial class MemoryGroup : IDisposable, IRosterItem
{
    private MemberBooks[] _leftBooks = [];
    private long _knownBatch = -1;
    private bool _closed;
    private OomControl? _oom;
    private GroupStock? _stock;

    private protected MemoryGroup(string name, MemoryGroup? parent, MemoryRoot? root, MemoryGroupOptions options)
    {
        Name = name;
        Parent = parent;
        Root = parent?.Root ?? root ?? (MemoryRoot)this;
        Depth = parent is null ? 0 : parent.Depth + 1;
        Counter = new UsageCounter(this, parent?.Counter, options.Max);
        _high = options.High;
        _rare = RareSettings.From(options);
        _waitTimeout = options.WaitTimeout ?? parent?.WaitTimeout ?? MemoryRootOptions.DefaultWaitTimeout;

        // Copied at birth, not looked up later: a parent that changes its mind does not change its children's (M18).
        bool killDisabled = options.KillDisabled ?? parent?.Oom.KillDisabled ?? false;
        if (killDisabled || options.KillWholeGroup)
        {
            _oom = new OomControl(this, killDisabled, options.KillWholeGroup);
        }
    }

    /// <summary>Its name below its parent.</summary>
    public string Name { get; }

    /// <summary>The names from the root down, separated by '/'.</summary>
    public string Path => Parent is null ? Name : Parent.Path + "/" + Name;

    /// <summary>The group above; null for the root.</summary>
    public MemoryGroup? Parent { get; }

    /// <summary>The root of this tree.</summary>
    public MemoryRoot Root { get; }

    /// <summary>
    /// Bytes charged to this group and all below it, pre-charged stock included. Never less than what is in use.
    /// </summary>
    public long Usage => Counter.Usage;

    /// <summary>The most that can be in use: <see cref="Usage"/>.</summary>
    public long UsageUpper => Counter.Usage;

    /// <summary>
    /// The least that can be in use: <see cref="Usage"/> without stock. The gap is at most an eighth of each member's
    /// usage plus a batch for each CPU and group (while stocks are full, two of its own and one that members share).
    /// </summary>
    public long UsageLower
    {
        get
        {
            long stock = Root.Stocks.HeldIn(this);
            return Math.Max(0, Counter.Usage - stock);
        }
    }

    /// <summary>How often a charge was refused because of this group's own limit.</summary>
    /// <remarks>
    /// The fail count of cgroup v1: a charge that was tried with a batch and exactly counts twice, also when it was
    /// granted in the end.
    /// </remarks>
    public long RefusalCount => Counter.Refusals;

    /// <summary>OOM switches and notifications.</summary>
    public OomControl Oom =>
        Volatile.Read(ref _oom)
        ?? Interlocked.CompareExchange(ref _oom, new OomControl(this, false, false), null)
        ?? _oom;

    /// <summary>The groups directly below, in order of creation.</summary>
    public IReadOnlyList<MemoryGroup> Children => ChildRoster.ToList();

    /// <summary>The members of this group itself, in order of creation.</summary>
    public IReadOnlyList<MemoryMember> Members => MemberRoster.ToList();

    /// <summary>True after <see cref="Dispose()"/>.</summary>
    public bool IsClosed => Volatile.Read(ref _closed);

    int IRosterItem.RosterPlace { get; set; }

    internal int Depth { get; }

    internal UsageCounter Counter { get; }

    // What was set. The counter's limit is lower at the root while unattributed bytes count against the capacity.
    internal long OwnLimit => Parent is null ? Root.Capacity : Counter.Limit;

    // Books of members that have moved elsewhere and still hold bytes here, or in a closed group below.
    internal ReadOnlySpan<MemberBooks> LeftBooks => Volatile.Read(ref _leftBooks);

    internal GroupStock Stock =>
        Volatile.Read(ref _stock) ?? Interlocked.CompareExchange(ref _stock, new GroupStock(this), null) ?? _stock;

    // What the options said; the batch itself also depends on the limits.
    internal long? OwnBatchBytes => _rare?.BatchBytes;

    // The batch follows the smallest limit on the path; found again after any limit of the tree changed. Kept in one
    // word with the version it belongs to: of two who find it at once, the one that looked earlier may write later.
    internal long BatchBytes
    {
        get
        {
            int version = Root.LimitsVersion;
            long known = Volatile.Read(ref _knownBatch);
            if (known >> 32 != version)
            {
                known = ((long)version << 32) | GroupStock.FindBatch(this);
                Volatile.Write(ref _knownBatch, known);
            }

            return known & uint.MaxValue;
        }
    }

    // Guarded by StockLedger's gate. Null while nobody below has ever held stock.
    internal StockLinks? StockLinks;

    // Changed under the root's guard, read without it.
    internal Roster<MemoryGroup> ChildRoster;
    internal Roster<MemoryMember> MemberRoster;

    // Guarded by the root's guard, down to AgedRequest; OomMarks and AgedRequest are read without it.
    internal OomLock OomLock;
    internal int OomMarks;
    internal int RegistrationsInSubtree;
    internal int ReclaimersInSubtree;
    internal GroupQueue? Waiters;
    internal HashSet<MemoryGroup>? WaitingChildren;
    internal OomRequest? AgedRequest;

    /// <summary>Makes a group below this one.</summary>
    /// <param name="name">Its name: not empty, without '/' and control characters. Need not be unique.</param>
    /// <param name="options">Limits and switches; null for the defaults.</param>
    /// <returns>The new group.</returns>
    /// <exception cref="ArgumentException">The name, or a value of the options, is not allowed.</exception>
    /// <exception cref="ObjectDisposedException">This group is closed.</exception>
    public MemoryGroup CreateGroup(string name, MemoryGroupOptions? options = null)
    {
        CheckName(name);
        options ??= new MemoryGroupOptions();
        options.Validate();
        var child = new MemoryGroup(name, this, null, options);
        using (Root.EnterGuard())
        {
            Gone.ThrowIf(IsClosed, this);
            ChildRoster.AddLocked(child);
        }

        return child;
    }

    /// <summary>Makes a member: something that charges memory and can be killed.</summary>
    /// <param name="name">Its name: not empty, without '/' and control characters. Need not be unique.</param>
    /// <param name="options">Score adjustment and shared space; null for the defaults.</param>
    /// <returns>The new member.</returns>
    /// <exception cref="ArgumentException">The name, or a value of the options, is not allowed.</exception>
    /// <exception cref="ObjectDisposedException">This group is closed.</exception>
    public MemoryMember CreateMember(string name, MemoryMemberOptions? options = null)
    {
        CheckName(name);
        options ??= new MemoryMemberOptions();
        options.Validate();
        var member = new MemoryMember(this, name, options);
        using (Root.EnterGuard())
        {
            Gone.ThrowIf(IsClosed, this);
            MemberRoster.AddLocked(member);
            member.RecountLocked();
        }

        member.Join();
        return member;
    }

    /// <summary>Takes a snapshot of the group.</summary>
    /// <returns>Plain data.</returns>
    public MemoryStatistics GetStatistics() => MemoryStatistics.Of(this, new MemoryProtection(Root));

    /// <summary>
    /// Takes a snapshot of the group and of all groups below it, for a table of the whole tree. What protection gives
    /// depends on all siblings: asking every group by itself takes time that grows with the square of their number.
    /// </summary>
    /// <returns>Plain data, level by level: every group after its parent, siblings in the order of creation.</returns>
    public IReadOnlyList<MemoryStatistics> GetTreeStatistics() => MemoryStatistics.OfTree(this);

    /// <summary>Sets <see cref="RefusalCount"/> to 0.</summary>
    public void ResetRefusalCount() => Counter.ResetRefusals();

    /// <summary>
    /// Kills every member of this subtree that may be killed. Not an OOM kill: no reserve, no OOM event.
    /// </summary>
    /// <param name="reason">Why, for the members' exceptions. Not empty.</param>
    /// <exception cref="ArgumentException"><paramref name="reason"/> is null or white space.</exception>
    public void Kill(string reason)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(reason);
        OomCandidates.Walk(this, member => member.Kill(reason));
    }

    /// <summary>
    /// Closes the group and everything below it: members exit, waiting charges end with <see
    /// cref="ObjectDisposedException"/>, all bytes go back, every registered signal is raised a last time. Closing
    /// twice is harmless.
    /// </summary>
    public void Dispose()
    {
        Close();
        GC.SuppressFinalize(this);
    }

    internal bool IsWithin(MemoryGroup top)
    {
        MemoryGroup? at = this;
        while (at is not null && at.Depth > top.Depth)
        {
            at = at.Parent;
        }

        return at == top;
    }

    internal MemoryGroup FirstOpen()
    {
        MemoryGroup at = this;
        while (at.IsClosed && at.Parent is { } parent)
        {
            at = parent;
        }

        return at;
    }

    internal void AddLeftLocked(MemberBooks books) => Volatile.Write(ref _leftBooks, [.. _leftBooks, books]);

    internal bool RemoveLeftLocked(MemberBooks books)
    {
        int before = _leftBooks.Length;
        Volatile.Write(ref _leftBooks, [.. _leftBooks.Where(one => one != books)]);
        return _leftBooks.Length < before;
    }

    private protected static void CheckName(string name)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (name.Contains('/', StringComparison.Ordinal))
        {
            throw new ArgumentException($"The name '{name}' contains '/', which separates a path.", nameof(name));
        }

        // A report has one line for each name.
        if (name.Any(static one => char.IsControl(one) || one is '\u2028' or '\u2029'))
        {
            throw new ArgumentException(
                "The name contains a line break or another control character; it must be one piece of one line.",
                nameof(name));
        }
    }

    private void Close()
    {
        List<MemorySignal> registered = [];
        using (Root.EnterGuard())
        {
            if (_closed)
            {
                return;
            }

            Volatile.Write(ref _closed, true);
            _rare?.DropProtection();
            _oom?.TakeAllLocked(registered);
            TakeWatchersLocked(registered);
            RemoveReclaimersLocked();
        }

        foreach (MemoryGroup child in Children)
        {
            child.Dispose();
        }

        foreach (MemoryMember member in Members)
        {
            member.Dispose();
        }

        if (_stock is { } stock)
        {
            Root.Stocks.Remove(stock);
        }

        using (Root.EnterGuard())
        {
            Parent?.ChildRoster.RemoveLocked(this);
            if (Parent is not null)
            {
                // Bytes of members that moved away stay charged here and above until they are returned.
                foreach (MemberBooks books in _leftBooks)
                {
                    FirstOpen().AddLeftLocked(books);
                }

                _leftBooks = [];
            }
        }

        foreach (MemorySignal signal in registered)
        {
            signal.Raise();
        }

        Volatile.Read(ref _watched)?.Events?.SignalChange();
        Root.WaitQueue.WakeAll(this);
    }
}
