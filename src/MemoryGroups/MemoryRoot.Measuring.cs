// What the root knows beside what was declared: metered allocation.
namespace MemoryGroups;

public sealed partial class MemoryRoot
{
    private readonly long _allocatedBefore = GC.GetTotalAllocatedBytes();
    private long _meteredOfExited;

    /// <summary>
    /// Managed bytes that members have allocated in their scopes (<see cref="MemoryMember.Enter"/>) since the root was
    /// made, in bytes; members that have exited included. Allocation, never live bytes.
    /// </summary>
    public long MeteredBytes
    {
        get
        {
            long sum = Interlocked.Read(ref _meteredOfExited);
            OomCandidates.Walk(this, member => sum += member.AllocatedBytes);
            return sum;
        }
    }

    /// <summary>
    /// The rest of what the process has allocated on the managed heap since the root was made, in bytes: work outside
    /// of every scope, work started with suppressed flow, the runtime's own. 0 or more.
    /// </summary>
    public long UnmeteredBytes =>
        Math.Max(0, GC.GetTotalAllocatedBytes(precise: false) - _allocatedBefore - MeteredBytes);

    internal void NoteMetered(long bytes) => Interlocked.Add(ref _meteredOfExited, bytes);
}
