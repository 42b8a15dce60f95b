// A group's OOM switches and who is told: kill disabled, kill as a whole, handler, policy, registrations.
//
// Registering and notifying exclude one another by the root's guard: a signal that is registered around the start of an
// OOM is raised at least once, because the notifier counts under the guard while the group is marked, and a
// registration looks for the mark under the same guard; and a signal is never raised after Unregister has returned
// (S004-8). Counting cannot block and runs nobody's code; whoever awaits the signal is resumed after the guard.
//
// Notification goes down: an OOM of G is told to everything registered on G and below it, never above (S004-3). The
// root accepts registrations and never tells them (S004-10): its OOM is the global path.
namespace MemoryGroups;

/// <summary>The OOM switches of a group and its notifications; see <see cref="MemoryGroup.Oom"/>.</summary>
/// <remarks>
/// Follows <c>memory.oom_control</c> (cgroup v1) and <c>memory.oom.group</c> (cgroup v2).
/// Thread safety: all members may be used from any thread.
/// </remarks>
public sealed class OomControl
{
    private readonly MemoryGroup _group;
    private List<OomRegistration>? _registrations;
    private bool _killDisabled;
    private bool _killWholeGroup;
    private OomHandler? _handler;
    private OomPolicy? _policy;

    internal OomControl(MemoryGroup group, bool killDisabled, bool killWholeGroup)
    {
        _group = group;
        _killDisabled = killDisabled;
        _killWholeGroup = killWholeGroup;
    }

    /// <summary>
    /// When true, an OOM of this group kills nobody: requests wait until memory is freed, the limit is raised, or this
    /// is set to false. A new group takes the value of its parent at that moment. Default false.
    /// </summary>
    /// <exception cref="InvalidOperationException">Set on the root; use
    /// <see cref="OomKiller.DisableAsync(TimeSpan, CancellationToken)"/>.</exception>
    public bool KillDisabled
    {
        get => Volatile.Read(ref _killDisabled);
        set
        {
            ThrowIfRoot(nameof(KillDisabled), "use MemoryRoot.OomKiller.DisableAsync");
            Volatile.Write(ref _killDisabled, value);
            if (!value)
            {
                _group.Root.WaitQueue.WakeAll(_group);
            }
        }
    }

    /// <summary>
    /// When true, a kill in this group by an OOM of this group or of one above kills every member of its subtree,
    /// except those that are never killed. Default false.
    /// </summary>
    public bool KillWholeGroup
    {
        get => Volatile.Read(ref _killWholeGroup);
        set => Volatile.Write(ref _killWholeGroup, value);
    }

    /// <summary>True while a request is in the OOM path of this group or of one above it.</summary>
    public bool UnderOom
    {
        get
        {
            for (MemoryGroup? at = _group; at is not null; at = at.Parent)
            {
                if (Volatile.Read(ref at.OomMarks) > 0)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Members of this group and below that the OOM killer has killed.</summary>
    public long KillCount => _group.Events.Current.OomKill;

    /// <summary>
    /// Asked before anybody is killed by an OOM of this group, or of a group below that has no handler of its own.
    /// Default null: nobody is asked.
    /// </summary>
    public OomHandler? Handler
    {
        get => Volatile.Read(ref _handler);
        set => Volatile.Write(ref _handler, value);
    }

    /// <summary>
    /// Ranks the candidates of an OOM of this group, and of groups below that have no policy of their own.
    /// Default null: by usage and <see cref="MemoryMember.OomScoreAdjustment"/>.
    /// </summary>
    public OomPolicy? Policy
    {
        get => Volatile.Read(ref _policy);
        set => Volatile.Write(ref _policy, value);
    }

    /// <summary>
    /// Has a signal raised once for every OOM of this group or of a group above it, and at once when the group is under
    /// OOM now. The same signal may be registered several times and is then raised as often.
    /// </summary>
    /// <param name="signal">The signal to raise.</param>
    /// <returns>Dispose it to end this registration; disposing twice is harmless.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="signal"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The group is closed.</exception>
    public IDisposable Register(MemorySignal signal)
    {
        ArgumentNullException.ThrowIfNull(signal);
        var registration = new OomRegistration(this, signal);
        var room = new List<OomRegistration>();
        bool now;
        using (_group.Root.EnterGuard())
        {
            Gone.ThrowIf(_group.IsClosed, _group);
            (_registrations ??= room).Add(registration);
            AddRegistrationsLocked(1);
            now = UnderOom && _group.Parent is not null;
        }

        if (now)
        {
            signal.Raise();
        }

        return registration;
    }

    /// <summary>Ends every registration of a signal on this group; no error when there is none.</summary>
    /// <param name="signal">The signal; it gets nothing more from this group.</param>
    /// <exception cref="ArgumentNullException"><paramref name="signal"/> is null.</exception>
    public void Unregister(MemorySignal signal)
    {
        ArgumentNullException.ThrowIfNull(signal);
        using (_group.Root.EnterGuard())
        {
            int removed = _registrations?.RemoveAll(registration => registration.Signal == signal) ?? 0;
            AddRegistrationsLocked(-removed);
        }
    }

    /// <summary>
    /// Yields an item for each notification this group gets; the first at once when it is under OOM now.
    /// </summary>
    /// <param name="cancellationToken">Ends the stream.</param>
    /// <returns>The number of notifications since the item before, 1 or more. Ends when the group is closed.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async IAsyncEnumerable<long> WatchAsync(
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var signal = new MemorySignal();
        using IDisposable registration = Register(signal);
        while (true)
        {
            long raised = await signal.WaitAsync(cancellationToken).ConfigureAwait(false);

            // The last raise of a closing group only wakes its readers.
            if (_group.IsClosed)
            {
                yield break;
            }

            yield return raised;
        }
    }

    // By the winner of the OOM lock, once, while the group is marked. Who registers after the mark finds it, so a look
    // at the count needs no guard.
    internal static void NotifySubtree(MemoryGroup top, OomRequest request)
    {
        if (Volatile.Read(ref top.RegistrationsInSubtree) == 0)
        {
            return;
        }

        List<TaskCompletionSource>? readers = null;
        using (request.Root.EnterGuard())
        {
            CountLocked(top, ref readers);
        }

        readers?.ForEach(static reader => reader.TrySetResult());
    }

    // The group is going away: each registration is raised a last time so that readers wake (M51).
    internal void TakeAllLocked(List<MemorySignal> into)
    {
        List<OomRegistration> all = _registrations ?? [];
        _registrations = null;
        AddRegistrationsLocked(-all.Count);
        into.AddRange(all.Select(static registration => registration.Signal));
    }

    internal static OomHandler? HandlerFor(MemoryGroup group)
    {
        OomHandler? handler = null;
        for (MemoryGroup? at = group; at is not null && handler is null; at = at.Parent)
        {
            handler = at.Oom.Handler;
        }

        return handler;
    }

    internal static OomPolicy? PolicyFor(MemoryGroup group)
    {
        OomPolicy? policy = null;
        for (MemoryGroup? at = group; at is not null && policy is null; at = at.Parent)
        {
            policy = at.Oom.Policy;
        }

        return policy;
    }

    private void Remove(OomRegistration registration)
    {
        using (_group.Root.EnterGuard())
        {
            if (_registrations?.Remove(registration) == true)
            {
                AddRegistrationsLocked(-1);
            }
        }
    }

    private static void CountLocked(MemoryGroup top, ref List<TaskCompletionSource>? readers)
    {
        var stack = new Stack<MemoryGroup>();
        stack.Push(top);
        while (stack.TryPop(out MemoryGroup? group))
        {
            foreach (OomRegistration registration in group.Oom._registrations ?? [])
            {
                if (registration.Signal.Count() is { } reader)
                {
                    (readers ??= []).Add(reader);
                }
            }

            foreach (MemoryGroup? child in group.ChildRoster.Read())
            {
                if (child is { RegistrationsInSubtree: > 0 })
                {
                    stack.Push(child);
                }
            }
        }
    }

    private void AddRegistrationsLocked(int by)
    {
        for (MemoryGroup? at = _group; at is not null; at = at.Parent)
        {
            at.RegistrationsInSubtree += by;
        }
    }

    private void ThrowIfRoot(string what, string instead)
    {
        if (_group.Parent is null)
        {
            throw new InvalidOperationException(
                $"{what} cannot be set on the root '{_group.Name}': the root has no limit of its own; {instead}.");
        }
    }

    internal sealed class OomRegistration(OomControl control, MemorySignal signal) : IDisposable
    {
        internal MemorySignal Signal { get; } = signal;

        public void Dispose() => control.Remove(this);
    }
}
