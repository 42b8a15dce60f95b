// Takes memory away from a killed member that does not go, and lets the killer move on.
//
// A victim is left alone for a while first, so that a quick exit can clean up after itself. Then its space is tried,
// never waited for: up to ten times, a tenth of a second apart. Success or not, at the end the space is hidden and
// everybody who waits because of it is woken, so one stuck victim costs the others about three seconds.
//
// Each space has its own timer and its own work item: user code that hangs while its memory is freed stops neither the
// hiding of its own space nor the reaping of the next (B18, B20). A space is queued once, however it was killed
// (S003-11, B19), and what it registered is freed once, whoever comes first, the reaper or the exit (B21).
// Follows oom_reap_task in mm/oom_kill.c.
namespace MemoryGroups;

internal sealed class OomReaper(MemoryRoot root)
{
    internal const int Tries = 10;

    internal static readonly TimeSpan Between = TimeSpan.FromMilliseconds(100);

    internal void Queue(MemorySpace space)
    {
        using (root.EnterGuard())
        {
            if (space.IsQueuedForReaping || space.IsHidden)
            {
                return;
            }

            space.IsQueuedForReaping = true;
        }

        try
        {
            new Reaping(root, space).Start(root.ReapDelay);
        }
        catch (OutOfMemoryException)
        {
            // No timer: nobody would ever come back to hide it, and all would wait for this victim.
            Hide(root, space, OomOutcome.NotReapable);
        }
    }

    // A space that nobody may reap (a member that is never killed shares it): selection moves on at once.
    internal static void Hide(MemoryRoot root, MemorySpace space, OomOutcome outcome)
    {
        bool hidden;
        using (root.EnterGuard())
        {
            hidden = space.HideLocked();
        }

        if (hidden)
        {
            root.Reports.Conclude(space, outcome);
            foreach (MemoryMember member in space.Members())
            {
                root.WaitQueue.WakeAll(member.Group);
            }
        }
    }

    // With the space in our hands (TryBeginReap), on a work item of its own. False when something could not be freed.
    internal static bool Take(MemoryRoot root, MemorySpace space)
    {
        bool whole = true;
        long freed = 0;
        foreach (ReapableMemory memory in space.TakeReapables())
        {
            try
            {
                bool isFree = memory.TryFree();
                whole &= isFree;
                if (isFree)
                {
                    freed += memory.Charge.Bytes;
                    memory.Charge.Dispose();
                }
            }
            catch (Exception)
            {
                // Not freed: it stays charged until its member exits. The report says how much was reaped.
                whole = false;
            }
        }

        space.NoteReaped(whole);
        Probe.At(root, ProbePoint.Reaped, space);
        root.Reports.NoteReaped(space, freed);
        return whole;
    }

    private sealed class Reaping(MemoryRoot root, MemorySpace space) : IThreadPoolWorkItem
    {
        private ITimer? _timer;
        private int _tries;
        private bool _freeing;
        private bool _done;

        internal void Start(TimeSpan delay)
        {
            _timer = root.TimeProvider.CreateTimer(
                static state => ((Reaping)state!).Tick(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _timer.Change(delay, Timeout.InfiniteTimeSpan);
        }

        // User code frees the memory: on a work item of its own, so that Tick goes on counting.
        void IThreadPoolWorkItem.Execute()
        {
            Take(root, space);
            Finish(OomOutcome.Reaped);
        }

        private void Tick()
        {
            if (space.IsHidden)
            {
                _timer!.Dispose();
                return;
            }

            if (!_freeing)
            {
                Probe.At(root, ProbePoint.BeforeReap, space);
                if (space.TryBeginReap())
                {
                    _freeing = true;
                    root.Post(this);
                }
            }

            if (++_tries < Tries)
            {
                _timer!.Change(Between, Timeout.InfiniteTimeSpan);
            }
            else
            {
                Finish(_freeing ? OomOutcome.ReapStuck : OomOutcome.NotReapable);
            }
        }

        private void Finish(OomOutcome outcome)
        {
            if (!Interlocked.Exchange(ref _done, true))
            {
                _timer!.Dispose();
                Hide(root, space, outcome);
            }
        }
    }
}
