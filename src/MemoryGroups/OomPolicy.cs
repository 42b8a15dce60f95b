// Who should die: policies rank, the killer kills.
//
// A policy gets the eligible candidates of the refusing subtree and returns them in its order, each with a reason.
// Walking, the margin re-check, deadlines and bookkeeping exist once, in OomKiller; a policy cannot name an outsider, a
// protected member, or somebody who is dying already: such entries are skipped.
using System.Globalization;

namespace MemoryGroups;

/// <summary>A candidate for being killed, and why.</summary>
/// <remarks>Thread safety: immutable.</remarks>
/// <param name="Member">The member.</param>
/// <param name="Score">Its score; higher dies first. The default policy's unit is bytes.</param>
/// <param name="Reason">Why it stands where it stands, for the report.</param>
public readonly record struct OomCandidate(MemoryMember Member, long Score, string Reason);

/// <summary>What a policy or a handler is told about an OOM.</summary>
/// <remarks>Thread safety: immutable; the members in it go on living.</remarks>
public sealed class OomScene
{
    internal OomScene(MemoryGroup group, OomRequest request, long scaleBytes)
    {
        Group = group;
        Asker = request.Asker;
        RequestedBytes = request.Bytes;
        ScaleBytes = scaleBytes;
        IsGlobal = group.Parent is null;
    }

    /// <summary>The group that refused; only members of its subtree may be killed.</summary>
    public MemoryGroup Group { get; }

    /// <summary>Who asked; null when a limit was lowered or an administrator asked.</summary>
    public MemoryMember? Asker { get; }

    /// <summary>How much was asked for, in bytes.</summary>
    public long RequestedBytes { get; }

    /// <summary>The limit against which score adjustments count, in bytes, at least 1.</summary>
    public long ScaleBytes { get; }

    /// <summary>True when the root's capacity is exhausted, false for a group's limit.</summary>
    public bool IsGlobal { get; }

    /// <summary>The members that may be killed now, in order of creation; one for each space.</summary>
    /// <returns>A new list.</returns>
    public IReadOnlyList<MemoryMember> Candidates() => OomCandidates.Of(Group);
}

/// <summary>Ranks the candidates of an OOM.</summary>
/// <remarks>
/// Implementers MUST NOT wait, charge memory, or call back into the killer; MUST return within the handler deadline,
/// else the default ranking is used; SHOULD be linear in the usage, not lexicographic, or many small members die for
/// one large one. Thread safety: called from any thread, for different groups at the same time.
/// </remarks>
public abstract class OomPolicy
{
    /// <summary>Orders the candidates, the first to die first. Members that are left out are not killed.</summary>
    /// <param name="scene">The OOM.</param>
    /// <returns>The ranking; empty means: kill nobody.</returns>
    public abstract IReadOnlyList<OomCandidate> Rank(OomScene scene);

    /// <summary>The default score: usage + adjustment * scale / 1000, linear, as the kernel's oom_badness.</summary>
    /// <remarks>
    /// Counted in bytes where the kernel counts in pages: a thousandth of the scale is rounded down to a byte, not to a
    /// page, so that adjustments count in a group of a few megabytes too. In a large group the two differ by less than
    /// a page for each point of the adjustment.
    /// </remarks>
    /// <param name="member">The member; the usage of its whole space counts.</param>
    /// <param name="scaleBytes">The limit against which the adjustment counts, in bytes.</param>
    /// <returns>The score in bytes; may be negative. Ends at the largest and smallest long.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="member"/> is null.</exception>
    public static long LinearScore(MemoryMember member, long scaleBytes)
    {
        ArgumentNullException.ThrowIfNull(member);

        // 128 bits in between: a limit may be as large as a long.
        Int128 score = member.Space.Usage + ((Int128)member.OomScoreAdjustment * (scaleBytes / 1000));
        return (long)Int128.Clamp(score, -long.MaxValue, long.MaxValue);
    }
}

internal static class OomCandidates
{
    // How the scan of a large subtree is cut up: other work of this thread's core gets its turn in between (B31).
    internal const int YieldEvery = 1 << 14;

    internal const string Origin = "it is marked as the origin of the shortage";

    internal static List<MemoryMember> Of(MemoryGroup top)
    {
        var found = new List<MemoryMember>();
        var spaces = new HashSet<MemorySpace>();
        Walk(top, member =>
        {
            if (IsEligible(member) && spaces.Add(member.Space))
            {
                found.Add(member);
            }
        });
        return found;
    }

    // Everybody who may be killed, the first to die first; a space by its member that would be chosen.
    internal static List<OomCandidate> Table(MemoryGroup top)
    {
        long scale = OomKill.Scale(top);
        var rows = new List<(MemoryMember Member, (bool IsOrigin, long Score) Rank)>();
        Walk(top, member =>
        {
            if (IsEligible(member))
            {
                rows.Add((member, RankOf(member, scale)));
            }
        });

        // The sort is stable: of equals the later one comes first when all are turned round before.
        rows.Reverse();
        return
        [
            .. rows.OrderByDescending(static row => row.Rank)
                .DistinctBy(static row => row.Member.Space)
                .Select(static row => new OomCandidate(row.Member, row.Rank.Score, ReasonFor(row.Member))),
        ];
    }

    internal static int ExportedScore(MemoryMember member)
    {
        if (!IsEligible(member))
        {
            return 0;
        }

        long scale = OomKill.Scale(member.Root);
        Int128 thousandths = (Int128)OomPolicy.LinearScore(member, scale) * 1000 / scale;
        return (int)Int128.Clamp((1000 + thousandths) * 2 / 3, 0, 2000);
    }

    internal static (bool IsOrigin, long Score) RankOf(MemoryMember member, long scale) =>
        (member.IsOomOrigin, OomPolicy.LinearScore(member, scale));

    private static string ReasonFor(MemoryMember member) =>
        member.IsOomOrigin ? Origin
        : member.OomScoreAdjustment == 0 ? "usage"
        : string.Create(CultureInfo.InvariantCulture, $"usage, adjusted by {member.OomScoreAdjustment} thousandths");

    // A charge shows in the counters before it shows in its member's books, and an exit leaves the books first. Bytes
    // that are in neither stock nor books are such: somebody will soon hold them, and be eligible, or give them back.
    // The usage is read last, so a charge that ends meanwhile makes us look again rather than miss it. What members
    // that moved away have left behind is known, and nobody here can be killed for it.
    internal static bool HasBytesOnTheWay(MemoryGroup top)
    {
        long known = top.Root.Stocks.HeldIn(top);
        var seen = new HashSet<MemberBooks>();
        Walk(
            top,
            member => known += seen.Add(member.Books) ? member.Books.Usage : 0,
            group =>
            {
                foreach (MemberBooks books in group.LeftBooks)
                {
                    known += seen.Add(books) ? books.Usage : 0;
                }
            });
        return top.Usage > known;
    }

    // Not: never-kill members, spaces that died or were hidden, and members that hold nothing (killing them frees
    // nothing).
    internal static bool IsEligible(MemoryMember member) =>
        !member.IsExited
        && member.OomScoreAdjustment > MemoryMember.NeverKill
        && !member.Space.IsVictim
        && !member.Space.IsHidden
        && member.Space.Usage > 0;

    internal static void YieldAfter(int seen, MemoryGroup top)
    {
        if (seen % YieldEvery == 0)
        {
            Probe.At(top.Root, ProbePoint.ScanYields, top);
            Thread.Yield();
        }
    }

    internal static void Walk(
        MemoryGroup top, Action<MemoryMember> visit, Action<MemoryGroup>? visitGroup = null)
    {
        int seen = 0;
        var queue = new Queue<MemoryGroup>();
        queue.Enqueue(top);
        while (queue.TryDequeue(out MemoryGroup? group))
        {
            visitGroup?.Invoke(group);
            foreach (MemoryMember? member in group.MemberRoster.Read())
            {
                if (member is not null)
                {
                    visit(member);
                    YieldAfter(++seen, top);
                }
            }

            foreach (MemoryGroup? child in group.ChildRoster.Read())
            {
                if (child is not null)
                {
                    queue.Enqueue(child);
                }
            }
        }
    }
}
