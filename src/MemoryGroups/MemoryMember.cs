// Who charges and can be killed: a query, a request, a job.
//
// A kill cancels Killed and ends whatever the member waits for; the member's own code then unwinds and disposes it,
// which is its exit. A member exits once; what it has not returned by then goes back at that moment, and later
// uncharges are harmless. How it charges is in MemoryMember.Charging.
//
// Must stay true: Killed never goes back, and work that starts after the kill sees it; a member that is dead or gone
// never goes to sleep again (OomWaitQueue.AttachToMember looks under the guard, the kill and the exit are written under
// it).
namespace MemoryGroups;

/// <summary>Something that charges memory to a group and can be killed. Dispose it when the work is over.</summary>
/// <remarks>
/// The counterpart of a process in a cgroup. Thread safety: all members may be used from any thread.
/// </remarks>
public sealed partial class MemoryMember : IDisposable, IRosterItem
{
    /// <summary>The score adjustment of a member that is never killed.</summary>
    public const int NeverKill = -1000;

    /// <summary>The largest charge, in bytes: 2^60.</summary>
    public const long MaxChargeBytes = 1L << 60;

    internal const string JoinedVictim = "it joined a space that was killed";

    private TokenOnDemand _killToken;
    private TokenOnDemand _exitToken;
    private string? _killReason;
    private TaskCompletionSource? _thawed;
    private bool _killed;
    private bool _exiting;
    private bool _exited;
    private int _dumping;

    internal MemoryMember(MemoryGroup group, string name, MemoryMemberOptions options)
    {
        _group = group;
        Name = name;
        _adjustment = options.OomScoreAdjustment ?? group.InheritedAdjustment;
        Space = options.Space ?? new MemorySpace();
        _books = new MemberBooks(this, group);
    }

    /// <summary>Its name in its group.</summary>
    public string Name { get; }

    /// <summary>The group's path and the name.</summary>
    public string Path => Group.Path + "/" + Name;

    /// <summary>The group that is charged; see <see cref="MoveTo"/>.</summary>
    public MemoryGroup Group => Volatile.Read(ref _group);

    /// <summary>What is killed and reaped as one; shared when the options said so.</summary>
    public MemorySpace Space { get; }

    /// <summary>Bytes charged by this member and not returned, without stock, in whichever group.</summary>
    public long Usage => HasLeftBooks ? UsageEverywhere() : _books.Usage;

    /// <summary>Cancelled when this member is killed. Registrations run on the thread pool, under no lock.</summary>
    public CancellationToken Killed => _killToken.Get(ref _killed);

    /// <summary>
    /// Cancelled when this member exits: for caches and adapters that keep something on its behalf. Registrations run
    /// on the thread pool, under no lock, after its bytes have gone back.
    /// </summary>
    public CancellationToken Exited => _exitToken.Get(ref _exited);

    /// <summary>True once it was killed, by the OOM killer or by <see cref="Kill"/>. Never goes back.</summary>
    public bool IsKilled => Volatile.Read(ref _killed);

    /// <summary>Why it was killed; null while it was not.</summary>
    public string? KillReason => Volatile.Read(ref _killReason);

    /// <summary>The report of the OOM that killed it; null when there was none.</summary>
    public OomReport? KillReport => IsKilled ? Space.Report : null;

    /// <summary>True after <see cref="Dispose"/>.</summary>
    public bool IsExited => Volatile.Read(ref _exited);

    /// <summary>True while it is paused by <see cref="Freeze"/>.</summary>
    public bool IsFrozen => Volatile.Read(ref _thawed) is not null;

    /// <summary>True while its memory is being dumped; see <see cref="BeginDump"/>.</summary>
    public bool IsDumping => Volatile.Read(ref _dumping) > 0;

    int IRosterItem.RosterPlace { get; set; }

    internal MemoryRoot Root => Group.Root;

    internal MemberBooks Books => _books;

    // Killed or on its way out by itself: its memory will be free soon.
    internal bool IsDying => IsKilled || Volatile.Read(ref _exiting);

    // A member that is never killed may share the space of a victim: it lives on and gets nothing from the reserve.
    // A dump neither: it would take all of it and free nothing (S001-4).
    internal bool MayUseReserve => IsDying && !IsDumping && Space.MayUseReserve;

    // A victim, and who is let finish like one, repays the reserve with every byte it returns: exact.
    internal bool MayHoldStock => !IsKilled && !IsExited && !HasLeftBooks && !IsShut && !Space.MayUseReserve;

    // The others wait for its memory, or it has gone: it is not paused. Who is let finish is a victim without a kill.
    private bool MustRun => IsKilled || IsExited || (IsDying && Space.IsVictim);

    // Guarded by the root's guard.
    internal WaiterList? Waiters { get; set; }

    internal WakeReason DeathLocked => _exited ? WakeReason.Closed : _killed ? WakeReason.Killed : WakeReason.None;

    /// <summary>
    /// Kills this member: <see cref="Killed"/> is cancelled. Not an OOM kill: no reserve, no OOM event, and members
    /// that share its space live on. A member with <see cref="NeverKill"/> is left alone.
    /// </summary>
    /// <param name="reason">Why, for its exceptions. Not empty. A second kill changes nothing.</param>
    /// <exception cref="ArgumentException"><paramref name="reason"/> is null or white space.</exception>
    public void Kill(string reason)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(reason);
        if (OomScoreAdjustment > NeverKill)
        {
            ReceiveKill(reason);
            Thaw();
        }
    }

    /// <summary>
    /// Says that this member is finishing and will return its memory soon: nobody is killed on its account.
    /// </summary>
    public void BeginExit()
    {
        Volatile.Write(ref _exiting, true);
        LookAgainAtReserve();
    }

    /// <summary>
    /// Says that its memory is being dumped: it is not charged from reserves and starts no global OOM.
    /// </summary>
    /// <returns>Dispose it when the dump is over.</returns>
    public IDisposable BeginDump()
    {
        Interlocked.Increment(ref _dumping);
        return new Registration(() =>
        {
            Interlocked.Decrement(ref _dumping);
            LookAgainAtReserve();
        });
    }

    /// <summary>
    /// Takes the memory that this dying member's space has registered, now, instead of after the reaper's delay. What
    /// is taken must not be read any more (<see cref="MemorySpace.IsUnstable"/>), and the killer counts on the space
    /// no more.
    /// </summary>
    /// <param name="within">
    /// How long to go on trying while the space is pinned, every tenth of a second: 0 (one try) to 49 days.
    /// </param>
    /// <param name="cancellationToken">Stops trying; what is being freed goes on being freed.</param>
    /// <returns>What came of it. Each memory is asked once, whoever reaps.</returns>
    /// <remarks>Follows <c>process_mrelease</c> in mm/oom_kill.c.</remarks>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="within"/> is out of range.</exception>
    /// <exception cref="InvalidOperationException">
    /// It is not dying: neither killed nor finishing (<see cref="BeginExit"/>), or somebody who shares its memory is
    /// not.
    /// </exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask<ReapResult> ReapAsync(TimeSpan within = default, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(within, TimeSpan.Zero);
        MemoryGroupOptions.CheckedTimeout(within, nameof(within));
        return RequestedReap.RunAsync(this, within, cancellationToken);
    }

    /// <summary>Pauses the member: <see cref="WaitWhileFrozenAsync"/> waits until it is thawed or killed.</summary>
    public void Freeze()
    {
        if (!MustRun)
        {
            Interlocked.CompareExchange(
                ref _thawed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), null);
            if (MustRun)
            {
                // Killed between the look and the pause: a victim must run to give its memory back.
                Thaw();
            }

            Recount();
        }
    }

    /// <summary>Ends the pause.</summary>
    public void Thaw()
    {
        if (Interlocked.Exchange(ref _thawed, null) is { } thawed)
        {
            Recount();
            thawed.TrySetResult();
        }
    }

    /// <summary>To be awaited by the member's work where it can be paused.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Ends at once when it is not frozen, else when it is thawed or killed.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask WaitWhileFrozenAsync(CancellationToken cancellationToken = default) =>
        Volatile.Read(ref _thawed) is { } thawed
            ? new ValueTask(thawed.Task.WaitAsync(cancellationToken))
            : ValueTask.CompletedTask;

    /// <summary>
    /// The member exits: what it has not returned goes back, and what it waits for ends. Never throws.
    /// </summary>
    public void Dispose()
    {
        MeteredThread.Settle(this);
        using (Root.EnterGuard())
        {
            if (_exited)
            {
                return;
            }

            Volatile.Write(ref _exited, true);
            Group.MemberRoster.RemoveLocked(this);
            RecountLocked();
            CloseMeterLocked();
        }

        Thaw();
        Root.WaitQueue.EndAllOf(this, WakeReason.Closed);

        // The pages before the bytes: who is granted these bytes finds them.
        Volatile.Read(ref _arena)?.Close();

        // Bytes first: who is woken by the exit finds them. The space is gone only after them, because the killer
        // waits for exactly that.
        Root.NoteLeftAtExit(CloseBooks());
        LeaveTable();
        if (Space.RemoveMember(this))
        {
            Root.OomKiller.SpaceGone(Space, Group);
        }
        else if (Space.IsVictim)
        {
            // Sharers elsewhere are still on their way out, but nothing more comes back here.
            Root.WaitQueue.WakeAll(Group);
        }

        _exitToken.Cancel(Root);
    }

    // After it is in the roster: a shared space that is a victim already takes its new member with it (S003-4).
    internal void Join()
    {
        Space.AddMember(this);
        EnterTable();
        if (IsExited && Space.RemoveMember(this))
        {
            // Its group was closed in between: the exit did not find it in the space.
            Root.OomKiller.SpaceGone(Space, Group);
        }
        else if (Space.IsVictim || Space.IsUnstable)
        {
            // Reaped on request it is hidden as well, and nobody may live in it unseen by the killer.
            ReceiveKill(JoinedVictim);
        }
    }

    // No user code here: the cancellation runs on a work item of its own.
    internal void ReceiveKill(string reason)
    {
        using (Root.EnterGuard())
        {
            if (_killed || _exited)
            {
                return;
            }

            Volatile.Write(ref _killReason, reason);
            Volatile.Write(ref _killed, true);
        }

        // Exact from here on: what it returns is seen at once, by waiters and by the reserve.
        Root.Stocks.Remove(Books);
        Root.WaitQueue.EndAllOf(this, WakeReason.Killed);
        _killToken.Cancel(Root);
    }

    // Something changed that kept it from the reserve of its space: what it sleeps for may fit now.
    private void LookAgainAtReserve()
    {
        if (MayUseReserve)
        {
            Root.WaitQueue.WakeOwn(this);
        }
    }
}
