// How hard it is to get memory in a group: levels that are told to listeners, and the time that is lost.
//
// Levels come from reclaim: what reclaimers were asked for is what was scanned, what they gave is what was reclaimed
// (PressureWindow). The level is found once, at the group that reclaim was for, and walks from there to the root; each
// group judges its listeners by whether somebody further down was told already, all of one group alike. Reclaim that
// somebody merely asked for says nothing about pressure and is not counted (M44). A charge whose reclaim is near its
// end tells Critical at once, without waiting for a window: somebody may be killed next.
//
// Time comes from charges in the slow path. A member is stalled while a charge of its is; the counts of live and
// stalled members walk to the root under the guard (CountLocked), and each group's StallClock hears when some, or all,
// of its members have begun or ceased to stall.
//
// Must stay true: signals are counted under the guard, so nothing is raised after Unregister has returned; readers are
// resumed by a work item. Follows mm/vmpressure.c and kernel/sched/psi.c.
namespace MemoryGroups;

/// <summary>How hard reclaim has become.</summary>
/// <remarks>Thread safety: a value, immutable.</remarks>
public enum PressureLevel
{
    /// <summary>Memory is being reclaimed; less than 60 percent of what is asked for does not come.</summary>
    Low,

    /// <summary>60 percent or more does not come.</summary>
    Medium,

    /// <summary>95 percent or more does not come, or a charge is about to give up reclaiming.</summary>
    Critical,
}

/// <summary>Which pressure reaches a listener.</summary>
/// <remarks>Thread safety: a value, immutable.</remarks>
public enum PressureRouting
{
    /// <summary>That of the group, and that from below which no listener further down was told.</summary>
    Default,

    /// <summary>That of the group and all that from below, whoever was told.</summary>
    Hierarchy,

    /// <summary>Only that of the group itself.</summary>
    Local,
}

/// <summary>The memory pressure of a group; see <see cref="MemoryGroup.Pressure"/>.</summary>
/// <remarks>
/// <para>
/// <see cref="Some"/> and <see cref="Full"/> measure time. A member counts as long as it has not exited and is not
/// frozen; a group's members are those of its whole subtree. A member is stalled while at least one of its charges
/// could not be granted at once and reclaims, waits for memory (in an OOM, behind others, for a victim), or is slowed
/// down because of High. Members that charge nothing at the moment count as work that goes on: Full is the least that
/// can be true.
/// </para>
/// <para>
/// Follows <c>memory.pressure_level</c> (cgroup v1) and <c>memory.pressure</c> (cgroup v2).
/// Thread safety: all members may be used from any thread.
/// </para>
/// </remarks>
public sealed class MemoryPressure
{
    private readonly MemoryGroup _group;

    // Guarded by the root's guard, all of them.
    private readonly List<Listener> _listeners = [];
    private readonly StallClock _clock;
    private PressureWindow _window;

    internal MemoryPressure(MemoryGroup group)
    {
        _group = group;
        _clock = new StallClock(group.Root.TimeProvider);
    }

    /// <summary>The time in which at least one member of the subtree was stalled.</summary>
    public PressureStall Some => Read().Some;

    /// <summary>The time in which all members of the subtree were stalled, and there was at least one.</summary>
    public PressureStall Full => Read().Full;

    /// <summary>
    /// Has a signal raised for pressure of a level or above it. The same signal may be registered several times and is
    /// then raised as often. When the group is closed it is raised a last time.
    /// </summary>
    /// <param name="level">The least level to be told.</param>
    /// <param name="signal">The signal to raise.</param>
    /// <param name="routing">Which pressure from below counts.</param>
    /// <returns>Dispose it to end this registration; disposing twice is harmless.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="signal"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="level"/> or <paramref name="routing"/> is none of
    /// the named values.</exception>
    /// <exception cref="ObjectDisposedException">The group is closed.</exception>
    public IDisposable Register(
        PressureLevel level, MemorySignal signal, PressureRouting routing = PressureRouting.Default)
    {
        ArgumentNullException.ThrowIfNull(signal);
        ThrowIfUnnamed(level, nameof(level));
        ThrowIfUnnamed(routing, nameof(routing));
        var listener = new Listener(this, level, signal, routing);
        using (_group.Root.EnterGuard(_group))
        {
            Gone.ThrowIf(_group.IsClosed, _group);
            _listeners.Add(listener);
        }

        return listener;
    }

    /// <summary>Ends every registration of a signal on this group; no error when there is none.</summary>
    /// <param name="signal">The signal; it gets nothing more from this group's pressure.</param>
    /// <exception cref="ArgumentNullException"><paramref name="signal"/> is null.</exception>
    public void Unregister(MemorySignal signal)
    {
        ArgumentNullException.ThrowIfNull(signal);
        using (_group.Root.EnterGuard(_group))
        {
            _listeners.RemoveAll(listener => listener.Signal == signal);
        }
    }

    // One answer of a reclaimer, for a reclaim of this group: what it was asked for, and what it says it gave.
    internal void Account(long scanned, long reclaimed)
    {
        List<TaskCompletionSource>? readers = null;
        using (_group.Root.EnterGuard(_group))
        {
            if (_window.TryFill(scanned, reclaimed, out PressureLevel level))
            {
                TellLocked(level, ref readers);
            }
        }

        ResumedReaders.Post(_group.Root, readers);
    }

    // As if a whole window had been asked for and nothing had come. Judged on its own: what came before must not soften
    // it.
    internal void Despair()
    {
        List<TaskCompletionSource>? readers = null;
        using (_group.Root.EnterGuard(_group))
        {
            TellLocked(PressureWindow.LevelOf(PressureWindow.Bytes, 0), ref readers);
        }

        ResumedReaders.Post(_group.Root, readers);
    }

    // The group is going away (M51): the caller raises what is handed out.
    internal void TakeAllLocked(List<MemorySignal> into)
    {
        into.AddRange(_listeners.Select(static listener => listener.Signal));
        _listeners.Clear();
    }

    // Members of the group begin or cease to be live, or to be stalled.
    internal static void CountLocked(MemoryGroup group, int live, int stalled)
    {
        for (MemoryGroup? at = group; at is not null; at = at.Parent)
        {
            at.LiveMembers += live;
            at.StalledMembers += stalled;
            bool some = at.StalledMembers > 0;
            if (some || at.KnownPressure is not null)
            {
                at.Pressure._clock.SetLocked(some, full: some && at.StalledMembers == at.LiveMembers);
            }
        }
    }

    internal (PressureStall Some, PressureStall Full) Read()
    {
        using (_group.Root.EnterGuard(_group))
        {
            return _clock.ReadLocked();
        }
    }

    private static void ThrowIfUnnamed<T>(T value, string name)
        where T : struct, Enum
    {
        if (!Enum.IsDefined(value))
        {
            throw new ArgumentOutOfRangeException(name, value, $"{value} is none of the values of {typeof(T).Name}.");
        }
    }

    private void TellLocked(PressureLevel level, ref List<TaskCompletionSource>? readers)
    {
        bool told = false;
        for (MemoryGroup? at = _group; at is not null; at = at.Parent)
        {
            bool toldBelow = told;
            foreach (Listener listener in at.KnownPressure?._listeners ?? [])
            {
                if (!listener.Hears(level, fromBelow: at != _group, toldBelow))
                {
                    continue;
                }

                told = true;
                if (listener.Signal.Count() is { } reader)
                {
                    (readers ??= []).Add(reader);
                }
            }
        }
    }

    private void Remove(Listener listener)
    {
        using (_group.Root.EnterGuard(_group))
        {
            _listeners.Remove(listener);
        }
    }

    private sealed class Listener(
        MemoryPressure pressure, PressureLevel level, MemorySignal signal, PressureRouting routing) : IDisposable
    {
        internal MemorySignal Signal { get; } = signal;

        internal bool Hears(PressureLevel told, bool fromBelow, bool toldBelow) => told >= level && routing switch
        {
            PressureRouting.Local => !fromBelow,
            PressureRouting.Default => !toldBelow,
            _ => true,
        };

        public void Dispose() => pressure.Remove(this);
    }
}
