// What is killed and reaped as one: the memory of one member, or of several that share it.
//
// Being a victim is a fact of the space, not of a task or a member (S003-2, S003-12): it covers members that join
// later, it is counted once however many members share the space, and it is dropped when the last of them has exited.
// The three jobs that one flag once did are three facts here (S003-1): IsVictim (no second victim while one is in
// flight), MayUseReserve (access to the reserve), and the killer's in-flight list (what disabling the killer waits
// for).
//
// Must stay true: IsVictim never goes back; hidden means the killer looks past it; reaping happens at most once and
// only while nobody has the space pinned; after IsUnstable no pin is granted.
namespace MemoryGroups;

/// <summary>
/// The memory of a member, or of several members that share it. An OOM kill of one of them kills all; its memory is
/// reaped once.
/// </summary>
/// <remarks>
/// The counterpart of the kernel's <c>mm_struct</c>. Thread safety: all members may be used from any thread.
/// </remarks>
public sealed class MemorySpace
{
    private const int BeingReaped = -1;

    private readonly List<MemoryMember> _members = [];
    private readonly HashSet<ReapableMemory> _reapables = new(ReferenceEqualityComparer.Instance);
    private MemoryMember? _owner;
    private OomReport? _report;
    private OomReportBuilder? _draft;
    private int _shared;
    private int _pins;
    private bool _isVictim;
    private bool _mayUseReserve;
    private bool _isHidden;
    private bool _isUnstable;
    private bool _isReaped;

    internal MemorySpace()
    {
    }

    /// <summary>True once the OOM killer has chosen it. Never goes back.</summary>
    public bool IsVictim => Volatile.Read(ref _isVictim);

    /// <summary>True when the killer counts on this victim no more: it was reaped, could not be, or is gone.</summary>
    public bool IsHidden => Volatile.Read(ref _isHidden);

    /// <summary>True once the reaper has begun to take memory away: what was in it must not be read any more.</summary>
    public bool IsUnstable => Volatile.Read(ref _isUnstable);

    /// <summary>What its members use together, in bytes.</summary>
    public long Usage
    {
        get
        {
            MemoryMember? owner = Volatile.Read(ref _owner);
            if (owner is not null && Volatile.Read(ref _shared) == 0)
            {
                return owner.Usage;
            }

            long usage = 0;
            foreach (MemoryMember member in Members())
            {
                usage += member.Usage;
            }

            return usage;
        }
    }

    // Reaping is over, and took everything that was registered.
    internal bool IsReaped => Volatile.Read(ref _isReaped);

    internal bool MayUseReserve => Volatile.Read(ref _mayUseReserve);

    // The member that the kill is counted for: the oldest that is left.
    internal MemoryMember? Owner => Volatile.Read(ref _owner);

    // What one of its members holds says little about the whole.
    internal bool IsShared => Volatile.Read(ref _shared) > 0;

    internal bool IsGone => Volatile.Read(ref _owner) is null;

    // Set when it becomes a victim, and replaced under OomReports' gate when its outcome is known. Built when it is
    // first asked for: so not under a lock.
    internal OomReport? Report
    {
        get => Volatile.Read(ref _report) ?? Volatile.Read(ref _draft)?.Report;
        set => Volatile.Write(ref _report, value);
    }

    // When that was, on the clock that never jumps: the report's own time is for people.
    internal long ReportedAt { get; set; }

    internal bool IsQueuedForReaping { get; set; }

    /// <summary>Says how memory of this space can be taken away when its owner is killed and does not go.</summary>
    /// <param name="memory">The memory; it is asked at most once, also when it was added twice.</param>
    /// <exception cref="ArgumentNullException"><paramref name="memory"/> is null.</exception>
    /// <exception cref="OomKilledException">The space has been reaped already.</exception>
    public void AddReapable(ReapableMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        lock (_reapables)
        {
            ThrowIfUnstable();
            _reapables.Add(memory);
        }
    }

    /// <summary>Takes memory back out of the reaper's hands, because its owner has freed it.</summary>
    /// <param name="memory">The memory.</param>
    /// <returns>False when it was not registered, or was reaped.</returns>
    public bool RemoveReapable(ReapableMemory memory)
    {
        lock (_reapables)
        {
            return _reapables.Remove(memory);
        }
    }

    /// <summary>
    /// Keeps the reaper away while memory of this space is read or written. Short: the reaper tries for a second only
    /// and then gives the space up.
    /// </summary>
    /// <returns>Dispose it to let go.</returns>
    /// <exception cref="OomKilledException">The space has been reaped or is being reaped.</exception>
    public SpacePin Pin()
    {
        PinQuietly();
        return new SpacePin(this);
    }

    internal void PinQuietly()
    {
        int seen = Volatile.Read(ref _pins);
        while (true)
        {
            if (seen == BeingReaped)
            {
                ThrowIfUnstable();
                throw OomKilledException.ForSpace(this);
            }

            int was = Interlocked.CompareExchange(ref _pins, seen + 1, seen);
            if (was == seen)
            {
                return;
            }

            seen = was;
        }
    }

    internal void Unpin() => Interlocked.Decrement(ref _pins);

    internal bool TryBeginReap()
    {
        if (Interlocked.CompareExchange(ref _pins, BeingReaped, 0) != 0)
        {
            return false;
        }

        Volatile.Write(ref _isUnstable, true);
        return true;
    }

    internal List<ReapableMemory> TakeReapables()
    {
        lock (_reapables)
        {
            List<ReapableMemory> all = [.. _reapables];
            _reapables.Clear();
            return all;
        }
    }

    internal void Draft(MemoryRoot root, OomReportBuilder report)
    {
        report.Number(root);
        Volatile.Write(ref _draft, report);
    }

    internal void NoteReaped(bool whole) => Volatile.Write(ref _isReaped, whole);

    internal void GrantReserve() => Volatile.Write(ref _mayUseReserve, true);

    // Answers whether this call hid it.
    internal bool HideLocked()
    {
        bool was = _isHidden;
        Volatile.Write(ref _isHidden, true);
        return !was;
    }

    internal bool TryMakeVictimLocked()
    {
        if (_isVictim || _isHidden || _owner is null)
        {
            return false;
        }

        Volatile.Write(ref _isVictim, true);
        return true;
    }

    internal void AddMember(MemoryMember member)
    {
        lock (_members)
        {
            _members.Add(member);
            Volatile.Write(ref _owner, _members[0]);
            Volatile.Write(ref _shared, _members.Count - 1);
        }

        if (IsShared)
        {
            PublishScores();
        }
    }

    // True when that was the last one.
    internal bool RemoveMember(MemoryMember member)
    {
        bool wasLast;
        lock (_members)
        {
            wasLast = _members.Remove(member) && _members.Count == 0;
            Volatile.Write(ref _owner, _members.Count > 0 ? _members[0] : null);
            Volatile.Write(ref _shared, Math.Max(0, _members.Count - 1));
        }

        PublishScores();
        return wasLast;
    }

    internal MemoryMember[] Members()
    {
        lock (_members)
        {
            return [.. _members];
        }
    }

    // Everybody who shares it is on the way out.
    internal bool IsDying => Array.TrueForAll(Members(), static member => member.IsDying);

    internal bool HasMemberIn(MemoryGroup top)
    {
        foreach (MemoryMember member in Members())
        {
            if (member.Group.IsWithin(top))
            {
                return true;
            }
        }

        return false;
    }

    private void PublishScores()
    {
        foreach (MemoryMember member in Members())
        {
            member.PublishScore();
        }
    }

    private void ThrowIfUnstable()
    {
        if (IsUnstable)
        {
            throw OomKilledException.ForSpace(this);
        }
    }
}

/// <summary>Holds the reaper off a space; see <see cref="MemorySpace.Pin"/>.</summary>
/// <remarks>Thread safety: may be disposed from any thread; disposing twice is harmless.</remarks>
public sealed class SpacePin : IDisposable
{
    private MemorySpace? _space;

    internal SpacePin(MemorySpace space) => _space = space;

    /// <summary>Lets go.</summary>
    public void Dispose() => Interlocked.Exchange(ref _space, null)?.Unpin();
}

/// <summary>Memory that the reaper can take away from a killed member whose code still runs.</summary>
/// <remarks>
/// Implementers MUST make <see cref="TryFree"/> quick and non-blocking; MUST make later access fail rather than show
/// freed or zeroed memory; MUST free at most once. The charge is returned by the reaper, not by the implementation.
/// Thread safety: <see cref="TryFree"/> is called from a thread of the pool, once.
/// </remarks>
public abstract class ReapableMemory
{
    /// <summary>Makes it for memory that is charged by a lease.</summary>
    /// <param name="charge">The lease; the reaper disposes it when the memory was freed.</param>
    /// <exception cref="ArgumentNullException"><paramref name="charge"/> is null.</exception>
    protected ReapableMemory(MemoryCharge charge)
    {
        ArgumentNullException.ThrowIfNull(charge);
        Charge = charge;
    }

    /// <summary>The lease that charges the memory.</summary>
    public MemoryCharge Charge { get; }

    /// <summary>Frees the memory if that is possible right now, without waiting for anything.</summary>
    /// <returns>True when it was freed; false when it is in use or cannot be freed.</returns>
    protected internal abstract bool TryFree();
}
