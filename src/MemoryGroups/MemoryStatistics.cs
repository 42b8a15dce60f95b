// One group at one moment, as plain data: for a dashboard, a log line, a test.
//
// The numbers are read one after the other, not under a lock: each is true at its own moment, and a sum over several
// groups is a picture of a moving thing. Exact when quiet.
namespace MemoryGroups;

/// <summary>A snapshot of a group; see <see cref="MemoryGroup.GetStatistics"/>. Sizes are bytes.</summary>
/// <remarks>Thread safety: immutable.</remarks>
public sealed record MemoryStatistics
{
    /// <summary>The group's path.</summary>
    public required string Path { get; init; }

    /// <summary>Charged here and below, stock included.</summary>
    public required long UsageBytes { get; init; }

    /// <summary>The same without stock: the least that can be in use.</summary>
    public required long UsageLowerBytes { get; init; }

    /// <summary>The highest usage so far.</summary>
    public required long PeakBytes { get; init; }

    /// <summary>The root: its capacity; any other group: its Max. <see cref="long.MaxValue"/> is no limit.</summary>
    public required long LimitBytes { get; init; }

    /// <summary>The smallest limit of this group and all above it: what it can use at most.</summary>
    public required long EffectiveLimitBytes { get; init; }

    /// <summary>Above this, who charges is slowed down. <see cref="long.MaxValue"/> is no limit.</summary>
    public required long HighBytes { get; init; }

    /// <summary>Not reclaimed below this while others have something.</summary>
    public required long LowBytes { get; init; }

    /// <summary>Never reclaimed below this.</summary>
    public required long MinBytes { get; init; }

    /// <summary>
    /// Where slowing down and reclaim begin: the smallest High of this group and all above it, never above
    /// <see cref="EffectiveLimitBytes"/>.
    /// </summary>
    public required long EffectiveHighBytes { get; init; }

    /// <summary>
    /// Of what is in use, what Low protects from a reclaim of the whole root now; at least
    /// <see cref="EffectiveMinBytes"/>, at most <see cref="EffectiveHighBytes"/>.
    /// </summary>
    public required long EffectiveLowBytes { get; init; }

    /// <summary>The same for Min, at most <see cref="EffectiveLowBytes"/>.</summary>
    public required long EffectiveMinBytes { get; init; }

    /// <summary>How often this group's own limit refused.</summary>
    public required long Refusals { get; init; }

    /// <summary>Events here and below.</summary>
    public required MemoryEventCounts Events { get; init; }

    /// <summary>Events of this group itself.</summary>
    public required MemoryEventCounts LocalEvents { get; init; }

    /// <summary>True while a request is in the OOM path of this group or of one above it.</summary>
    public required bool UnderOom { get; init; }

    /// <summary>Charges that sleep because this group's limit refused them.</summary>
    public required int WaitingCharges { get; init; }

    /// <summary>The time in which some member of the subtree was stalled on memory.</summary>
    public required PressureStall SomePressure { get; init; }

    /// <summary>The time in which all members of the subtree were.</summary>
    public required PressureStall FullPressure { get; init; }

    /// <summary>Groups directly below.</summary>
    public required int Children { get; init; }

    /// <summary>Members of the group itself.</summary>
    public required int Members { get; init; }

    internal static List<MemoryStatistics> OfTree(MemoryGroup top)
    {
        var protection = new MemoryProtection(top.Root);
        List<MemoryGroup> groups = [top];
        var all = new List<MemoryStatistics>();
        for (int at = 0; at < groups.Count; at++)
        {
            all.Add(Of(groups[at], protection));
            foreach (MemoryGroup? child in groups[at].ChildRoster.Read())
            {
                if (child is not null)
                {
                    groups.Add(child);
                }
            }
        }

        return all;
    }

    // The protection is worked out against the whole root, and may be that of other groups seen in the same moment.
    internal static MemoryStatistics Of(MemoryGroup group, MemoryProtection protection)
    {
        long effective = long.MaxValue;
        long high = long.MaxValue;
        for (MemoryGroup? at = group; at is not null; at = at.Parent)
        {
            effective = Math.Min(effective, at.Counter.Limit);
            high = Math.Min(high, at.High);
        }

        (PressureStall some, PressureStall full) = group.KnownPressure?.Read() ?? default;

        // A warning line above the limit would never be reached, and nothing is protected above that line (I11).
        high = Math.Min(high, effective);
        EffectiveProtection keep = protection.Of(group);
        long min = Math.Min(keep.Min, high);
        return new MemoryStatistics
        {
            Path = group.Path,
            UsageBytes = group.Usage,
            UsageLowerBytes = group.UsageLower,
            PeakBytes = group.PeakUsage,
            LimitBytes = group.OwnLimit,
            EffectiveLimitBytes = effective,
            HighBytes = group.High,
            LowBytes = group.Low,
            MinBytes = group.Min,
            EffectiveHighBytes = high,
            EffectiveLowBytes = Math.Clamp(keep.Low, min, high),
            EffectiveMinBytes = min,
            Refusals = group.RefusalCount,
            LocalEvents = group.Events.Local,
            Events = group.Events.Current,
            UnderOom = group.Oom.UnderOom,
            WaitingCharges = group.Counter.Waiters,
            SomePressure = some,
            FullPressure = full,
            Children = group.ChildRoster.Count,
            Members = group.MemberRoster.Count,
        };
    }
}
