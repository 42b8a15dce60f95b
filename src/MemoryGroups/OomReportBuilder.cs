// Gathers a report: the state before the kill, then who was killed.
//
// The excerpts are taken before the kill is sent, because afterwards the victim's bytes are on their way home and the
// numbers would no longer explain the decision. Nothing of ours is locked except the kill lock.
namespace MemoryGroups;

internal sealed class OomReportBuilder
{
    private const int MostGroups = 12;
    private const int MostScores = 10;

    private readonly OomKill _kill;
    private readonly OomCandidate _candidate;
    private readonly string _why;
    private readonly long _usage;
    private readonly long _victimUsage;
    private readonly int _candidates;
    private readonly List<OomReportGroup> _groups;
    private readonly List<OomReportScore> _scores;

    private OomReportBuilder(OomKill kill, OomCandidate candidate, string why)
    {
        _kill = kill;
        _candidate = candidate;
        _why = why;
        _usage = kill.Group.Usage;
        _victimUsage = candidate.Member.Space.Usage;
        _groups = LargestGroups(kill.Group);
        (_scores, _candidates) = HighestScores(kill, candidate.Member);
    }

    internal static OomReportBuilder Before(OomKill kill, OomCandidate candidate, string why) =>
        new(kill, candidate, why);

    internal OomReport Build()
    {
        OomRequest request = _kill.Request;
        MemoryRoot root = request.Root;
        return new OomReport
        {
            Number = root.Reports.NextNumber(),
            Time = root.TimeProvider.GetUtcNow(),
            AskerPath = request.Asker?.Path ?? string.Empty,
            RequestedBytes = request.Bytes,
            Flags = request.Flags,
            WaitedMilliseconds = request.Waited.TotalMilliseconds,
            RefusingGroup = _kill.Group.Path,
            LimitBytes = _kill.Group.Counter.Limit,
            UsageBytes = _usage,
            VictimPath = _candidate.Member.Path,
            VictimGroup = _candidate.Member.Group.Path,
            VictimUsageBytes = _victimUsage,
            VictimScore = _candidate.Score,
            Reason = $"{_why}; {_candidate.Reason}",
            Killed = [_candidate.Member.Path],
            Tried = [.. request.Tried],
            Groups = _groups,
            Scores = _scores,
            Candidates = _candidates,
        };
    }

    private static List<OomReportGroup> LargestGroups(MemoryGroup top)
    {
        var largest = new PriorityQueue<MemoryGroup, long>();
        var walk = new Queue<MemoryGroup>();
        walk.Enqueue(top);
        while (walk.TryDequeue(out MemoryGroup? group))
        {
            largest.Enqueue(group, group == top ? long.MaxValue : group.Usage);
            if (largest.Count > MostGroups)
            {
                largest.Dequeue();
            }

            foreach (MemoryGroup? child in group.ChildRoster.Read())
            {
                if (child is not null)
                {
                    walk.Enqueue(child);
                }
            }
        }

        return
        [
            .. largest.UnorderedItems
                .Select(static item => item.Element)
                .OrderBy(static group => group.Path, StringComparer.Ordinal)
                .Select(static group => new OomReportGroup(
                    group.Path, group.Usage, group.Root.Stocks.HeldIn(group), group.Counter.Limit, group.Low)),
        ];
    }

    private static (List<OomReportScore> Highest, int Count) HighestScores(OomKill kill, MemoryMember victim)
    {
        var highest = new PriorityQueue<MemoryMember, long>();
        int count = 0;
        var spaces = new HashSet<MemorySpace>();
        OomCandidates.Walk(kill.Group, member =>
        {
            // One row for each space; the victim's is the victim.
            bool isOther = member.Space == victim.Space && member != victim;
            if (!isOther && OomCandidates.IsEligible(member) && spaces.Add(member.Space))
            {
                count++;
                highest.Enqueue(member, member == victim ? long.MaxValue : kill.Score(member));
                if (highest.Count > MostScores)
                {
                    highest.Dequeue();
                }
            }
        });
        return
        ([
            .. highest.UnorderedItems
                .Select(item => new OomReportScore(
                    item.Element.Path,
                    item.Element.Space.Usage,
                    item.Element.OomScoreAdjustment,
                    kill.Score(item.Element)))
                .OrderByDescending(static score => score.Score),
        ], count);
    }
}
