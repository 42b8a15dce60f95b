// Owns every hand-over: many actors, one of which runs at a time, and a chooser that decides who is next.
//
// An actor is a body on a thread of its own. It gives way at each observation point, at each hand-over to the pool
// (which becomes a new actor) and at its end; in between nobody else runs, so a run is determined by the choices alone.
// A seeded chooser replays by its seed; an enumerating one (see Choices) walks through all runs of a small case.
//
// Must stay true: exactly one actor holds the baton; an actor gives way only where it holds no lock, which is what the
// observation points promise.
namespace MemoryGroups.Tests;

internal sealed class Scheduler(Func<int, int> choose) : IDisposable
{
    private readonly List<Actor> _runnable = [];
    private readonly Stack<Actor> _idle = new();
    private readonly SemaphoreSlim _finished = new(0);
    private Actor? _running;
    private Exception? _error;
    private int _steps;

    [ThreadStatic]
    private static Actor? _mine;

    // What is checked whenever an actor gives way.
    public Action? AtEachStep { get; set; }

    public int Steps => _steps;

    public void Spawn(Action body)
    {
        Actor actor = _idle.TryPop(out Actor? idle) ? idle : new Actor(this);
        actor.Body = body;
        _runnable.Add(actor);
    }

    // Runs until no actor can. Called by the test; the first error of any actor comes out here.
    public void Run()
    {
        while (_runnable.Count > 0 && _error is null)
        {
            _running = Next();
            _running.Go.Release();
            if (!_finished.Wait(TimeSpan.FromSeconds(30)))
            {
                throw new TimeoutException(
                    $"An actor blocks at step {_steps}: it waits for something that is not ours.");
            }
        }

        if (_error is { } error)
        {
            throw new InvalidOperationException($"Failed at step {_steps}: {error.Message}", error);
        }
    }

    // The running actor lets the chooser decide who goes on; it may be itself.
    public void GiveWay()
    {
        if (_mine is not { } me || me != _running || _error is not null)
        {
            return;
        }

        AtEachStep?.Invoke();
        _runnable.Add(me);
        Actor next = Next();
        if (next != me)
        {
            _running = next;
            next.Go.Release();
            me.Go.Wait();
        }
    }

    // Ends the threads. An actor that is stuck in the middle of its body keeps its thread; the run has failed by then.
    public void Dispose()
    {
        foreach (Actor actor in _idle)
        {
            actor.Body = null;
            actor.Go.Release();
        }

        _finished.Dispose();
    }

    private Actor Next()
    {
        Assert.True(++_steps < 100_000, "the protocol runs in circles");
        int at = _runnable.Count == 1 ? 0 : choose(_runnable.Count);
        Actor next = _runnable[at];
        _runnable.RemoveAt(at);
        return next;
    }

    private void Ended(Actor actor, Exception? error)
    {
        _error ??= error;
        _idle.Push(actor);
        if (_runnable.Count > 0 && _error is null)
        {
            _running = Next();
            _running.Go.Release();
        }
        else
        {
            _running = null;
            _finished.Release();
        }
    }

    private sealed class Actor
    {
        private readonly Scheduler _scheduler;

        public Actor(Scheduler scheduler)
        {
            _scheduler = scheduler;
            new Thread(Loop, 256 * 1024) { IsBackground = true, Name = "actor" }.Start();
        }

        public SemaphoreSlim Go { get; } = new(0);

        public Action? Body { get; set; }

        private void Loop()
        {
            _mine = this;
            while (true)
            {
                Go.Wait();
                if (Body is not { } body)
                {
                    return;
                }

                Exception? error = null;
                try
                {
                    body();
                }
                catch (Exception caught)
                {
                    error = caught;
                }

                _scheduler.Ended(this, error);
            }
        }
    }
}
