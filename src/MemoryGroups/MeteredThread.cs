// What one thread allocates, and for whom: the thread's own counter of allocated bytes, cut into stretches.
//
// A stretch ends when the thread takes up another flow (MeteredScope); what the counter has risen by is then added to
// the member it was for. Exact, without a clock and without garbage: a switch reads the counter, adds, and stores.
//
// No thread can read another one's counter, so a stretch that does not end is not seen. StretchWatch looks at all
// threads from time to time; one that is still in the same stretch is given what allocation events say about it, as an
// estimate beside the exact bytes. When the stretch ends, the exact bytes replace the estimate.
// Must stay true: the fields of the stretch are written by their thread only; its number changes before its bytes are
// added, so that a reader may miss them for a moment and never has them twice.
using System.Diagnostics.CodeAnalysis;

namespace MemoryGroups;

internal sealed class MeteredThread
{
    // Timestamps of events and of our own looks come from different clocks.
    private static readonly TimeSpan ClockError = TimeSpan.FromMilliseconds(10);

    // Guards the list and, of every thread, what the watch has seen. A leaf: nothing is called under it.
    private static readonly Lock Gate = new();
    private static readonly List<WeakReference<MeteredThread>> Threads = [];

    [ThreadStatic]
    private static MeteredThread? _own;

    private MemoryMember? _member;
    private long _mark;
    private long _stretch;

    private long _systemId;
    private long _seenStretch = -1;
    private DateTime _seenSince;
    private long _estimate;

    private MeteredThread()
    {
    }

    // What the operating system calls it, as far as it is known; events are about such numbers.
    internal static long SystemIdOfThis => _own?._systemId ?? 0;

    // From now on this thread allocates for somebody else, or nobody.
    internal static void Switch(MemoryMember? to)
    {
        MeteredThread own = _own ?? Register();
        MemoryMember? from = own._member;
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        long since = allocated - own._mark;
        Volatile.Write(ref own._stretch, own._stretch + 1);
        Volatile.Write(ref own._member, to);
        own._mark = allocated;
        if (from is not null && since > 0)
        {
            from.Meter.Add(since);
        }
    }

    // What this thread has allocated for the member until now is added, although the stretch goes on.
    internal static void Settle(MemoryMember member)
    {
        if (_own is { } own && own._member == member)
        {
            Switch(member);
        }
    }

    // The estimates of all stretches under way for the member.
    internal static long EstimateOf(MemoryMember member)
    {
        long sum = 0;
        lock (Gate)
        {
            foreach (WeakReference<MeteredThread> one in Threads)
            {
                if (one.TryGetTarget(out MeteredThread? thread) && thread.IsStillFor(out MemoryMember? other)
                    && other == member)
                {
                    sum += thread._estimate;
                }
            }
        }

        return sum;
    }

    // Looks at every thread. Metered: somebody is in a stretch for a member; Long: somebody still is in the one that
    // the look before saw.
    internal static (bool Metered, bool Long) LookAtAll(DateTime now)
    {
        bool metered = false;
        bool isLong = false;
        lock (Gate)
        {
            Threads.RemoveAll(static one => !one.TryGetTarget(out _));
            foreach (WeakReference<MeteredThread> one in Threads)
            {
                if (one.TryGetTarget(out MeteredThread? thread))
                {
                    metered |= Volatile.Read(ref thread._member) is not null;
                    isLong |= thread.Look(now);
                }
            }
        }

        return (metered, isLong);
    }

    // An event says that a thread has allocated so much. Answers for whom, when it is in a stretch that was seen
    // before that time; else the bytes are in a stretch that ended, where they are counted exactly, or will be.
    internal static MemoryMember? Credit(long systemId, DateTime at, long bytes)
    {
        lock (Gate)
        {
            foreach (WeakReference<MeteredThread> one in Threads)
            {
                if (one.TryGetTarget(out MeteredThread? thread) && thread._systemId == systemId)
                {
                    if (at - ClockError > thread._seenSince && thread.IsStillFor(out MemoryMember? member))
                    {
                        thread._estimate += bytes;
                        return member;
                    }

                    return null;
                }
            }
        }

        return null;
    }

    internal static void NoteSystemId(long systemId)
    {
        if (_own is { } own)
        {
            lock (Gate)
            {
                foreach (WeakReference<MeteredThread> one in Threads)
                {
                    if (one.TryGetTarget(out MeteredThread? other) && other._systemId == systemId)
                    {
                        // That thread has ended, whatever it was doing: the system gives its number out again.
                        other._systemId = 0;
                    }
                }

                own._systemId = systemId;
            }
        }
    }

    private static MeteredThread Register()
    {
        var own = new MeteredThread();
        lock (Gate)
        {
            Threads.Add(new WeakReference<MeteredThread>(own));
        }

        _own = own;
        StretchWatch.Identify();
        own._mark = GC.GetAllocatedBytesForCurrentThread();
        return own;
    }

    private bool Look(DateTime now)
    {
        long stretch = Volatile.Read(ref _stretch);
        if (stretch == _seenStretch)
        {
            return Volatile.Read(ref _member) is not null;
        }

        _seenStretch = stretch;
        _seenSince = now;
        _estimate = 0;
        return false;
    }

    // The number is read again after the member: else the member of the next stretch might be taken for this one's.
    private bool IsStillFor([NotNullWhen(true)] out MemoryMember? member)
    {
        long stretch = Volatile.Read(ref _stretch);
        member = Volatile.Read(ref _member);
        return member is not null && stretch == _seenStretch && Volatile.Read(ref _stretch) == stretch;
    }
}
