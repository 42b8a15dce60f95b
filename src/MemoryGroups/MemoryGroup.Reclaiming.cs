// Who gives memory of a group back, and the two ways of asking for it by name: so much, or all that can be had.
//
// Reclaimers are added and removed under the root's guard and read without it; each group counts those of its subtree,
// so that reclaim looks only where there are some. What is asked of whom is in SubtreeReclaim.
namespace MemoryGroups;

public partial class MemoryGroup
{
    private MemoryReclaimer[] _reclaimers = [];

    internal ReadOnlySpan<MemoryReclaimer> Reclaimers => Volatile.Read(ref _reclaimers);

    /// <summary>Registers somebody who can give back memory of this group.</summary>
    /// <param name="reclaimer">The reclaimer.</param>
    /// <returns>Dispose it to end the registration.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="reclaimer"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The group is closed.</exception>
    public IDisposable AddReclaimer(MemoryReclaimer reclaimer)
    {
        ArgumentNullException.ThrowIfNull(reclaimer);
        using (Root.EnterGuard())
        {
            Gone.ThrowIf(IsClosed, this);
            _reclaimers = [.. _reclaimers, reclaimer];
            CountReclaimersLocked(1);
        }

        return new Registration(() => Remove(reclaimer));
    }

    /// <summary>Asks this subtree's reclaimers for memory now. Kills nobody, counts no pressure.</summary>
    /// <param name="bytes">How much, at least 1.</param>
    /// <param name="cancellationToken">Stops asking.</param>
    /// <returns>By how much the reclaimers say they have helped, in bytes; may be less than asked for.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is less than 1.</exception>
    public ValueTask<long> ReclaimAsync(long bytes, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, 1);
        return RequestedReclaim.RunAsync(this, bytes, cancellationToken);
    }

    /// <summary>
    /// Takes back all idle stock and asks this subtree's reclaimers for everything they can give. Kills nobody, counts
    /// no pressure. What has no reclaimer stays.
    /// </summary>
    /// <param name="cancellationToken">Stops asking.</param>
    /// <returns>What is still in use then, in bytes; 0 when the group is empty.</returns>
    /// <remarks>Follows <c>memory.force_empty</c> (cgroup v1).</remarks>
    /// <exception cref="InvalidOperationException">This is the root.</exception>
    public ValueTask<long> ForceEmptyAsync(CancellationToken cancellationToken = default) => Parent is null
        ? throw new InvalidOperationException(
            $"The root '{Name}' cannot be emptied by force: empty the groups below it, or use ReclaimAsync.")
        : RequestedReclaim.EmptyAsync(this, cancellationToken);

    private void CountReclaimersLocked(int by)
    {
        for (MemoryGroup? at = this; at is not null; at = at.Parent)
        {
            at.ReclaimersInSubtree += by;
        }
    }

    private void RemoveReclaimersLocked()
    {
        CountReclaimersLocked(-_reclaimers.Length);
        _reclaimers = [];
    }

    private void Remove(MemoryReclaimer reclaimer)
    {
        using (Root.EnterGuard())
        {
            int at = Array.LastIndexOf(_reclaimers, reclaimer);
            if (at >= 0)
            {
                _reclaimers = [.. _reclaimers.Where((_, index) => index != at)];
                CountReclaimersLocked(-1);
            }
        }
    }
}
