// What programs did wrong with buffers: leaked them, disposed them twice, wrote to them after that.
//
// Found where nothing may be thrown (a finalizer, Dispose, a sweep), so it is counted, kept as text, and written to the
// trace listeners from a work item: a listener is foreign code.
using System.Diagnostics;

namespace MemoryGroups;

/// <summary>Mistakes in the use of buffers; see <see cref="MemoryRoot.BufferFaults"/>.</summary>
/// <remarks>Thread safety: all members may be used from any thread.</remarks>
public sealed class BufferFaults
{
    private const int MostTexts = 16;

    private readonly MemoryRoot _root;
    private readonly Queue<string> _latest = new();
    private long _leaks;
    private long _leakedBytes;
    private long _doubleDisposes;
    private long _writesAfterDispose;

    internal BufferFaults(MemoryRoot root) => _root = root;

    /// <summary>Buffers that were not disposed; the garbage collector found them, and their bytes went back.</summary>
    public long Leaks => Interlocked.Read(ref _leaks);

    /// <summary>What the leaked buffers were charged, in bytes.</summary>
    public long LeakedBytes => Interlocked.Read(ref _leakedBytes);

    /// <summary>
    /// Buffers that were disposed more than once. Counted only with <see cref="MemoryRootOptions.CheckBuffers"/>;
    /// otherwise disposing again is harmless.
    /// </summary>
    public long DoubleDisposes => Interlocked.Read(ref _doubleDisposes);

    /// <summary>
    /// Buffers that were written to after they were disposed. Found only with <see
    /// cref="MemoryRootOptions.CheckBuffers"/>, when the memory is about to be used again.
    /// </summary>
    public long WritesAfterDispose => Interlocked.Read(ref _writesAfterDispose);

    /// <summary>The latest faults as text, the oldest first, at most 16.</summary>
    public IReadOnlyList<string> Latest
    {
        get
        {
            lock (_latest)
            {
                return [.. _latest];
            }
        }
    }

    internal void NoteLeak(string origin, long bytes)
    {
        Interlocked.Increment(ref _leaks);
        Interlocked.Add(ref _leakedBytes, bytes);
        Keep($"a buffer was leaked, {bytes} bytes went back: {origin}");
    }

    internal void NoteDoubleDispose(string origin)
    {
        Interlocked.Increment(ref _doubleDisposes);
        Keep("a buffer was disposed twice: " + origin);
    }

    internal void NoteWriteAfterDispose(string origin)
    {
        Interlocked.Increment(ref _writesAfterDispose);
        Keep("a buffer was written to after it was disposed: " + origin);
    }

    private void Keep(string text)
    {
        lock (_latest)
        {
            _latest.Enqueue(text);
            if (_latest.Count > MostTexts)
            {
                _latest.Dequeue();
            }
        }

        _root.Post(new Written(text));
    }

    private sealed class Written(string text) : IThreadPoolWorkItem
    {
        void IThreadPoolWorkItem.Execute() => Trace.TraceWarning("MemoryGroups: " + text);
    }
}
