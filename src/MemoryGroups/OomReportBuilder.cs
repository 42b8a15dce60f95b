// Gathers a report: what must be known from before the kill at once, the rest when the report is first asked for.
//
// The kill should not wait for its own description. But after it the victim's bytes are on their way home, and numbers
// taken then would no longer explain the decision. What they can change is known: the victim's own row, and the usage
// of its group and those above. These are taken before the kill is sent, which is O(depth); all other groups and
// members are looked at afterwards, by whoever asks first: the killer after the kill lock, or the victim that throws.
// How wrong at most: what others charge, or sharers elsewhere return, between the kill and the look is in the excerpt.
//
// Must stay true: one report for each builder, whoever asks. Nothing of ours is locked while it is built.
namespace MemoryGroups;

internal sealed class OomReportBuilder
{
    private const int MostGroups = 12;
    private const int MostScores = 10;

    private readonly OomKill _kill;
    private readonly OomCandidate _candidate;
    private readonly string _why;
    private readonly OomReportScore _victim;
    private readonly List<(MemoryGroup Group, long Usage)> _path = [];
    private readonly long _unattributed;
    private long _number;
    private DateTimeOffset _time;
    private OomReport? _report;

    private OomReportBuilder(OomKill kill, OomCandidate candidate, string why)
    {
        _kill = kill;
        _candidate = candidate;
        _why = why;
        MemoryMember victim = candidate.Member;
        _victim = new OomReportScore(
            victim.Path, victim.Space.Usage, victim.OomScoreAdjustment, kill.Score(victim));
        _unattributed = kill.Group.Parent is null ? kill.Group.Root.Gauge.Counted : 0;
        for (MemoryGroup? at = victim.Group; at is not null; at = at.Parent)
        {
            _path.Add((at, at.Usage));
        }
    }

    internal OomReport Report =>
        Volatile.Read(ref _report) ?? Interlocked.CompareExchange(ref _report, Build(), null) ?? _report;

    internal static OomReportBuilder Before(OomKill kill, OomCandidate candidate, string why) =>
        new(kill, candidate, why);

    // The kill is decided: from here on the report has a number.
    internal void Number(MemoryRoot root) =>
        (_number, _time) = (root.Reports.NextNumber(), root.TimeProvider.GetUtcNow());

    private OomReport Build()
    {
        OomRequest request = _kill.Request;
        List<OomReportScore> scores = HighestScores(out int candidates);
        return new OomReport
        {
            Number = _number,
            Time = _time,
            AskerPath = request.Asker?.Path ?? string.Empty,
            RequestedBytes = request.Bytes,
            Flags = request.Flags,
            WaitedMilliseconds = request.Waited.TotalMilliseconds,
            RefusingGroup = _kill.Group.Path,
            LimitBytes = _kill.Group.OwnLimit,
            UnattributedBytes = _unattributed,
            UsageBytes = UsageOf(_kill.Group),
            VictimPath = _victim.Path,
            VictimGroup = _candidate.Member.Group.Path,
            VictimUsageBytes = _victim.UsageBytes,
            VictimScore = _candidate.Score,
            Reason = $"{_why}; {_candidate.Reason}",
            Killed = [_victim.Path],
            Tried = [.. request.Tried],
            Groups = LargestGroups(),
            Scores = scores,
            Candidates = candidates,
        };
    }

    private long UsageOf(MemoryGroup group)
    {
        foreach ((MemoryGroup above, long usage) in _path)
        {
            if (above == group)
            {
                return usage;
            }
        }

        return group.Usage;
    }

    private List<OomReportGroup> LargestGroups()
    {
        MemoryGroup top = _kill.Group;
        var largest = new PriorityQueue<MemoryGroup, long>();
        var walk = new Queue<MemoryGroup>();
        walk.Enqueue(top);
        while (walk.TryDequeue(out MemoryGroup? group))
        {
            largest.Enqueue(group, group == top ? long.MaxValue : UsageOf(group));
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
                .Select(group => new OomReportGroup(
                    group.Path, UsageOf(group), group.Root.Stocks.HeldIn(group), group.OwnLimit, group.Low)),
        ];
    }

    // One row for each space; the victim's is the victim, from before.
    private List<OomReportScore> HighestScores(out int candidates)
    {
        var highest = new PriorityQueue<MemoryMember, long>();
        int count = 1;
        var shared = new HashSet<MemorySpace>();
        OomCandidates.Walk(_kill.Group, member =>
        {
            MemorySpace space = member.Space;
            if (space == _candidate.Member.Space || !OomCandidates.IsEligible(member)
                || (space.IsShared && !shared.Add(space)))
            {
                return;
            }

            count++;
            highest.Enqueue(member, _kill.Score(member));
            if (highest.Count == MostScores)
            {
                highest.Dequeue();
            }
        });
        candidates = count;
        return
        [
            .. highest.UnorderedItems
                .Select(item => new OomReportScore(
                    item.Element.Path,
                    item.Element.Space.Usage,
                    item.Element.OomScoreAdjustment,
                    _kill.Score(item.Element)))
                .Append(_victim)
                .OrderByDescending(static score => score.Score),
        ];
    }
}
