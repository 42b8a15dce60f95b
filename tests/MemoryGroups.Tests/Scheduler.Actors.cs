// What a scheduler runs, and the stacks on which it does.
//
// An actor has not started, runs, or is paused on a stack, where only the topmost can go on. A stack belongs to one
// thread; the first one is the test's own.
namespace MemoryGroups.Tests;

internal sealed partial class Scheduler
{
    internal sealed class Actor
    {
        public object? Work { get; set; }

        // In order of creation, from 0 in each run.
        public int Number { get; set; }

        public int Priority { get; set; }

        // Null before it has started; on top of its stack it can go on.
        public Worker? PausedOn { get; set; }

        public Actor? Below { get; set; }

        public void Perform()
        {
            if (Work is Action body)
            {
                body();
            }
            else
            {
                ((IThreadPoolWorkItem)Work!).Execute();
            }
        }
    }

    // A stack on which actors are.
    internal sealed class Worker(Scheduler scheduler)
    {
        public Scheduler Scheduler => scheduler;

        public Baton Gate { get; } = new();

        public Actor? Top { get; set; }

        public Actor? Assigned { get; set; }

        public Worker Start()
        {
            new Thread(Loop, 1024 * 1024) { IsBackground = true, Name = "actor" }.UnsafeStart();
            return this;
        }

        private void Loop()
        {
            _mine = this;
            Gate.Wait(Timeout.InfiniteTimeSpan);
            while (Assigned is { } assigned)
            {
                Assigned = null;
                scheduler.Execute(assigned);
                scheduler.Dispatch(this, null);
            }
        }
    }
}
