// The runtime's allocation events: about every 100 KiB one that says which thread has just allocated.
//
// A sample, not an account: the thread that crosses the line is named for all that was allocated since the last event,
// and who allocates more crosses it more often. Delivered on a thread of the runtime.
//
// Events name threads by the operating system's numbers, which .NET does not tell a thread about itself. An event of
// our own does: it is delivered on the thread that writes it, with its number.
// Must stay true: nothing is kept of an event, and nothing here throws: the runtime would swallow it.
using System.Diagnostics.Tracing;

namespace MemoryGroups;

internal sealed class AllocationTicks : EventListener
{
    private const string RuntimeSource = "Microsoft-Windows-DotNETRuntime";
    private const EventKeywords GarbageCollection = (EventKeywords)1;
    private const int AllocationTick = 10;
    private const int AmountAt = 3;

    private readonly Introduction _introduction = new();
    private EventSource? _runtime;

    internal AllocationTicks() => EnableEvents(_introduction, EventLevel.LogAlways);

    internal void Identify() => _introduction.ThisThread();

    internal void Switch(bool on)
    {
        if (_runtime is { } runtime && on)
        {
            EnableEvents(runtime, EventLevel.Verbose, GarbageCollection);
        }
        else if (_runtime is not null)
        {
            DisableEvents(_runtime);
        }
    }

    // Called by the base class's constructor, too, before ours has run.
    protected override void OnEventSourceCreated(EventSource eventSource)
    {
        if (eventSource.Name == RuntimeSource)
        {
            _runtime = eventSource;
        }
    }

    protected override void OnEventWritten(EventWrittenEventArgs eventData)
    {
        if (eventData.EventSource == _introduction)
        {
            MeteredThread.NoteSystemId(eventData.OSThreadId);
        }
        else if (eventData is { EventId: AllocationTick, Payload: { Count: > AmountAt } payload }
            && payload[AmountAt] is ulong bytes && bytes <= long.MaxValue)
        {
            MeteredThread.Credit(eventData.OSThreadId, eventData.TimeStamp, (long)bytes)?.Meter.LookAtEstimate();
        }
    }

    [EventSource(Name = "MemoryGroups-Introduction")]
    private sealed class Introduction : EventSource
    {
        [Event(1)]
        internal void ThisThread() => WriteEvent(1);
    }
}
