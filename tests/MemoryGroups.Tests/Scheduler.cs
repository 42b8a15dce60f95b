// Owns every hand-over: many actors, one of which runs at a time, and a chooser that decides who is next.
//
// An actor is a piece of work that the protocol hands over (a charge, a work item, a timer). It gives way at each
// observation point and at its end; in between nobody else runs, so a run is determined by the choices alone, and a
// chooser with a seed replays by its seed.
//
// How to use it: see ScheduledCase, which connects a root to it. `using var scheduler = new Scheduler()` once, then for
// each schedule `using var scheduled = new ScheduledCase(scheduler, chooser)`, make groups and members, say what the
// actors do, and Run. `new SeededChooser(new Dice(seed))` takes one order of very many, Choices takes all of them and
// prints a path that Choices.Of runs again; Chooser.InOrder switches only at the end of an actor's work. Where a race
// needs one exact moment, World.Once is shorter.
//
// Fast because threads are rarely needed: an actor that ends runs the next one on its own thread, and one that gives
// way to an actor that has not started runs it on top of its own stack. Only an actor that has to go on while another
// is in the middle of its work needs a second stack: it is handed the baton, and the first one blocks. Threads are kept
// from run to run. An actor below another one on the same stack cannot go on before that one has ended; a chooser that
// wants every order asks for a stack of its own for each actor (OwnStack).
//
// Must stay true: exactly one thread holds the baton; an actor gives way only where it holds no lock; after an error
// nobody chooses any more, and what is in the middle of its work runs to its end, so that every stack is empty again.
namespace MemoryGroups.Tests;

internal sealed partial class Scheduler : IDisposable
{
    private const int MostSteps = 50_000;

    // Only a hang reaches it.
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(60);

    // Work starts as it does on the pool: without what flows through the thread it happens to run on.
    private static readonly ExecutionContext Clean = CaptureClean();

    private readonly List<Actor> _ready = [];
    private readonly List<Actor> _candidates = [];
    private readonly Stack<Actor> _spare = new();
    private readonly Stack<Worker> _idle = new();
    private readonly Worker _first;
    private readonly Actor _clock = new();
    private Chooser _chooser = Chooser.InOrder;
    private Actor? _running;
    private Exception? _error;
    private bool _isChecking;
    private int _spawned;

    [ThreadStatic]
    private static Worker? _mine;

    public Scheduler() => _first = new Worker(this);

    // What is checked whenever an actor gives way or ends.
    public Action? AtEachStep { get; set; }

    // A timer may fire at this moment: one more choice. Null while no clock takes part.
    public Func<bool>? MayTick { get; set; }

    public Action? Tick { get; set; }

    // Nobody can run: true when more work was found.
    public Func<bool>? WhenQuiet { get; set; }

    // Told what happens, one line each; for reading a failure.
    public Action<string>? Log { get; set; }

    public int Running => _running?.Number ?? -1;

    public int Steps { get; private set; }

    public int HandOvers { get; private set; }

    public void Begin(Chooser chooser)
    {
        Assert.True(_ready.Count == 0 && _running is null, "the run before did not end");
        _chooser = chooser;
        _error = null;
        _spawned = 0;
        Steps = 0;
        HandOvers = 0;
    }

    // Work is an Action or a work item of the pool.
    public void Spawn(object work)
    {
        Actor actor = _spare.TryPop(out Actor? spare) ? spare : new Actor();
        actor.Work = work;
        actor.Number = _spawned++;
        actor.Priority = _chooser.PriorityOfNew();
        _ready.Add(actor);
    }

    // Runs until no actor can and nothing more is found. The first error of any actor comes out here.
    public void Run()
    {
        SynchronizationContext? context = SynchronizationContext.Current;
        Worker? outer = _mine;
        SynchronizationContext.SetSynchronizationContext(null);
        _mine = _first;
        try
        {
            do
            {
                Dispatch(_first, null);
            }
            while (_error is null && IsThereMore());
        }
        finally
        {
            _mine = outer;
            _ready.Clear();
            SynchronizationContext.SetSynchronizationContext(context);
        }

        if (_error is { } error)
        {
            throw new InvalidOperationException($"Failed at step {Steps}: {error.Message}", error);
        }
    }

    // What the end of a run has handed over; nothing after a failure, which has been told already.
    public void RunRest()
    {
        if (_error is null)
        {
            Run();
        }

        _ready.Clear();
    }

    // The running actor lets the chooser decide who goes on; it may be itself. Calls from elsewhere do nothing.
    public void GiveWay()
    {
        if (_mine is not { } mine || mine.Scheduler != this || _running is not { } me || _isChecking)
        {
            return;
        }

        Check();
        if (_error is not null)
        {
            Assert.True(++Steps < 2 * MostSteps, "does not end after an error");
            return;
        }

        Actor next = Choose(me, mine);
        if (next == me)
        {
            return;
        }

        me.PausedOn = mine;
        me.Below = mine.Top;
        mine.Top = me;
        _ready.Add(me);
        if (next.PausedOn is { } other)
        {
            Resume(next);
            HandOver(mine, other);
        }
        else if (_chooser.OwnStack())
        {
            Worker free = _idle.TryPop(out Worker? idle) ? idle : new Worker(this).Start();
            free.Assigned = next;
            HandOver(mine, free);
        }
        else
        {
            Execute(next);
            Dispatch(mine, me);
        }
    }

    public void Dispose()
    {
        foreach (Worker worker in _idle)
        {
            worker.Assigned = null;
            worker.Gate.Open();
        }
    }

    // With the baton, and nobody running: runs others until `until`, which is on top of this stack, is chosen; null
    // means until nobody is left.
    private void Dispatch(Worker mine, Actor? until)
    {
        while (true)
        {
            Actor? next = TakeNext(until);
            Worker other;
            if (next is null)
            {
                if (mine == _first)
                {
                    return;
                }

                other = _first;
            }
            else if (next.PausedOn is null)
            {
                Execute(next);
                continue;
            }
            else
            {
                other = next.PausedOn;
                Resume(next);
                if (next == until)
                {
                    return;
                }
            }

            if (until is null && mine != _first)
            {
                _idle.Push(mine);
            }

            HandOver(mine, other);
            if (until is not null || mine == _first || mine.Assigned is not { } assigned)
            {
                return;
            }

            mine.Assigned = null;
            Execute(assigned);
        }
    }

    private void HandOver(Worker mine, Worker other)
    {
        HandOvers++;
        other.Gate.Open();
        if (!mine.Gate.Wait(mine == _first ? Watchdog : Timeout.InfiniteTimeSpan))
        {
            throw new TimeoutException($"An actor blocks at step {Steps}: it waits for something that is not ours.");
        }
    }

    private void Resume(Actor actor)
    {
        actor.PausedOn!.Top = actor.Below;
        actor.PausedOn = null;
        actor.Below = null;
        _running = actor;
    }

    private void Execute(Actor actor)
    {
        _running = actor;
        try
        {
            ExecutionContext? here = ExecutionContext.Capture();
            if (here == Clean)
            {
                actor.Perform();
            }
            else
            {
                ExecutionContext.Run(Clean, static state => ((Actor)state!).Perform(), actor);
            }
        }
        catch (Exception error)
        {
            _error ??= error;
        }

        _running = null;
        actor.Work = null;
        _spare.Push(actor);
        Check();
    }

    // Null when nobody is left. After an error only those in the middle of their work go on.
    private Actor? TakeNext(Actor? until)
    {
        if (_error is not null)
        {
            _ready.RemoveAll(static actor => actor.PausedOn is null);
            Actor? next = until ?? _ready.Find(static actor => actor.PausedOn!.Top == actor);
            if (next is not null)
            {
                _ready.Remove(next);
            }

            return next;
        }

        return _ready.Count == 0 ? null : Choose(null, null);
    }

    private Actor Choose(Actor? running, Worker? mine)
    {
        if (++Steps > MostSteps)
        {
            _error ??= new InvalidOperationException("the protocol runs in circles");
        }

        _candidates.Clear();
        if (running is not null)
        {
            _candidates.Add(running);
        }

        foreach (Actor actor in _ready)
        {
            // What is paused on this very stack is below the one that runs.
            if (actor.PausedOn is not { } on || (on.Top == actor && on != mine))
            {
                _candidates.Add(actor);
            }
        }

        if (MayTick?.Invoke() == true)
        {
            _clock.Priority = _chooser.PriorityOfClock;
            _candidates.Add(_clock);
        }

        Actor chosen = _candidates.Count == 1 ? _candidates[0] : _chooser.Choose(_candidates, running);
        if (chosen == _clock)
        {
            Spawn(Tick!);
            chosen = _ready[^1];
        }

        if (chosen != running)
        {
            _ready.Remove(chosen);
        }

        return chosen;
    }

    private bool IsThereMore()
    {
        try
        {
            return WhenQuiet?.Invoke() == true;
        }
        catch (Exception error)
        {
            _error ??= error;
            return false;
        }
    }

    private void Check()
    {
        if (_error is not null || AtEachStep is not { } check)
        {
            return;
        }

        _isChecking = true;
        try
        {
            check();
        }
        catch (Exception error)
        {
            _error ??= error;
        }
        finally
        {
            _isChecking = false;
        }
    }

    private static ExecutionContext CaptureClean()
    {
        ExecutionContext? clean = null;
        var thread = new Thread(() => clean = ExecutionContext.Capture());
        thread.UnsafeStart();
        thread.Join();
        return clean!;
    }
}
