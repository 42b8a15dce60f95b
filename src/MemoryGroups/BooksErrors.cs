// Errors in the books: bytes returned that were never charged, a counter below zero.
//
// Such an error is a bug, ours or the caller's. It stops a debug build at once; in release it is counted, and the first
// one is written to the trace listeners. Nothing is clamped in silence: the count is public
// (MemoryRoot.BooksErrorCount).
using System.Diagnostics;

namespace MemoryGroups;

internal sealed class BooksErrors(MemoryRoot root) : IThreadPoolWorkItem
{
    private long _count;
    private string? _first;

    internal long Count => Interlocked.Read(ref _count);

    internal string? First => Volatile.Read(ref _first);

    // Tests that provoke an error on purpose switch the assertion off; the count stays.
    internal bool AssertInDebug { get; set; } = true;

    internal void Report(string what)
    {
        if (Interlocked.Increment(ref _count) == 1)
        {
            // Written from a work item: the error may be found under a lock, and a trace listener is foreign code.
            Volatile.Write(ref _first, what);
            root.Post(this);
        }

        Debug.Assert(!AssertInDebug, "error in the books: " + what);
    }

    void IThreadPoolWorkItem.Execute() => Trace.TraceError("MemoryGroups: error in the books: " + First);
}
