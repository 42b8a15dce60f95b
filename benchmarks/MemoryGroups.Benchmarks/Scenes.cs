// All scenes, in the order of the table. A file with cases adds one line here.
namespace MemoryGroups.Benchmarks;

internal static class Scenes
{
    internal static IReadOnlyList<Scene> All { get; } =
    [
        .. ChargeCases.Scenes,
        .. MatrixCases.Scenes,
        .. WalkCases.Scenes,
        .. PeerCases.Scenes,
        .. OwnerCases.Scenes,
        .. PressureCases.Scenes,
        .. ReadCases.Scenes,
        .. WatchCases.Scenes,
        .. UpkeepCases.Scenes,
        .. MeterCases.Scenes,
        .. BufferCases.Scenes,
        .. StrandedBytes.Scenes,
        .. DriftAudit.Scenes,
        .. DrainLatency.Scenes,
        .. WaitCases.Scenes,
        .. LockCases.Scenes,
        .. OomCases.Scenes,
        .. ScaleCases.Scenes,
        .. CacheCases.Scenes,
        .. ExactnessCases.Scenes,
    ];
}
