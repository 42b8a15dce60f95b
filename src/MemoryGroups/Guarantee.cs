// Whom a shortage may not be blamed on: members of groups that are within their Min, when the root is short only
// because of bytes that nobody declared.
//
// Min is a promise between groups. Who keeps to it has taken nothing that could be missing, so it does not die for what
// the runtime or a library took; when nobody else is left, the asker is refused. A shortage of declared bytes is
// another matter: there Min protects from reclaim alone, as in the kernel.
// Must stay true: the promise that counts is the effective one (MemoryProtection), at the member's own group or at any
// above it, and for whoever shares its memory.
namespace MemoryGroups;

internal sealed class Guarantee(MemoryRoot root)
{
    private readonly MemoryProtection _protection = new(root);

    // Null when the shortage is not that of undeclared bytes. Under the kill lock.
    internal static Guarantee? For(OomKill kill)
    {
        MemoryRoot root = kill.Group.Root;
        OomRequest request = kill.Request;
        bool fitsWithout = root.Usage <= root.Capacity - request.RootFloor - request.Bytes;
        return kill.Group == root && root.Gauge.Counted > 0 && fitsWithout ? new Guarantee(root) : null;
    }

    internal bool Covers(MemoryMember member) =>
        CoversAlone(member) || (member.Space.IsShared && Array.Exists(member.Space.Members(), CoversAlone));

    private bool CoversAlone(MemoryMember member)
    {
        for (MemoryGroup at = member.Group; at.Parent is { } parent; at = parent)
        {
            long min = _protection.Of(at).Min;
            if (min > 0 && at.Usage <= min)
            {
                return true;
            }
        }

        return false;
    }
}
