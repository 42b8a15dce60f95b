// How a charge may be satisfied. Flags travel in the call, never in thread state: work that hops threads keeps them.
namespace MemoryGroups;

/// <summary>What a charge may do to succeed, and what happens when it cannot.</summary>
/// <remarks>
/// The counterpart of the kernel's GFP flags (<c>include/linux/gfp_types.h</c>). Thread safety: a value, immutable.
/// </remarks>
[Flags]
public enum ChargeFlags
{
    /// <summary>The default: may reclaim, wait and start the OOM protocol, as far as the method allows it.</summary>
    None = 0,

    /// <summary>Neither reclaims nor waits nor kills: granted at once or refused.</summary>
    NoWait = 1 << 0,

    /// <summary>
    /// Runs no reclaimers: for callers that hold something a reclaimer needs. May still end in a kill; at a full root
    /// only after others have reclaimed in the background.
    /// </summary>
    NoReclaim = 1 << 1,

    /// <summary>One round of reclaim, then refused.</summary>
    NoRetry = 1 << 2,

    /// <summary>Tries hard, but is refused rather than have somebody killed: the caller has a fallback.</summary>
    RetryMayFail = 1 << 3,

    /// <summary>
    /// Never refused: over the limit when nothing else helps. A limit that meets such charges is not exact.
    /// </summary>
    NoFail = 1 << 4,

    /// <summary>
    /// May use part of the root's reserve (half of the MIN watermark) and exceeds group limits rather than be refused.
    /// </summary>
    HighPriority = 1 << 5,

    /// <summary>
    /// Made by a reclaimer while it gives memory back: charged over the limit of groups, down to the last byte of the
    /// root's capacity, and never reclaims itself.
    /// </summary>
    FromReclaim = 1 << 6,

    /// <summary>
    /// Only one kind of memory will do (pinned, one NUMA node, GPU staging). Killing somebody is unlikely to free that
    /// kind, so the global OOM path refuses such a charge instead.
    /// </summary>
    Confined = 1 << 7,

    /// <summary>Uses no reserve, even when made by a victim.</summary>
    NoReserve = 1 << 8,
}
