// Native chunks of one member, one behind the other: what charged writers and streams grow by.
//
// Chunks double from 4 KiB to 2 MiB and stay at that: growing never copies, there is no largest size worth mentioning,
// and where a position lies is arithmetic, without a search. The larger chunks are huge pages.
// Must stay true: chunks are added and removed at the end only; a new chunk is zero; what is here is charged, what was
// removed is not.
using System.Buffers;
using System.Numerics;

namespace MemoryGroups;

internal sealed class ChunkList(MemoryMember member) : IDisposable
{
    private const long FirstBytes = 4096;
    private const int Doublings = 9;
    private const long LargestBytes = FirstBytes << Doublings;

    // Where the chunks of the largest size begin.
    private const long DoubledBytes = LargestBytes - FirstBytes;

    private readonly List<MemoryBuffer> _chunks = [];

    internal long Capacity { get; private set; }

    // The chunk that a position is in, and where in it.
    internal static (int Chunk, long Offset) Locate(long position)
    {
        if (position >= DoubledBytes)
        {
            long beyond = position - DoubledBytes;
            return (Doublings + (int)(beyond / LargestBytes), beyond % LargestBytes);
        }

        int chunk = BitOperations.Log2((ulong)((position / FirstBytes) + 1));
        return (chunk, position - (FirstBytes * ((1L << chunk) - 1)));
    }

    internal Span<byte> SpanAt(long position)
    {
        (int chunk, long offset) = Locate(position);
        MemoryBuffer buffer = _chunks[chunk];
        return buffer.AsSpan(offset, (int)(buffer.Length - offset));
    }

    internal Memory<byte> MemoryAt(long position)
    {
        (int chunk, long offset) = Locate(position);
        return _chunks[chunk].Memory[(int)offset..];
    }

    // What was added when a later chunk is refused stays: the next attempt begins there.
    internal void Grow(long capacity)
    {
        while (Capacity < capacity)
        {
            Add(member.Allocate(NextBytes));
        }
    }

    internal async ValueTask GrowAsync(long capacity, CancellationToken cancel)
    {
        while (Capacity < capacity)
        {
            Add(await member.AllocateAsync(NextBytes, cancellationToken: cancel).ConfigureAwait(false));
        }
    }

    internal void Trim(long capacity)
    {
        while (_chunks.Count > 0 && Capacity - _chunks[^1].Length >= capacity)
        {
            Capacity -= _chunks[^1].Length;
            _chunks[^1].Dispose();
            _chunks.RemoveAt(_chunks.Count - 1);
        }
    }

    // Without a copy; valid as long as the chunks are.
    internal ReadOnlySequence<byte> Sequence(long length)
    {
        if (length == 0)
        {
            return ReadOnlySequence<byte>.Empty;
        }

        Segment? first = null;
        Segment? last = null;
        for (int i = 0; length > 0; i++)
        {
            int part = (int)Math.Min(length, _chunks[i].Length);
            last = new Segment(_chunks[i].Memory[..part], last);
            first ??= last;
            length -= part;
        }

        return new ReadOnlySequence<byte>(first!, 0, last!, last!.Memory.Length);
    }

    public void Dispose() => Trim(0);

    private long NextBytes => FirstBytes << Math.Min(_chunks.Count, Doublings);

    private void Add(MemoryBuffer chunk)
    {
        _chunks.Add(chunk);
        Capacity += chunk.Length;
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        internal Segment(ReadOnlyMemory<byte> memory, Segment? before)
        {
            Memory = memory;
            if (before is not null)
            {
                RunningIndex = before.RunningIndex + before.Memory.Length;
                before.Next = this;
            }
        }
    }
}
