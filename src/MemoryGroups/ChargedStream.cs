// A memory stream that is charged, grows by chunks, and has no copy on growth and no cliff at 2 GB.
//
// Must stay true: bytes between the old end and a later write are zero; a refused write wrote what fitted into the
// chunks it got, never more than its Position says.
using System.Buffers;

namespace MemoryGroups;

/// <summary>A readable, writable, seekable stream in native memory that is charged to a member.</summary>
/// <remarks>
/// Writing may reclaim; <see cref="WriteAsync(ReadOnlyMemory{byte}, CancellationToken)"/> also waits, and lets the OOM
/// protocol run. When the member is killed and does not go its memory is taken, and access throws <see
/// cref="OomKilledException"/>. Thread safety: none; one caller at a time, as with every stream.
/// </remarks>
/// <param name="member">Who is charged.</param>
public sealed class ChargedStream(MemoryMember member) : Stream
{
    private readonly ChunkList _chunks = new(member ?? throw new ArgumentNullException(nameof(member)));
    private long _length;
    private long _position;

    // Nothing was ever written at and beyond it: zero without being touched.
    private long _clean;
    private bool _disposed;

    /// <summary>Who is charged.</summary>
    public MemoryMember Member => member;

    /// <inheritdoc/>
    public override bool CanRead => !_disposed;

    /// <inheritdoc/>
    public override bool CanSeek => !_disposed;

    /// <inheritdoc/>
    public override bool CanWrite => !_disposed;

    /// <summary>What it is long, in bytes.</summary>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    public override long Length
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _length;
        }
    }

    /// <summary>Where the next read or write begins; may lie beyond the end.</summary>
    /// <exception cref="ArgumentOutOfRangeException">
    /// Negative, or beyond <see cref="MemoryMember.MaxBufferBytes"/>.
    /// </exception>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    public override long Position
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _position;
        }

        set
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MemoryMember.MaxBufferBytes);
            _position = value;
        }
    }

    /// <summary>All of it, without a copy. Valid until the stream is changed or disposed.</summary>
    /// <returns>The content.</returns>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    /// <exception cref="OomKilledException">The member was killed and the memory was taken.</exception>
    public ReadOnlySequence<byte> GetSequence()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return _chunks.Sequence(_length);
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count)
    {
        ValidateBufferArguments(buffer, offset, count);
        return Read(buffer.AsSpan(offset, count));
    }

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        int done = 0;
        while (done < buffer.Length && _position < _length)
        {
            Span<byte> rest = _chunks.SpanAt(_position);
            int part = (int)Math.Min(Math.Min(rest.Length, buffer.Length - done), _length - _position);
            rest[..part].CopyTo(buffer[done..]);
            done += part;
            _position += part;
        }

        return done;
    }

    /// <inheritdoc/>
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        cancellationToken.IsCancellationRequested
            ? ValueTask.FromCanceled<int>(cancellationToken)
            : ValueTask.FromResult(Read(buffer.Span));

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        ValidateBufferArguments(buffer, offset, count);
        return ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    }

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count)
    {
        ValidateBufferArguments(buffer, offset, count);
        Write(buffer.AsSpan(offset, count));
    }

    /// <summary>Writes; may reclaim, never waits, never kills.</summary>
    /// <param name="buffer">What to write.</param>
    /// <exception cref="MemoryLimitExceededException">Refused; the stream is as it was before.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (buffer.Length > 0)
        {
            _chunks.Grow(_position + buffer.Length);
            Put(buffer);
        }
    }

    /// <summary>Writes; may reclaim, waits and kills as <see cref="MemoryMember.ChargeAsync"/> does.</summary>
    /// <param name="buffer">What to write.</param>
    /// <param name="cancellationToken">Gives up; nothing is written then.</param>
    /// <returns>A task that ends when it is written.</returns>
    /// <exception cref="MemoryLimitExceededException">Refused; the stream is as it was before.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public override async ValueTask WriteAsync(
        ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        cancellationToken.ThrowIfCancellationRequested();
        if (buffer.Length > 0)
        {
            await _chunks.GrowAsync(_position + buffer.Length, cancellationToken).ConfigureAwait(false);
            Put(buffer.Span);
        }
    }

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        ValidateBufferArguments(buffer, offset, count);
        return WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        long from = origin switch
        {
            SeekOrigin.Begin => 0,
            SeekOrigin.Current => _position,
            SeekOrigin.End => _length,
            _ => throw new ArgumentOutOfRangeException(nameof(origin), origin, "No such origin."),
        };
        if (offset < -from || offset > MemoryMember.MaxBufferBytes - from)
        {
            throw new IOException($"{offset} bytes from {from} is outside of what a stream can be.");
        }

        return _position = from + offset;
    }

    /// <summary>Cuts it, giving memory back, or extends it by zeros; may reclaim, never waits, never kills.</summary>
    /// <param name="value">The new length, 0 to <see cref="MemoryMember.MaxBufferBytes"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="value"/> is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; the length is as it was before.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    public override void SetLength(long value)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(value);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MemoryMember.MaxBufferBytes);
        if (value > _length)
        {
            _chunks.Grow(value);
            Clear(_length, value);
        }
        else
        {
            _chunks.Trim(value);
            _clean = Math.Min(_clean, _chunks.Capacity);
        }

        _length = value;
        _position = Math.Min(_position, value);
    }

    /// <summary>Nothing to do.</summary>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override Task FlushAsync(CancellationToken cancellationToken) =>
        cancellationToken.IsCancellationRequested ? Task.FromCanceled(cancellationToken) : Task.CompletedTask;

    /// <inheritdoc/>
    public override void CopyTo(Stream destination, int bufferSize)
    {
        ValidateCopyToArguments(destination, bufferSize);
        while (_position < Length)
        {
            Span<byte> rest = _chunks.SpanAt(_position);
            int part = (int)Math.Min(rest.Length, _length - _position);
            destination.Write(rest[..part]);
            _position += part;
        }
    }

    /// <inheritdoc/>
    public override async Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancellationToken)
    {
        ValidateCopyToArguments(destination, bufferSize);
        while (_position < Length)
        {
            Memory<byte> rest = _chunks.MemoryAt(_position);
            int part = (int)Math.Min(rest.Length, _length - _position);
            await destination.WriteAsync(rest[..part], cancellationToken).ConfigureAwait(false);
            _position += part;
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            _chunks.Dispose();
        }

        base.Dispose(disposing);
    }

    // The room is there.
    private void Put(ReadOnlySpan<byte> buffer)
    {
        if (_position > _length)
        {
            Clear(_length, _position);
        }

        while (buffer.Length > 0)
        {
            Span<byte> rest = _chunks.SpanAt(_position);
            int part = Math.Min(rest.Length, buffer.Length);
            buffer[..part].CopyTo(rest);
            buffer = buffer[part..];
            _position += part;
        }

        _length = Math.Max(_length, _position);
        _clean = Math.Max(_clean, _position);
    }

    // What was cut off before may lie there: in the chunk of the end only, because a cut drops all chunks after that.
    private void Clear(long from, long to)
    {
        to = Math.Min(to, _clean);
        if (from < to)
        {
            _chunks.SpanAt(from)[..(int)(to - from)].Clear();
        }
    }
}
