// What is run together: a set of cases measured in paired rounds, or a trial that runs once.
//
// A scene is built when its turn comes and disposed after it, so that the trees of one do not lie in the caches and in
// the heap of the next.
namespace MemoryGroups.Benchmarks;

/// <param name="Full">The long set; otherwise everything together takes less than five minutes.</param>
/// <param name="Smoke">One short round of each: that it runs, not how fast it is.</param>
/// <param name="Times">Tell the time of each case.</param>
/// <param name="Seed">Of the order in which cases are visited, and of everything random in a scene.</param>
internal sealed record Effort(bool Full, bool Smoke, bool Times, int Seed)
{
    internal int Rounds => Smoke ? 1 : Full ? 31 : 11;

    internal TimeSpan Window => TimeSpan.FromMilliseconds(Smoke ? 2 : Full ? 40 : 25);
}

internal abstract class Scene(string area, string name)
{
    /// <summary>Short; groups the rows of the table.</summary>
    internal string Area { get; } = area;

    internal string Name { get; } = name;

    internal abstract IEnumerable<Row> Run(Effort effort, Window window, Action<string> log);
}

/// <summary>Cases and the goals that are read from their rounds.</summary>
internal sealed class PairedSet : IDisposable
{
    internal required IReadOnlyList<Case> Cases { get; init; }

    internal required IReadOnlyList<Goal> Goals { get; init; }

    /// <summary>After the last round: what must hold of the books (a text says what does not).</summary>
    internal Func<string?>? Check { get; init; }

    internal IReadOnlyList<IDisposable> Owned { get; init; } = [];

    public void Dispose()
    {
        foreach (IDisposable owned in Owned.Reverse())
        {
            owned.Dispose();
        }
    }
}

internal sealed class PairedScene(string area, string name, Func<Effort, PairedSet> build) : Scene(area, name)
{
    internal override IEnumerable<Row> Run(Effort effort, Window window, Action<string> log)
    {
        using PairedSet set = build(effort);
        IReadOnlyList<Round> rounds = new PairedRun(set.Cases, window, log).Run(effort);
        var rows = set.Goals.SelectMany(goal => goal.Judge(Area, rounds)).ToList();
        if (set.Check?.Invoke() is { } wrong)
        {
            rows.Add(Row.Exact(Area, wrong, 1));
        }

        return rows;
    }
}

/// <summary>Something that is not a matter of rounds: exactness, bytes, a count.</summary>
internal sealed class Trial(string area, string name, Func<Effort, IEnumerable<Row>> measure) : Scene(area, name)
{
    internal override IEnumerable<Row> Run(Effort effort, Window window, Action<string> log) => measure(effort);
}
