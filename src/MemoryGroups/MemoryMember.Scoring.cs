// What a member scores when somebody has to die, and its place in the table of those who may.
//
// Must stay true: whatever ScoreBound is made of is published after it changed (see ScoreTable).
namespace MemoryGroups;

public sealed partial class MemoryMember
{
    private ScorePlace _place;
    private bool _isInTable;
    private int _adjustment;
    private bool _isOomOrigin;

    /// <summary>
    /// Added to the score when a victim is chosen, in thousandths of the refusing limit: -1000 (never killed) to 1000.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Out of range.</exception>
    public int OomScoreAdjustment
    {
        get => Volatile.Read(ref _adjustment);
        set
        {
            Volatile.Write(ref _adjustment, CheckedAdjustment(value));
            PublishScore();
        }
    }

    /// <summary>
    /// True when this member is known to be what memory is short for: of the candidates the killer chooses it, whatever
    /// the scores say (of several the one with the highest). It changes nothing about who is a candidate, nor what a
    /// custom policy or a handler says. Default false.
    /// </summary>
    public bool IsOomOrigin
    {
        get => Volatile.Read(ref _isOomOrigin);
        set
        {
            Volatile.Write(ref _isOomOrigin, value);
            PublishScore();
        }
    }

    /// <summary>
    /// How likely the killer is to choose this member when the whole root is short, 0 to 2000: two thirds of 1000 plus
    /// its score in thousandths of the capacity. 0 for who cannot be chosen (never killed, holding nothing, dead).
    /// Without a capacity the root's usage stands for it.
    /// </summary>
    /// <remarks>Follows <c>proc_oom_score</c> in fs/proc/base.c.</remarks>
    public int OomScore => OomCandidates.ExportedScore(this);

    // Never less than the usage of its space, and the adjustment that goes with it.
    internal (long Bound, int Adjustment) ScoreBound
    {
        get
        {
            int adjustment = OomScoreAdjustment;
            if (IsExited || adjustment == NeverKill)
            {
                return (ScoreTable.Never, 0);
            }

            if (IsOomOrigin || Space.IsShared)
            {
                return (ScoreTable.Always, 0);
            }

            // The current books first: a move adds them to the ones that were left before it replaces them.
            long drawn = Volatile.Read(ref _books).Drawn;
            foreach (MemberBooks books in LeftBooks)
            {
                drawn += books.Drawn;
            }

            return (Math.Min(drawn, ScoreTable.Always), adjustment);
        }
    }

    internal static int CheckedAdjustment(int adjustment, string what = nameof(OomScoreAdjustment)) =>
        adjustment is >= NeverKill and <= 1000
            ? adjustment
            : throw new ArgumentOutOfRangeException(
                what, adjustment, $"{what} must be {NeverKill} (never killed) to 1000 (killed first).");

    internal void PublishScore() => _place.Publish();

    // In two halves, with a full fence of the caller's in between (see ScoreTable).
    internal void ShowScore() => _place.Show();

    internal void ConfirmScore() => _place.Confirm();

    // Published once more when everybody knows the place: a charge in between could not.
    private void EnterTable()
    {
        _place = Root.Scores.Take(this);
        Interlocked.Exchange(ref _isInTable, true);
        PublishScore();
        if (IsExited)
        {
            LeaveTable();
        }
    }

    private void LeaveTable()
    {
        if (Interlocked.Exchange(ref _isInTable, false))
        {
            Root.Scores.Release(_place);
        }
    }
}
