// What few groups set: protection, the soft limit, what members start with. One object, made when the first is set.
//
// A tree of a million groups should pay for what it uses. Usage, Max and High are looked at by every charge that leaves
// its stock and stay in the group; these are looked at by reclaim, by a kill, or when something is made.
// Must stay true: each is written by whoever administers and read anywhere, whole.
namespace MemoryGroups;

internal sealed class RareSettings
{
    private const int Inherit = int.MinValue;

    private long _min;
    private long _low;
    private long _softLimit = long.MaxValue;
    private int _adjustment = Inherit;
    private BackgroundReclaim? _toHigh;

    internal long Min
    {
        get => Volatile.Read(ref _min);
        set => Volatile.Write(ref _min, value);
    }

    internal long Low
    {
        get => Volatile.Read(ref _low);
        set => Volatile.Write(ref _low, value);
    }

    internal long SoftLimit
    {
        get => Volatile.Read(ref _softLimit);
        set => Volatile.Write(ref _softLimit, value);
    }

    // Null: as the parent.
    internal int? Adjustment
    {
        get => Volatile.Read(ref _adjustment) is var own && own == Inherit ? null : own;
        set => Volatile.Write(ref _adjustment, value ?? Inherit);
    }

    // Set once, by the options.
    internal long? BatchBytes { get; private init; }

    // Null when the options say nothing of these.
    internal static RareSettings? From(MemoryGroupOptions options) =>
        options is { Min: 0, Low: 0, SoftLimit: long.MaxValue, OomScoreAdjustment: null, BatchBytes: null }
            ? null
            : new RareSettings
            {
                Min = options.Min,
                Low = options.Low,
                SoftLimit = options.SoftLimit,
                Adjustment = options.OomScoreAdjustment,
                BatchBytes = options.BatchBytes,
            };

    // Of a group that is closed nothing is protected.
    internal void DropProtection() => Min = Low = 0;

    internal void ReclaimToHigh(MemoryGroup group)
    {
        // One for the group, or two who set High at once would have two runs.
        BackgroundReclaim? toHigh = Volatile.Read(ref _toHigh);
        if (toHigh is null)
        {
            var fresh = new BackgroundReclaim(group);
            toHigh = Interlocked.CompareExchange(ref _toHigh, fresh, null) ?? fresh;
        }

        toHigh.Start();
    }
}
