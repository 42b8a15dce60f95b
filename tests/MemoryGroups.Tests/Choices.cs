// All runs of a small case, one after the other: a depth-first walk over the choices.
//
// A run takes a prefix of choices that is given and the first possibility from there on (whoever runs goes on, else the
// oldest), and notes how many there were at each point. The next run differs at the last point that has a possibility
// left. Ends when there is none. Every actor gets a stack of its own, so no order is out of reach.
namespace MemoryGroups.Tests;

internal sealed class Choices : Chooser
{
    private readonly List<(int Chosen, int Of)> _path = [];
    private int _at;

    public long Runs { get; private set; }

    // Beyond this many points at which there was a choice, the first possibility is always taken.
    public int MaxDepth { get; init; } = int.MaxValue;

    // How often a run had more choices than are walked through.
    public long Deeper { get; private set; }

    // One run that was printed before.
    public static Choices Of(string path)
    {
        var choices = new Choices { MaxDepth = 0 };
        foreach (string chosen in path.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            choices._path.Add((int.Parse(chosen), int.MaxValue));
        }

        return choices;
    }

    public override Scheduler.Actor Choose(List<Scheduler.Actor> candidates, Scheduler.Actor? running)
    {
        if (_at == _path.Count && _at < MaxDepth)
        {
            _path.Add((0, candidates.Count));
        }

        int chosen = _at < _path.Count ? _path[_at].Chosen : 0;
        if (_at++ == MaxDepth)
        {
            Deeper++;
        }

        return candidates[Math.Min(chosen, candidates.Count - 1)];
    }

    public bool MoveNext()
    {
        if (Runs++ == 0)
        {
            return true;
        }

        _at = 0;
        while (_path.Count > 0)
        {
            (int chosen, int of) = _path[^1];
            _path.RemoveAt(_path.Count - 1);
            if (chosen + 1 < of)
            {
                _path.Add((chosen + 1, of));
                return true;
            }
        }

        return false;
    }

    public override string ToString() => string.Join(' ', _path.Select(step => step.Chosen));
}
