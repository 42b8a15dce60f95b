// Effective protection: how much of what a group claims as Min or Low it can really keep.
//
// For each child of a parent whose own effective protection is E (the target of a reclaim: everything it declares):
//   1. nobody protects more than it uses:                    p = min(usage, setting)
//   2. siblings that claim more than E share it:             p * E / sum(p)
//   3. siblings that claim less get what they claim:         p
//   4. and, when protection is recursive, the unclaimed rest in proportion to their unprotected usage:
//                                                            p + (E - sum) * (usage - p) / (usage of parent - sum)
// Rules 2 and 3 agree where sum(p) = E. The effective value never exceeds the usage, so min <= low holds for the
// effective values whenever it is kept at the declared ones (I11). Follows effective_protection in mm/page_counter.c.
namespace MemoryGroups;

internal readonly record struct EffectiveProtection(long Min, long Low);

internal sealed class MemoryProtection(MemoryGroup target)
{
    private readonly Dictionary<MemoryGroup, EffectiveProtection> _known = [];
    private readonly Dictionary<MemoryGroup, Siblings> _siblings = [];

    private readonly record struct Siblings(long Min, long Low);

    // The target's own protection does not protect it from a reclaim aimed at it.
    internal EffectiveProtection Of(MemoryGroup group)
    {
        if (group == target)
        {
            return default;
        }

        if (!_known.TryGetValue(group, out EffectiveProtection effective))
        {
            MemoryGroup parent = group.Parent!;
            long usage = group.Usage;
            if (parent == target)
            {
                effective = new EffectiveProtection(Math.Min(usage, group.Min), Math.Min(usage, group.Low));
            }
            else
            {
                EffectiveProtection above = Of(parent);
                Siblings sum = SumOf(parent);
                bool recursive = group.Root.RecursiveProtection;
                effective = new EffectiveProtection(
                    Effective(usage, parent.Usage, group.Min, above.Min, sum.Min, recursive),
                    Effective(usage, parent.Usage, group.Low, above.Low, sum.Low, recursive));
            }

            _known.Add(group, effective);
        }

        return effective;
    }

    internal static long Effective(
        long usage, long parentUsage, long setting, long parentEffective, long siblingsProtected, bool recursive)
    {
        long own = Math.Min(usage, setting);
        if (siblingsProtected > parentEffective)
        {
            return Share(own, parentEffective, siblingsProtected);
        }

        long unclaimed = parentEffective - siblingsProtected;
        long unprotected = parentUsage - siblingsProtected;
        if (recursive && unclaimed > 0 && unprotected > 0 && usage > own)
        {
            return Math.Min(usage, own + Share(unclaimed, usage - own, unprotected));
        }

        return own;
    }

    // 128 bits in between: both factors may be as large as a machine.
    private static long Share(long part, long of, long whole) => (long)((Int128)part * of / whole);

    private Siblings SumOf(MemoryGroup parent)
    {
        if (!_siblings.TryGetValue(parent, out Siblings sum))
        {
            long min = 0;
            long low = 0;
            foreach (MemoryGroup? child in parent.ChildRoster.Read())
            {
                if (child is not null)
                {
                    long usage = child.Usage;
                    min += Math.Min(usage, child.Min);
                    low += Math.Min(usage, child.Low);
                }
            }

            sum = new Siblings(min, low);
            _siblings.Add(parent, sum);
        }

        return sum;
    }
}
