// A seeded walk over a whole tree: thousands of random operations, every invariant checked after each of them.
//
// The walk keeps books of its own: which member holds which raw charges and which leases, and how far each group may
// exceptionally be above its limit. WalkInvariants compares them with the tree. Operations also run nested, from inside
// the protocol's observation points, which is where another thread would get its turn; the seed decides all of it.
//
// Must stay true: nothing here depends on time, threads or order of hashing, so a failing seed fails again.
namespace MemoryGroups.Tests;

internal sealed partial class RandomWalk : IDisposable
{
    private const int MostGroups = 24;
    private const int MostActors = 40;
    private const int MostAsking = 24;

    private readonly Random _random;
    private readonly WalkScale _scale;
    private readonly World _world;
    private readonly WalkInvariants _invariants;
    private readonly Queue<string> _log = new();
    private readonly SynchronizationContext? _outer = SynchronizationContext.Current;
    private int _names;
    private int _scripts;
    private int _nesting;
    private Exception? _nestedError;

    public RandomWalk(int seed, WalkScale scale)
    {
        // Continuations of plain tasks run inline only where no context wants them elsewhere.
        SynchronizationContext.SetSynchronizationContext(null);
        _random = new Random(seed);
        _scale = scale;
        Seed = seed;
        bool bounded = _random.Next(2) == 0;
        _world = new World(
            bounded ? scale.Largest * 3 : long.MaxValue,
            options => options with
            {
                MinWatermarkBytes = bounded ? scale.Largest / 16 : 0,
                OomReserveBytes = scale.Largest / 8,
                CostlyChargeBytes = scale.Largest,
                RecursiveProtection = _random.Next(2) == 0,
            });
        Groups.Add(_world.Root);
        _invariants = new WalkInvariants(_world, this);
    }

    public int Seed { get; }

    public int Steps { get; private set; }

    public List<MemoryGroup> Groups { get; } = [];

    public List<WalkActor> Actors { get; } = [];

    public List<WalkAsking> Asking { get; } = [];

    public List<WalkReclaimer> Reclaimers { get; } = [];

    public Dictionary<string, int> Endings { get; } = [];

    // Bytes that were granted over a limit on purpose since the last check.
    public long ForcedSinceCheck { get; set; }

    public void Walk(int steps)
    {
        try
        {
            for (int end = Steps + steps; Steps < end; Steps++)
            {
                Operate();
                Harvest();
                CheckWatched();
                if (_nestedError is not null)
                {
                    throw _nestedError;
                }

                _invariants.AfterStep();
            }
        }
        catch (Exception error)
        {
            throw new InvalidOperationException(
                $"seed {Seed}, {_scale.Name} scale, step {Steps}: {error.Message}\nlast operations:\n"
                + string.Join('\n', _log), error);
        }
    }

    // Everybody goes home: whoever still waits is granted, refused or killed within the longest deadline.
    public void Finish()
    {
        try
        {
            _world.Root.OomKiller.Enable();
            Reclaimers.ForEach(static reclaimer => reclaimer.LetGo());
            _world.Advance(TimeSpan.FromMinutes(2));
            Harvest();
            Assert.True(Asking.Count == 0, "I10: every waiter ends");
            foreach (WalkActor actor in Actors)
            {
                actor.Exit();
            }

            _world.Run();
            Forget();
            _world.AssertQuiet();
            _world.Dispose();
        }
        catch (Exception error)
        {
            throw new InvalidOperationException(
                $"seed {Seed}, {_scale.Name} scale, at the end: {error.Message}", error);
        }
    }

    public void Dispose() => SynchronizationContext.SetSynchronizationContext(_outer);

    private void Note(string what)
    {
        _log.Enqueue($"  {Steps}{new string('.', _nesting)} {what}");
        if (_log.Count > 60)
        {
            _log.Dequeue();
        }
    }

    private bool Chance(int inHundred) => _random.Next(100) < inHundred;

    // Small sizes are as likely as large ones, whatever the scale.
    private long Bytes(long atMost) => (long)Math.Pow(atMost, _random.NextDouble());

    private T Pick<T>(List<T> from) => from[_random.Next(from.Count)];

    private void Forget()
    {
        Groups.RemoveAll(static group => group.IsClosed);
        Actors.RemoveAll(static actor => actor.Member.IsExited);
        Reclaimers.RemoveAll(static reclaimer => reclaimer.Group.IsClosed);
    }

    // Takes over what asynchronous charges have come to.
    private void Harvest()
    {
        Asking.RemoveAll(asking =>
        {
            if (!asking.Task.IsCompleted)
            {
                return false;
            }

            string ending = asking.End();
            ForcedSinceCheck += asking.MayExceed && ending == "granted" ? asking.Bytes : 0;
            Endings[ending] = Endings.GetValueOrDefault(ending) + 1;
            return true;
        });
        Forget();
    }
}

internal sealed record WalkScale(string Name, long Largest)
{
    // Limits too small for any stock: every charge is exact to the byte.
    public static WalkScale Exact { get; } = new("exact", 20_000);

    // Limits at which stocks open, fill and are drained.
    public static WalkScale Stocked { get; } = new("stocked", 64L << 20);
}
