// Buffers that charge by themselves: the member's native memory.
//
// Charged first, mapped second: a refused buffer leaves nothing behind, and neither does one for which the operating
// system has no address space. The three verbs differ as the three of charging do.
using System.Diagnostics;

namespace MemoryGroups;

/// <summary>How a buffer is to be.</summary>
/// <remarks>Thread safety: immutable.</remarks>
public readonly record struct MemoryBufferOptions
{
    /// <summary>The largest alignment, in bytes: 2 MiB.</summary>
    public const int LargestAlignment = 2 << 20;

    /// <summary>
    /// What its address is a multiple of, in bytes: a power of two up to <see cref="LargestAlignment"/>; 0, the
    /// default, is 16.
    /// </summary>
    public int Alignment { get; init; }

    /// <summary>True when its content need not be zero: cheaper for small buffers. Default false.</summary>
    public bool Uninitialized { get; init; }

    internal int CheckedAlignment
    {
        get
        {
            int alignment = Alignment == 0 ? 16 : Alignment;
            return alignment <= LargestAlignment && int.IsPow2(alignment)
                ? alignment
                : throw new ArgumentOutOfRangeException(
                    nameof(Alignment), Alignment, $"The alignment must be a power of two up to {LargestAlignment}.");
        }
    }
}

public sealed partial class MemoryMember
{
    /// <summary>The largest buffer, in bytes: 2^40.</summary>
    public const long MaxBufferBytes = 1L << 40;

    private BufferArena? _arena;

    /// <summary>Makes a buffer if it fits now.</summary>
    /// <param name="bytes">Its size, 1 to <see cref="MaxBufferBytes"/>; what is really given is charged.</param>
    /// <param name="options">Alignment, and whether it must be zero.</param>
    /// <returns>The buffer; null when it does not fit.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The size or the alignment is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    /// <exception cref="OomKilledException">The member was killed and its memory was taken.</exception>
    /// <exception cref="InsufficientMemoryException">The operating system has none left.</exception>
    public MemoryBuffer? TryAllocate(long bytes, MemoryBufferOptions options = default)
    {
        BufferArena arena = ArenaFor(bytes, options, out BufferPlan plan);
        return GrewNow(arena, plan.Given) ? Rent(arena, bytes, plan, options) : null;
    }

    /// <summary>Makes a buffer; may reclaim, never waits, never kills.</summary>
    /// <param name="bytes">Its size, 1 to <see cref="MaxBufferBytes"/>; what is really given is charged.</param>
    /// <param name="options">Alignment, and whether it must be zero.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <returns>
    /// The buffer: its content is zero unless the options say otherwise. Dispose it to give the memory back.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException">The size or the alignment is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; nothing was charged or allocated.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="InsufficientMemoryException">The operating system has none left.</exception>
    public MemoryBuffer Allocate(
        long bytes, MemoryBufferOptions options = default, ChargeFlags flags = ChargeFlags.None)
    {
        BufferArena arena = ArenaFor(bytes, options, out BufferPlan plan);
        if (!GrewNow(arena, plan.Given))
        {
            try
            {
                arena.Charge.Grow(plan.Given, flags);
            }
            catch (ObjectDisposedException)
            {
                // The lease ended with what was taken meanwhile: the user is told why that was.
                arena.ThrowIfTaken();
                throw;
            }
        }

        return Rent(arena, bytes, plan, options);
    }

    /// <summary>Makes a buffer; may reclaim, waits and kills as <see cref="ChargeAsync"/> does.</summary>
    /// <param name="bytes">Its size, 1 to <see cref="MaxBufferBytes"/>; what is really given is charged.</param>
    /// <param name="options">Alignment, and whether it must be zero.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <param name="cancellationToken">Gives up; nothing is charged then.</param>
    /// <returns>The buffer; see <see cref="Allocate"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The size or the alignment is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; nothing was charged or allocated.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="InsufficientMemoryException">The operating system has none left.</exception>
    public async ValueTask<MemoryBuffer> AllocateAsync(
        long bytes,
        MemoryBufferOptions options = default,
        ChargeFlags flags = ChargeFlags.None,
        CancellationToken cancellationToken = default)
    {
        BufferArena arena = ArenaFor(bytes, options, out BufferPlan plan);
        try
        {
            await arena.Charge.GrowAsync(plan.Given, flags, cancellationToken).ConfigureAwait(false);
        }
        catch (ObjectDisposedException)
        {
            // As in Allocate.
            arena.ThrowIfTaken();
            throw;
        }

        return Rent(arena, bytes, plan, options);
    }

    private static bool GrewNow(BufferArena arena, long given)
    {
        bool grew = arena.Charge.TryGrow(given);
        if (!grew)
        {
            // A lease that was taken meanwhile refuses as well, but not for want of room.
            arena.ThrowIfTaken();
        }

        return grew;
    }

    private static MemoryBuffer Rent(BufferArena arena, long bytes, BufferPlan plan, MemoryBufferOptions options)
    {
        BufferBlock block = default;
        try
        {
            bool isChecked = arena.Member.Root.ChecksBuffers;
            string? rentedAt = isChecked ? new StackTrace(1, fNeedFileInfo: true).ToString() : null;
            block = arena.Rent(plan, out bool isZero);
            if (!isZero && !options.Uninitialized)
            {
                // Here and not through the buffer, which throws when all is taken meanwhile: a buffer that is made is
                // handed out, or nobody disposes it. Its user is told at the first access.
                block.Memory[..(int)bytes].Clear();
            }

            return new MemoryBuffer(arena, block, bytes, rentedAt);
        }
        catch (OutOfMemoryException)
        {
            // No address space, or no object for the buffer.
            if (block.Address != 0)
            {
                arena.Free(block);
            }

            arena.Charge.Shrink(plan.Given);
            throw;
        }
    }

    private BufferArena ArenaFor(long bytes, MemoryBufferOptions options, out BufferPlan plan)
    {
        if (bytes is < 1 or > MaxBufferBytes)
        {
            throw new ArgumentOutOfRangeException(
                nameof(bytes), bytes, $"A buffer must have between 1 and {MaxBufferBytes} bytes.");
        }

        plan = BufferPlan.For(bytes, options.CheckedAlignment);
        BufferArena arena = Volatile.Read(ref _arena) ?? NewArena();
        arena.ThrowIfTaken();
        return arena;
    }

    private BufferArena NewArena()
    {
        Gone.ThrowIf(IsExited, this);
        var fresh = new BufferArena(this);
        if (Interlocked.CompareExchange(ref _arena, fresh, null) is { } other)
        {
            return other;
        }

        try
        {
            Space.AddReapable(fresh);
        }
        catch (OomKilledException)
        {
            // Whoever comes next is told the same; who came already, and was not given a buffer, has charged one.
            fresh.TryFree();
            fresh.Charge.Dispose();
            throw;
        }

        // An exit before the arena could be seen did not close it; one after it does.
        if (IsExited)
        {
            fresh.Close();
        }

        return fresh;
    }
}
