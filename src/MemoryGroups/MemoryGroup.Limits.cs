// The limits of a group, the three ways of changing Max, and what its members start with.
//
// Each limit is one long, read without a lock on every slow path and written by whoever administers. Max has
// consequences when it is set (LimitChange), High for idle stock and what can be reclaimed; the others are looked at
// when the next charge or reclaim comes by.
// Must stay true: the root has none of them. Its capacity is the global pool and has a path of its own (GlobalOom).
namespace MemoryGroups;

public partial class MemoryGroup
{
    private long _high;
    private TimeSpan _waitTimeout;
    private RareSettings? _rare;

    /// <summary>Never reclaimed below this, even if somebody is killed for it. 0 or more; default 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    /// <exception cref="InvalidOperationException">Set on the root.</exception>
    public long Min
    {
        get => Volatile.Read(ref _rare)?.Min ?? 0;
        set => Rare.Min = CheckedLimit(value, nameof(Min));
    }

    /// <summary>Reclaimed below this only when nothing else can be. 0 or more; default 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    /// <exception cref="InvalidOperationException">Set on the root.</exception>
    public long Low
    {
        get => Volatile.Read(ref _rare)?.Low ?? 0;
        set => Rare.Low = CheckedLimit(value, nameof(Low));
    }

    /// <summary>
    /// Above this the group is reclaimed and who charges is slowed down; nobody is killed. Set below the usage, it
    /// starts a reclaim that nobody waits for. Default no limit.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    /// <exception cref="InvalidOperationException">Set on the root.</exception>
    public long High
    {
        get => Volatile.Read(ref _high);
        set
        {
            Volatile.Write(ref _high, CheckedLimit(value, nameof(High)));

            // The stock follows High as it follows Max; what was fine before may be too much now.
            Root.LimitsChanged();
            Root.Stocks.Drain(this);
            if (Usage > High)
            {
                // Else an idle group would keep what it has until its next charge.
                Rare.ReclaimToHigh(this);
            }
        }
    }

    /// <summary>
    /// Never exceeded, except by charges whose flags say so and by victims within the reserve. Setting it only installs
    /// it; see
    /// <see cref="SetMaxAsync"/> for a change that takes effect. Default no limit.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    /// <exception cref="InvalidOperationException">Set on the root; set <see cref="MemoryRoot.Capacity"/>.</exception>
    public long Max
    {
        get => OwnLimit;
        set => LimitChange.Install(this, CheckedLimit(value, nameof(Max)));
    }

    /// <summary>
    /// When the whole root is short, the groups furthest above this are reclaimed first. Default no limit.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    /// <exception cref="InvalidOperationException">Set on the root.</exception>
    public long SoftLimit
    {
        get => Volatile.Read(ref _rare)?.SoftLimit ?? long.MaxValue;
        set => Rare.SoftLimit = CheckedLimit(value, nameof(SoftLimit));
    }

    /// <summary>How long a charge of this group's members waits at most; infinite only when said so.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative and not <see
    /// cref="Timeout.InfiniteTimeSpan"/>.</exception>
    public TimeSpan WaitTimeout
    {
        get => _waitTimeout;
        set => _waitTimeout = MemoryGroupOptions.CheckedTimeout(value, nameof(WaitTimeout));
    }

    /// <summary>
    /// What members made in this group or below start with as their <see cref="MemoryMember.OomScoreAdjustment"/>,
    /// when neither their options nor a group in between says otherwise: -1000 (never killed) to 1000. Null, the
    /// default: as the parent; nobody says anything: 0. Members that exist keep what they have, as processes keep
    /// their oom_score_adj after the fork that copied it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Out of range.</exception>
    public int? OomScoreAdjustment
    {
        get => Volatile.Read(ref _rare)?.Adjustment;
        set => Rare.Adjustment = value is { } given ? MemoryMember.CheckedAdjustment(given) : null;
    }

    // Made when one of them is first set.
    private RareSettings Rare =>
        Volatile.Read(ref _rare) ?? Interlocked.CompareExchange(ref _rare, new RareSettings(), null) ?? _rare;

    // The nearest that is set, from here upwards.
    internal int InheritedAdjustment
    {
        get
        {
            int? nearest = OomScoreAdjustment;
            for (MemoryGroup? at = Parent; at is not null && nearest is null; at = at.Parent)
            {
                nearest = at.OomScoreAdjustment;
            }

            return nearest ?? 0;
        }
    }

    /// <summary>Installs a Max, then reclaims and kills until the usage fits or nothing more can be done.</summary>
    /// <param name="bytes">The new Max, 0 or more.</param>
    /// <param name="cancellationToken">Stops reclaiming and killing; the new Max stays.</param>
    /// <returns>True when the usage fits at the end. The Max is installed in either case.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is negative.</exception>
    /// <exception cref="InvalidOperationException">This is the root.</exception>
    public ValueTask<bool> SetMaxAsync(long bytes, CancellationToken cancellationToken = default) =>
        LimitChange.SetAsync(this, CheckedLimit(bytes, nameof(Max)), cancellationToken);

    /// <summary>Sets Max if the usage fits, after reclaiming; kills nobody.</summary>
    /// <param name="bytes">The new Max, 0 or more.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>False when it does not fit: the old Max stays.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is negative.</exception>
    /// <exception cref="InvalidOperationException">This is the root.</exception>
    public ValueTask<bool> TrySetMaxAsync(long bytes, CancellationToken cancellationToken = default) =>
        LimitChange.TrySetAsync(this, CheckedLimit(bytes, nameof(Max)), cancellationToken);

    private long CheckedLimit(long bytes, string what)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes, what);
        if (Parent is null)
        {
            throw new InvalidOperationException(
                $"{what} cannot be set on the root '{Name}': set MemoryRoot.Capacity and its watermarks instead.");
        }

        return bytes;
    }
}
