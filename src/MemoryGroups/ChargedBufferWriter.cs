// A buffer writer whose memory is charged, grows by chunks, and is never copied.
//
// A serializer asks for a span and says how much of it it used. When what is asked for does not fit into the rest of
// the last chunk it gets a scratch buffer, whose content is copied into the chunks when it is advanced over: positions
// stay arithmetic, and only what crosses a boundary is copied.
using System.Buffers;

namespace MemoryGroups;

/// <summary>An <see cref="IBufferWriter{T}"/> whose memory is charged to a member.</summary>
/// <remarks>
/// Its memory is native, and is taken when the member is killed and does not go: access then throws <see
/// cref="OomKilledException"/>. Thread safety: none; one caller at a time, as with every buffer writer.
/// </remarks>
/// <param name="member">Who is charged.</param>
public sealed class ChargedBufferWriter(MemoryMember member) : IBufferWriter<byte>, IDisposable
{
    private const int SmallestSpan = 256;

    private readonly ChunkList _chunks = new(member ?? throw new ArgumentNullException(nameof(member)));
    private MemoryBuffer? _scratch;
    private int _offered;
    private bool _disposed;

    /// <summary>Who is charged.</summary>
    public MemoryMember Member => member;

    /// <summary>How much was written, in bytes.</summary>
    public long WrittenCount { get; private set; }

    /// <summary>What was written, without a copy. Valid until the next write, clear or dispose.</summary>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    /// <exception cref="OomKilledException">The member was killed and the memory was taken.</exception>
    public ReadOnlySequence<byte> WrittenSequence
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _chunks.Sequence(WrittenCount);
        }
    }

    /// <summary>Memory to write to; may reclaim, never waits, never kills.</summary>
    /// <param name="sizeHint">How many bytes at least, 0 or more.</param>
    /// <returns>At least that much, never empty. Valid until the next call.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="sizeHint"/> is negative.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; what was written is unharmed.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
        EndScratch();
        if (WrittenCount == _chunks.Capacity)
        {
            _chunks.Grow(WrittenCount + 1);
        }

        Memory<byte> rest = _chunks.MemoryAt(WrittenCount);
        if (rest.Length < sizeHint)
        {
            _scratch = member.Allocate(Math.Max(sizeHint, SmallestSpan));
            rest = _scratch.Memory;
        }

        _offered = rest.Length;
        return rest;
    }

    /// <summary>As <see cref="GetMemory"/>, as a span.</summary>
    /// <param name="sizeHint">How many bytes at least, 0 or more.</param>
    /// <returns>At least that much, never empty. Valid until the next call.</returns>
    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <summary>Says how much of the memory that was last handed out was written.</summary>
    /// <param name="count">How many bytes, 0 to the length of that memory.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    /// <exception cref="InvalidOperationException">It is more than was handed out.</exception>
    /// <exception cref="MemoryLimitExceededException">
    /// Refused: what crosses into a new chunk did not fit. Nothing of this call was written.
    /// </exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (count > _offered)
        {
            throw new InvalidOperationException(
                $"{count} bytes were said to be written, but only {_offered} were handed out.");
        }

        if (_scratch is { } scratch)
        {
            _chunks.Grow(WrittenCount + count);
            ReadOnlySpan<byte> written = scratch.AsSpan(0, count);
            for (long at = WrittenCount; written.Length > 0;)
            {
                Span<byte> rest = _chunks.SpanAt(at);
                int part = Math.Min(rest.Length, written.Length);
                written[..part].CopyTo(rest);
                written = written[part..];
                at += part;
            }

            EndScratch();
        }

        _offered -= Math.Min(_offered, count);
        WrittenCount += count;
    }

    /// <summary>Forgets what was written and gives its memory back.</summary>
    public void Clear()
    {
        EndScratch();
        _chunks.Trim(0);
        WrittenCount = 0;
    }

    /// <summary>Gives everything back.</summary>
    public void Dispose()
    {
        Clear();
        _disposed = true;
    }

    private void EndScratch()
    {
        _scratch?.Dispose();
        _scratch = null;
        _offered = 0;
    }
}
