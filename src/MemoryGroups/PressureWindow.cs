// The arithmetic of pressure levels: how much of what was asked of reclaimers did not come.
//
// Small reclaims say little each, so they are added up until a window is full; the window is then judged as a whole and
// starts anew. Integers throughout, as in the kernel: what is told must not depend on rounding modes. More given than
// asked for is no pressure at all, never a negative one. Follows vmpressure_calc_level in mm/vmpressure.c.
namespace MemoryGroups;

internal struct PressureWindow
{
    // The kernel's 512 pages.
    internal const long Bytes = 512 * 4096;

    private const int MediumPercent = 60;
    private const int CriticalPercent = 95;

    private long _scanned;
    private long _reclaimed;

    // True when this filled the window.
    internal bool TryFill(long scanned, long reclaimed, out PressureLevel level)
    {
        // Sums that nobody reaches stop instead of overflowing.
        _scanned = Math.Min(_scanned, long.MaxValue - scanned) + scanned;
        _reclaimed = Math.Min(_reclaimed, long.MaxValue - reclaimed) + reclaimed;
        level = default;
        if (_scanned < Bytes)
        {
            return false;
        }

        level = LevelOf(_scanned, _reclaimed);
        this = default;
        return true;
    }

    internal static PressureLevel LevelOf(long scanned, long reclaimed) => Percent(scanned, reclaimed) switch
    {
        >= CriticalPercent => PressureLevel.Critical,
        >= MediumPercent => PressureLevel.Medium,
        _ => PressureLevel.Low,
    };

    private static int Percent(long scanned, long reclaimed)
    {
        if (reclaimed >= scanned)
        {
            return 0;
        }

        Int128 scale = (Int128)scanned + reclaimed;
        return (int)((scale - (reclaimed * scale / scanned)) * 100 / scale);
    }
}
