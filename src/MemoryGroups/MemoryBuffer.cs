// A buffer in native memory: charged while it lives, and taken from its owner when he is killed and does not go.
//
// Access goes through this object, and that is what makes taking it safe: after the reaper has come, or the member has
// exited, every call throws. A span that was got before stays readable (the address space is kept) and then shows
// zeros; Read and Write notice that, a bare span cannot. Whoever must not see it happen pins the buffer, which keeps
// the reaper away from the whole space, for as long as it tries.
//
// Must stay true: the memory goes back once, when the owner and all pins have let go; neither Dispose nor the finalizer
// throws; a buffer that nobody disposed is given back by the finalizer and reported.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace MemoryGroups;

/// <summary>A charged buffer in native memory; see <see cref="MemoryMember.Allocate"/>.</summary>
/// <remarks>
/// Thread safety: disposing, pinning and getting spans may be done from any thread; what is in the buffer is the
/// caller's to guard. Disposing twice is harmless (and counted with <see cref="MemoryRootOptions.CheckBuffers"/>).
/// </remarks>
[SuppressMessage(
    "Reliability",
    "CA2015:Do not define finalizers for types derived from MemoryManager",
    Justification = "The address space outlives the buffer (SlabStore, RetiredPages): a leaked one stays readable.")]
public sealed class MemoryBuffer : MemoryManager<byte>
{
    private readonly BufferArena _arena;
    private readonly string? _rentedAt;

    // The owner, while it has not disposed, and each pin or copy.
    private int _uses = 1;
    private bool _disposed;

    // Nothing in here may throw: what was made is finalized.
    internal MemoryBuffer(BufferArena arena, BufferBlock block, long length, string? rentedAt)
    {
        _arena = arena;
        Block = block;
        Length = length;
        _rentedAt = rentedAt;
    }

    /// <summary>Gives back what was not disposed, and reports it.</summary>
    ~MemoryBuffer()
    {
        if (!_disposed)
        {
            _disposed = true;
            _arena.Member.Root.BufferFaults.NoteLeak(Origin, ChargedBytes);
            EndUse();
        }
    }

    /// <summary>Who is charged.</summary>
    public MemoryMember Member => _arena.Member;

    /// <summary>Its size as it was asked for, in bytes.</summary>
    public long Length { get; }

    /// <summary>What it is charged: what was really given, in bytes, at least <see cref="Length"/>.</summary>
    public long ChargedBytes => Block.Bytes;

    /// <summary>
    /// All of it as memory. Its span is looked up, and the state of the buffer checked, each time it is used.
    /// </summary>
    /// <exception cref="InvalidOperationException">
    /// It is longer than <see cref="int.MaxValue"/> bytes: use <see cref="AsSpan"/>.
    /// </exception>
    /// <exception cref="ObjectDisposedException">It was disposed, or its member has exited.</exception>
    /// <exception cref="OomKilledException">Its member was killed and the memory was taken.</exception>
    public override Memory<byte> Memory => CreateMemory(CheckedInt(Length));

    internal BufferBlock Block { get; }

    internal string Origin =>
        $"{Length} bytes of '{Member.Path}'"
        + (_rentedAt is null ? " (MemoryRootOptions.CheckBuffers tells who rented it)" : $", rented\n{_rentedAt}");

    /// <summary>All of it.</summary>
    /// <returns>The span; see <see cref="AsSpan"/> for what may happen to it.</returns>
    /// <exception cref="InvalidOperationException">It is longer than <see cref="int.MaxValue"/> bytes.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed, or its member has exited.</exception>
    /// <exception cref="OomKilledException">Its member was killed and the memory was taken.</exception>
    public override Span<byte> GetSpan() => AsSpan(0, CheckedInt(Length));

    /// <summary>A part of it. Do not keep it: a span outlives a kill, and shows zeros after it.</summary>
    /// <param name="offset">Where it starts, 0 to <see cref="Length"/>.</param>
    /// <param name="length">How long it is, in bytes.</param>
    /// <returns>The span.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The part is not within the buffer.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed, or its member has exited.</exception>
    /// <exception cref="OomKilledException">Its member was killed and the memory was taken.</exception>
    public Span<byte> AsSpan(long offset, int length)
    {
        CheckPart(offset, length);
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed), this);
        _arena.ThrowIfTaken();
        return Part(offset, length);
    }

    /// <summary>Copies out of it; never shows zeros that were not in it.</summary>
    /// <param name="offset">Where to start, 0 to <see cref="Length"/>.</param>
    /// <param name="destination">Where to; filled completely.</param>
    /// <exception cref="ArgumentOutOfRangeException">The part is not within the buffer.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed, or its member has exited.</exception>
    /// <exception cref="OomKilledException">The member was killed and this was taken, before or meanwhile.</exception>
    public void Read(long offset, Span<byte> destination)
    {
        CheckPart(offset, destination.Length);
        BeginUse();
        try
        {
            Part(offset, destination.Length).CopyTo(destination);

            // Taken is written before the first page goes: zeros that were read are followed by it.
            Interlocked.MemoryBarrier();
            _arena.ThrowIfTaken();
        }
        finally
        {
            EndUse();
        }
    }

    /// <summary>Copies into it.</summary>
    /// <param name="offset">Where to start, 0 to <see cref="Length"/>.</param>
    /// <param name="source">What to copy.</param>
    /// <exception cref="ArgumentOutOfRangeException">The part is not within the buffer.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed, or its member has exited.</exception>
    /// <exception cref="OomKilledException">The member was killed and this was taken, before or meanwhile.</exception>
    public void Write(long offset, ReadOnlySpan<byte> source)
    {
        CheckPart(offset, source.Length);
        BeginUse();
        try
        {
            source.CopyTo(Part(offset, source.Length));
            Interlocked.MemoryBarrier();
            _arena.ThrowIfTaken();
        }
        finally
        {
            EndUse();
        }
    }

    /// <summary>
    /// Its address, for native code. Until the handle is disposed nothing of the member's space is reaped, and
    /// disposing the buffer frees nothing.
    /// </summary>
    /// <param name="elementIndex">Where to point, 0 to <see cref="Length"/>.</param>
    /// <returns>Dispose it to let go.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="elementIndex"/> is out of range.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed, or its member has exited.</exception>
    /// <exception cref="OomKilledException">Its member was killed and the memory was taken.</exception>
    public override unsafe MemoryHandle Pin(int elementIndex = 0)
    {
        CheckPart(elementIndex, 0);
        BeginUse();
        try
        {
            Member.Space.PinQuietly();
        }
        catch (OomKilledException)
        {
            EndUse();
            throw;
        }

        return new MemoryHandle((byte*)Block.Address + elementIndex, default, this);
    }

    /// <summary>Ends one <see cref="Pin"/>; the handle calls it.</summary>
    public override void Unpin()
    {
        Member.Space.Unpin();
        EndUse();
    }

    /// <summary>Gives the memory back. Never throws.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (!Interlocked.Exchange(ref _disposed, true))
        {
            EndUse();
        }
        else if (_rentedAt is not null)
        {
            _arena.Member.Root.BufferFaults.NoteDoubleDispose(Origin);
        }
    }

    private static int CheckedInt(long length) => length <= int.MaxValue
        ? (int)length
        : throw new InvalidOperationException(
            $"The buffer has {length} bytes, more than one span can show; use AsSpan(offset, length).");

    private unsafe Span<byte> Part(long offset, int length) => new((byte*)Block.Address + offset, length);

    private void CheckPart(long offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (offset > Length - length)
        {
            throw new ArgumentOutOfRangeException(
                nameof(offset), offset, $"{length} bytes at {offset} are not within a buffer of {Length} bytes.");
        }
    }

    private void BeginUse()
    {
        int seen = Volatile.Read(ref _uses);
        while (true)
        {
            ObjectDisposedException.ThrowIf(seen == 0 || Volatile.Read(ref _disposed), this);
            int was = Interlocked.CompareExchange(ref _uses, seen + 1, seen);
            if (was == seen)
            {
                break;
            }

            seen = was;
        }

        if (_arena.IsTaken)
        {
            EndUse();
            _arena.ThrowIfTaken();
        }
    }

    private void EndUse()
    {
        if (Interlocked.Decrement(ref _uses) == 0)
        {
            _arena.Return(this);
        }
    }
}
