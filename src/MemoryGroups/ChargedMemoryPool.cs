// A memory pool that charges what it hands out; array-backed, so sockets and pipes take it.
//
// Must stay true: a rented memory is charged until its owner is disposed, once; a refused rent leaves nothing behind.
using System.Buffers;
using System.IO.Pipelines;

namespace MemoryGroups;

/// <summary>A <see cref="MemoryPool{T}"/> whose memory is charged to a member while it is rented.</summary>
/// <remarks>
/// For <see cref="System.IO.Stream"/> adapters, pipes and servers. Its memory is backed by managed arrays of the shared
/// pool; native memory that the reaper can take is <see cref="MemoryMember.Allocate"/>. Thread safety: all members may
/// be used from any thread.
/// </remarks>
public sealed class ChargedMemoryPool : MemoryPool<byte>
{
    private const int DefaultSize = 4096;
    private const long DefaultPause = 64 * 1024;

    private readonly ChargedArrayPool<byte> _arrays;

    /// <summary>Makes a pool.</summary>
    /// <param name="member">Who is charged.</param>
    /// <exception cref="ArgumentNullException"><paramref name="member"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    public ChargedMemoryPool(MemoryMember member) => _arrays = new ChargedArrayPool<byte>(member);

    /// <summary>Who is charged.</summary>
    public MemoryMember Member => _arrays.Member;

    /// <summary>What the memory that is out is charged, in bytes.</summary>
    public long RentedBytes => _arrays.RentedBytes;

    /// <summary>
    /// What lies idle and stays charged for the next renter, in bytes; see
    /// <see cref="ChargedArrayPool{T}.KeptBytes"/>.
    /// </summary>
    public long KeptBytes => _arrays.KeptBytes;

    /// <summary>The largest memory, in bytes: <see cref="Array.MaxLength"/>.</summary>
    public override int MaxBufferSize => Array.MaxLength;

    /// <summary>Hands out memory; may reclaim, never waits, never kills.</summary>
    /// <param name="minBufferSize">How many bytes at least, 0 or more; -1, the default, is 4096.</param>
    /// <returns>
    /// Dispose it to return the memory. Disposing twice is harmless, but not on two threads at the same time: it has
    /// one owner.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="minBufferSize"/> is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; nothing was charged or handed out.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The pool is disposed, or its member has exited.</exception>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(minBufferSize, -1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, MaxBufferSize);
        return new Rented(_arrays, _arrays.Rent(minBufferSize < 0 ? DefaultSize : minBufferSize));
    }

    /// <summary>
    /// Options for a <see cref="Pipe"/> whose segments are this pool's: what was written and not read yet is charged.
    /// A refused segment throws at the writer (<see cref="MemoryLimitExceededException"/>, or
    /// <see cref="OomKilledException"/>); what is in the pipe stays readable.
    /// </summary>
    /// <param name="pauseWriterThreshold">
    /// A flush waits for the reader while so many bytes or more are unread; 0: never, only the limits bound it.
    /// The writer goes on when half of them are left.
    /// </param>
    /// <param name="minimumSegmentSize">The smallest segment, in bytes, 1 to <see cref="MaxBufferSize"/>.</param>
    /// <returns>The options; for any number of pipes.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A size is out of range.</exception>
    public PipeOptions CreatePipeOptions(
        long pauseWriterThreshold = DefaultPause, int minimumSegmentSize = DefaultSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pauseWriterThreshold);
        ArgumentOutOfRangeException.ThrowIfLessThan(minimumSegmentSize, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minimumSegmentSize, MaxBufferSize);
        return new PipeOptions(
            this,
            pauseWriterThreshold: pauseWriterThreshold,
            resumeWriterThreshold: pauseWriterThreshold / 2,
            minimumSegmentSize: minimumSegmentSize,
            useSynchronizationContext: false);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => _arrays.Dispose();

    private sealed class Rented(ChargedArrayPool<byte> arrays, byte[] array) : IMemoryOwner<byte>
    {
        private byte[]? _array = array;

        public Memory<byte> Memory => _array ?? throw new ObjectDisposedException(nameof(IMemoryOwner<>));

        // Not by exchange, which costs as much as all the rest: like that of the shared pool it is for one owner at a
        // time.
        public void Dispose()
        {
            if (_array is { } array)
            {
                _array = null;
                arrays.Return(array);
            }
        }
    }
}
