// How a group, a member or a root starts. Copied when it is made: changing an options object later changes nothing.
namespace MemoryGroups;

/// <summary>Limits and switches of a new group.</summary>
/// <remarks>Thread safety: none needed; it is read once, when the group is made.</remarks>
public sealed record MemoryGroupOptions
{
    /// <summary><see cref="MemoryGroup.Min"/>, in bytes. Default 0.</summary>
    public long Min { get; init; }

    /// <summary><see cref="MemoryGroup.Low"/>, in bytes. Default 0.</summary>
    public long Low { get; init; }

    /// <summary><see cref="MemoryGroup.High"/>, in bytes. Default no limit.</summary>
    public long High { get; init; } = long.MaxValue;

    /// <summary><see cref="MemoryGroup.Max"/>, in bytes. Default no limit.</summary>
    public long Max { get; init; } = long.MaxValue;

    /// <summary><see cref="MemoryGroup.SoftLimit"/>, in bytes. Default no limit.</summary>
    public long SoftLimit { get; init; } = long.MaxValue;

    /// <summary><see cref="OomControl.KillDisabled"/>. Default: as the parent at that moment.</summary>
    public bool? KillDisabled { get; init; }

    /// <summary><see cref="OomControl.KillWholeGroup"/>. Default false.</summary>
    public bool KillWholeGroup { get; init; }

    /// <summary>
    /// <see cref="MemoryGroup.OomScoreAdjustment"/>, -1000 (never killed) to 1000. Default: as the parent.
    /// </summary>
    public int? OomScoreAdjustment { get; init; }

    /// <summary>
    /// <see cref="MemoryGroup.WaitTimeout"/>. Default: as the parent; the root's default is 30 seconds.
    /// </summary>
    public TimeSpan? WaitTimeout { get; init; }

    /// <summary>
    /// The most that a group fetches into its stock at once, in bytes; 1 switches stocks off below this group, so that
    /// every charge is exact at every moment and slower. Default: by the limits, at most 256 KiB.
    /// </summary>
    public long? BatchBytes { get; init; }

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(Min);
        ArgumentOutOfRangeException.ThrowIfNegative(Low);
        ArgumentOutOfRangeException.ThrowIfNegative(High);
        ArgumentOutOfRangeException.ThrowIfNegative(Max);
        ArgumentOutOfRangeException.ThrowIfNegative(SoftLimit);
        if (BatchBytes is { } batch)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1, nameof(BatchBytes));
        }

        MemoryMember.CheckedAdjustment(OomScoreAdjustment ?? 0);

        if (WaitTimeout is { } timeout)
        {
            CheckedTimeout(timeout, nameof(WaitTimeout));
        }
    }

    // What the system's timers can count.
    internal static readonly TimeSpan LongestTimeout = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

    internal static TimeSpan CheckedTimeout(TimeSpan timeout, string what)
    {
        if ((timeout < TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan) || timeout > LongestTimeout)
        {
            throw new ArgumentOutOfRangeException(
                what,
                timeout,
                $"{what} must be zero to {LongestTimeout.Days} days, or Timeout.InfiniteTimeSpan to wait for ever.");
        }

        return timeout;
    }
}

/// <summary>How a member starts.</summary>
/// <remarks>Thread safety: none needed; it is read once, when the member is made.</remarks>
public sealed record MemoryMemberOptions
{
    /// <summary>
    /// <see cref="MemoryMember.OomScoreAdjustment"/>, -1000 (never killed) to 1000. Default: what its group says, or
    /// the nearest one above that says something (<see cref="MemoryGroup.OomScoreAdjustment"/>); else 0.
    /// </summary>
    public int? OomScoreAdjustment { get; init; }

    /// <summary>
    /// Another member whose memory this one shares: they are killed together. Default: a space of its own.
    /// </summary>
    public MemorySpace? Space { get; init; }

    internal void Validate() => MemoryMember.CheckedAdjustment(OomScoreAdjustment ?? 0);
}

/// <summary>How a root starts.</summary>
/// <remarks>Thread safety: none needed; it is read once, when the root is made.</remarks>
public sealed record MemoryRootOptions
{
    /// <summary>How long a charge waits when nobody said otherwise.</summary>
    public static readonly TimeSpan DefaultWaitTimeout = TimeSpan.FromSeconds(30);

    /// <summary>The root's name. Default "root".</summary>
    public string Name { get; init; } = "root";

    /// <summary>The process-wide budget, in bytes. Default no limit.</summary>
    public long CapacityBytes { get; init; } = long.MaxValue;

    /// <summary>
    /// The MIN watermark: what ordinary charges leave free at the root, in bytes. Kept for victims and high-priority
    /// charges. Default: 1/128 of the capacity; 0 without one.
    /// </summary>
    public long? MinWatermarkBytes { get; init; }

    /// <summary>
    /// The LOW watermark: when less is free, reclaim starts in the background, in bytes. Default 5/4 of the MIN
    /// watermark.
    /// </summary>
    public long? LowWatermarkBytes { get; init; }

    /// <summary>
    /// The HIGH watermark: where background reclaim stops, and what must be free for the last attempt before a global
    /// kill, in bytes. Default 3/2 of the MIN watermark.
    /// </summary>
    public long? HighWatermarkBytes { get; init; }

    /// <summary>
    /// What OOM victims together may use above their groups' limits to finish, in bytes. Default: 1/128 of the
    /// capacity; 4 MiB without one.
    /// </summary>
    public long? OomReserveBytes { get; init; }

    /// <summary>
    /// Larger requests are refused rather than have somebody killed for them, in bytes. Default: a quarter of the
    /// capacity.
    /// </summary>
    public long? CostlyChargeBytes { get; init; }

    /// <summary>How long charges wait. Default 30 seconds.</summary>
    public TimeSpan WaitTimeout { get; init; } = DefaultWaitTimeout;

    /// <summary>How long one step of a reclaimer may take. Default 1 second.</summary>
    public TimeSpan ReclaimDeadline { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long an OOM handler or policy may take. Default 1 second.</summary>
    public TimeSpan HandlerDeadline { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a victim is left alone before the reaper takes its memory. Default 2 seconds.</summary>
    public TimeSpan ReapDelay { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// Unclaimed protection of a parent goes to its children in proportion to their usage. Default false.
    /// </summary>
    public bool RecursiveProtection { get; init; }

    /// <summary>A global OOM kills who asked, instead of who scores highest. Default false.</summary>
    public bool KillAllocatingMember { get; init; }

    /// <summary>When an OOM stops the process instead of killing a member. Default never.</summary>
    public OomPanic PanicOnOom { get; init; }

    /// <summary>
    /// Remembers who rented each buffer, and finds writes to disposed ones and double disposes. For tests and staging:
    /// each buffer then costs a stack trace, and each member holds back up to 1 MiB that it no longer is charged for.
    /// Default false.
    /// </summary>
    public bool CheckBuffers { get; init; }

    /// <summary>
    /// The capacity follows the container's memory limit, live: the limit less <see cref="ContainerReserveBytes"/>, and
    /// never more than <see cref="CapacityBytes"/>. When it shrinks below what is in use, members are reclaimed from
    /// and then killed until it fits. The garbage collector's own limit goes there, too: one such root for a process.
    /// Without a container's limit it changes nothing. Default false.
    /// </summary>
    public bool FollowContainer { get; init; }

    /// <summary>
    /// What <see cref="FollowContainer"/> leaves free below the container's limit, in bytes, 0 or more. Default: a
    /// sixteenth of the limit.
    /// </summary>
    public long? ContainerReserveBytes { get; init; }

    /// <summary>
    /// What the process uses without having declared it (<see cref="MemoryRoot.Unattributed"/>) counts against the
    /// capacity. Default: as <see cref="FollowContainer"/>, because a capacity taken from a container is for the whole
    /// process, and one given by hand usually for what is charged.
    /// </summary>
    public bool? CountUnattributed { get; init; }

    /// <summary>
    /// How often the process is measured when one of the two above asks for it: 10 ms to 49 days. Default half a
    /// second. A measurement costs some 50 microseconds.
    /// </summary>
    public TimeSpan SamplePeriod { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// A measurement older than this refuses nobody: more than <see cref="SamplePeriod"/>. Default 10 seconds.
    /// </summary>
    public TimeSpan GaugeStaleAfter { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The clock for every deadline. Default the system's.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    // Tests own every hand-over: nothing of the protocol runs on a thread they did not choose.
    internal Action<IThreadPoolWorkItem>? PostHook { get; init; }

    // And what is measured.
    internal ProcessMemory? ProcessHook { get; init; }

    internal bool CountsUnattributed => CountUnattributed ?? FollowContainer;

    internal long ReserveOf(long limit) => ContainerReserveBytes ?? limit / 16;

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(CapacityBytes);
        ArgumentNullException.ThrowIfNull(TimeProvider);
        ArgumentOutOfRangeException.ThrowIfNegative(MinWatermarkBytes ?? 0, nameof(MinWatermarkBytes));
        ArgumentOutOfRangeException.ThrowIfNegative(LowWatermarkBytes ?? 0, nameof(LowWatermarkBytes));
        ArgumentOutOfRangeException.ThrowIfNegative(HighWatermarkBytes ?? 0, nameof(HighWatermarkBytes));
        ArgumentOutOfRangeException.ThrowIfNegative(OomReserveBytes ?? 0, nameof(OomReserveBytes));
        ArgumentOutOfRangeException.ThrowIfNegative(CostlyChargeBytes ?? 0, nameof(CostlyChargeBytes));
        ArgumentOutOfRangeException.ThrowIfNegative(ContainerReserveBytes ?? 0, nameof(ContainerReserveBytes));

        MemoryGroupOptions.CheckedTimeout(WaitTimeout, nameof(WaitTimeout));
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(ReclaimDeadline, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(HandlerDeadline, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(ReapDelay, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ReclaimDeadline, MemoryGroupOptions.LongestTimeout);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(HandlerDeadline, MemoryGroupOptions.LongestTimeout);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ReapDelay, MemoryGroupOptions.LongestTimeout);
        ArgumentOutOfRangeException.ThrowIfLessThan(SamplePeriod, TimeSpan.FromMilliseconds(10));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(SamplePeriod, MemoryGroupOptions.LongestTimeout);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(GaugeStaleAfter, SamplePeriod);
        long min = MinWatermark;
        long low = LowWatermarkBytes ?? min;
        long high = HighWatermarkBytes ?? low;
        if (min > CapacityBytes || low < min || high < low)
        {
            throw new ArgumentException(
                $"The watermarks must be MIN <= LOW <= HIGH and MIN within the capacity; given were {min}, {low} and "
                + $"{high} bytes and a capacity of {CapacityBytes} bytes.");
        }
    }

    internal long MinWatermark => MinWatermarkBytes ?? (CapacityBytes == long.MaxValue ? 0 : CapacityBytes / 128);
}

/// <summary>Which OOM stops the process.</summary>
/// <remarks>Thread safety: a value, immutable.</remarks>
public enum OomPanic
{
    /// <summary>None: members are killed.</summary>
    Never,

    /// <summary>When the root's capacity is exhausted.</summary>
    CapacityOnly,

    /// <summary>Every OOM, also of a group. Notifications are delivered first.</summary>
    Always,
}
