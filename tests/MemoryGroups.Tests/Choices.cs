// All runs of a small case, one after the other: a depth-first walk over the choices.
//
// A run takes a prefix of choices that is given and the first possibility from there on, and notes how many there were
// at each point. The next run differs at the last point that has a possibility left. Ends when there is none, or at a
// bound.
namespace MemoryGroups.Tests;

internal sealed class Choices
{
    private readonly List<(int Chosen, int Of)> _path = [];
    private int _at;

    public long Runs { get; private set; }

    // Beyond this depth the first possibility is always taken.
    public int MaxDepth { get; init; } = int.MaxValue;

    public int Choose(int of)
    {
        if (_at == _path.Count && _at < MaxDepth)
        {
            _path.Add((0, of));
        }

        int chosen = _at < _path.Count ? _path[_at].Chosen : 0;
        _at++;
        return Math.Min(chosen, of - 1);
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
