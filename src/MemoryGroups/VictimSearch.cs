// Finds who should die by the default score: an origin before all others, then the highest score, of equals the later.
//
// Most members of the tree below the group: the table of bounds is scanned (ScoreTable), and only members whose bound
// reaches the best score found so far are asked themselves. Stock is taken back before anybody is killed, so bounds are
// usages then, and few are asked: the worst one and its equals. Few of many: their objects are walked instead. Both
// find the same one, because whoever may win is asked either way.
//
// Later means: later in a walk of the tree level by level, in order of creation. Members stand in the table where there
// was a place, so of two equals the one later in the walk is found by comparing their paths.
//
// The blocks are taken in the order of the highest bound in each. Until somebody eligible is found only the very
// highest are asked, level by level downwards; from then on the rest of a block is read once, with a rising bar.
// Must stay true: nobody is passed over whose bound is at or above the best score. Nothing is locked, so what changes
// meanwhile may or may not be seen, as in a walk.
using System.Buffers;

namespace MemoryGroups;

internal sealed class VictimSearch
{
    // A walk costs about this much more for each member than a scan.
    private const int ScanAdvantage = 32;

    // Strangers that a scan may ask before a walk is the better way.
    private const int MostStrangers = 4096;

    private readonly MemoryGroup _top;
    private readonly long _scale;
    private MemoryMember? _worst;
    private (bool IsOrigin, long Score) _rank;
    private int _asked;
    private int _strangers;

    private VictimSearch(MemoryGroup top, long scaleBytes)
    {
        _top = top;
        _scale = scaleBytes;
    }

    // What a bound has to reach: nothing while nobody is found; all others lose against an origin.
    private long Bar => _worst is null ? ScoreTable.Never + 1 : _rank.IsOrigin ? ScoreTable.Always : _rank.Score;

    // Null when nobody is eligible.
    internal static OomCandidate? Worst(MemoryGroup top, long scaleBytes, Guarantee? guarantee = null)
    {
        if (guarantee is not null)
        {
            // Rare: each member's path has to be looked at, so all are.
            var spared = new VictimSearch(top, scaleBytes);
            OomCandidates.Walk(top, member => spared.OfferUnless(guarantee, member));
            return spared.Found;
        }

        var search = new VictimSearch(top, scaleBytes);
        if (!search.MayScan || !search.TryScan())
        {
            return WorstByWalk(top, scaleBytes);
        }

        return search.Found;
    }

    internal static OomCandidate? WorstByWalk(MemoryGroup top, long scaleBytes)
    {
        var search = new VictimSearch(top, scaleBytes);
        OomCandidates.Walk(top, member => search.Offer(member, inOrder: true));
        return search.Found;
    }

    // However many strangers there are.
    internal static OomCandidate? WorstByScan(MemoryGroup top, long scaleBytes)
    {
        var search = new VictimSearch(top, scaleBytes) { _strangers = int.MinValue };
        search.TryScan();
        return search.Found;
    }

    private OomCandidate? Found => _worst is null ? null : new OomCandidate(
        _worst, _rank.Score, _rank.IsOrigin ? OomCandidates.Origin : "the highest score (usage and adjustment)");

    // The count of live members is without those who are frozen: good enough for a guess. A scale near the largest
    // long leaves no room for adjustments next to the bounds.
    private bool MayScan =>
        _scale < ScoreTable.Always
        && (_top.Parent is null || _top.LiveMembers >= _top.Root.Scores.Places / ScanAdvantage);

    private bool TryScan()
    {
        ReadOnlySpan<ScoreBlock> blocks = _top.Root.Scores.Blocks;
        long[] highest = ArrayPool<long>.Shared.Rent(blocks.Length);
        try
        {
            for (int i = 0; i < blocks.Length; i++)
            {
                highest[i] = blocks[i].HighestBelow(long.MaxValue, _scale / 1000);
            }

            return TryScan(blocks, highest.AsSpan(0, blocks.Length));
        }
        finally
        {
            ArrayPool<long>.Shared.Return(highest);
        }
    }

    // False when so many strangers stand above our own that it does not pay.
    private bool TryScan(ReadOnlySpan<ScoreBlock> blocks, Span<long> highest)
    {
        while (_strangers < MostStrangers)
        {
            int next = IndexOfHighest(highest);
            if (next < 0 || highest[next] < Bar)
            {
                return true;
            }

            ScoreBlock block = blocks[next];
            if (_worst is null)
            {
                long level = highest[next];
                OfferReaching(block, level);
                highest[next] = block.HighestBelow(level, _scale / 1000);
            }
            else
            {
                OfferReaching(block, Bar);
                highest[next] = ScoreTable.Never;
            }
        }

        return false;
    }

    private void OfferReaching(ScoreBlock block, long level)
    {
        for (int at = 0; ; at++)
        {
            at = block.NextReaching(Math.Max(level, Bar), at, _scale / 1000);
            if (at == block.Size)
            {
                return;
            }

            if (block.OwnerOf(at) is { } member)
            {
                if (member.Group.IsWithin(_top))
                {
                    Offer(member, inOrder: false);
                }
                else
                {
                    _strangers++;
                }

                OomCandidates.YieldAfter(++_asked, _top);
            }
        }
    }

    private void OfferUnless(Guarantee guarantee, MemoryMember member)
    {
        if (!guarantee.Covers(member))
        {
            Offer(member, inOrder: true);
        }
    }

    // In order: whoever is offered comes later in the walk than all before.
    private void Offer(MemoryMember member, bool inOrder)
    {
        if (!OomCandidates.IsEligible(member))
        {
            return;
        }

        (bool IsOrigin, long Score) own = OomCandidates.RankOf(member, _scale);
        int order = _worst is null ? 1 : own.CompareTo(_rank);
        if (order > 0 || (order == 0 && (inOrder || IsLater(member, _worst!))))
        {
            (_worst, _rank) = (member, own);
        }
    }

    private static int IndexOfHighest(ReadOnlySpan<long> highest)
    {
        int best = -1;
        for (int i = 0; i < highest.Length; i++)
        {
            if (highest[i] > ScoreTable.Never && (best < 0 || highest[i] > highest[best]))
            {
                best = i;
            }
        }

        return best;
    }

    // In a walk level by level: below the deeper group, else by the order of whoever stands side by side above them.
    private static bool IsLater(MemoryMember one, MemoryMember other)
    {
        MemoryGroup group = one.Group;
        MemoryGroup otherGroup = other.Group;
        if (group == otherGroup)
        {
            return PlaceOf(one) > PlaceOf(other);
        }

        if (group.Depth != otherGroup.Depth)
        {
            return group.Depth > otherGroup.Depth;
        }

        while (group.Parent != otherGroup.Parent)
        {
            group = group.Parent!;
            otherGroup = otherGroup.Parent!;
        }

        return PlaceOf(group) > PlaceOf(otherGroup);
    }

    private static int PlaceOf(IRosterItem item) => item.RosterPlace;
}
