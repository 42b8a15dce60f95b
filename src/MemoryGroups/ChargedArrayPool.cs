// An array pool that charges what it hands out: the whole array, as long as somebody has it.
//
// Arrays come from the shared pool and go back to it: what lies idle there belongs to the process and to nobody here.
// One lease holds the sum of what is out. An array that was never rented here uncharges at most what is out: it can
// make the books of this pool too low for a while, never those of others, and disposing the pool settles them.
using System.Buffers;
using System.Runtime.CompilerServices;

namespace MemoryGroups;

/// <summary>An <see cref="ArrayPool{T}"/> whose arrays are charged to a member while they are rented.</summary>
/// <remarks>
/// Charged is the real size of the array given, which the shared pool rounds up to a power of two. Thread safety: all
/// members may be used from any thread.
/// </remarks>
/// <typeparam name="T">What the arrays hold.</typeparam>
public sealed class ChargedArrayPool<T> : ArrayPool<T>, IDisposable
{
    // The header and the length of an array.
    private const int Overhead = 24;

    private readonly ArrayPool<T> _arrays;
    private readonly MemoryCharge _charge;

    /// <summary>Makes a pool.</summary>
    /// <param name="member">Who is charged.</param>
    /// <exception cref="ArgumentNullException"><paramref name="member"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    public ChargedArrayPool(MemoryMember member)
        : this(member, Shared)
    {
    }

    // Over a pool that rounds in another way than the shared one does today.
    internal ChargedArrayPool(MemoryMember member, ArrayPool<T> arrays)
    {
        ArgumentNullException.ThrowIfNull(member);
        _arrays = arrays;
        _charge = member.Lease(0);
    }

    /// <summary>Who is charged.</summary>
    public MemoryMember Member => _charge.Member;

    /// <summary>What the arrays that are out are charged, in bytes.</summary>
    public long RentedBytes => _charge.Bytes;

    /// <summary>Hands out an array; may reclaim, never waits, never kills.</summary>
    /// <param name="minimumLength">How many elements at least, 0 or more.</param>
    /// <returns>The array; its content is whatever was in it.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="minimumLength"/> is negative.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; nothing was charged or handed out.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The pool is disposed, or its member has exited.</exception>
    public override T[] Rent(int minimumLength)
    {
        long expected = BytesOf(LengthFor(minimumLength));
        if (!_charge.TryGrow(expected))
        {
            _charge.Grow(expected);
        }

        return Take(minimumLength, expected);
    }

    /// <summary>Hands out an array; waits and kills as <see cref="MemoryMember.ChargeAsync"/> does.</summary>
    /// <param name="minimumLength">How many elements at least, 0 or more.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <param name="cancellationToken">Gives up; nothing is charged then.</param>
    /// <returns>The array; its content is whatever was in it.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="minimumLength"/> is negative.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; nothing was charged or handed out.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The pool is disposed, or its member has exited.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async ValueTask<T[]> RentAsync(
        int minimumLength, ChargeFlags flags = ChargeFlags.None, CancellationToken cancellationToken = default)
    {
        long expected = BytesOf(LengthFor(minimumLength));
        await _charge.GrowAsync(expected, flags, cancellationToken).ConfigureAwait(false);
        return Take(minimumLength, expected);
    }

    /// <summary>Takes an array back. Never throws because of the member.</summary>
    /// <param name="array">The array.</param>
    /// <param name="clearArray">True to clear it, for content that nobody else may see.</param>
    /// <exception cref="ArgumentNullException"><paramref name="array"/> is null.</exception>
    /// <exception cref="ArgumentException">The array cannot be of this pool; nothing was uncharged.</exception>
    public override void Return(T[] array, bool clearArray = false)
    {
        // It checks the array; first, so that what it refuses uncharges nothing.
        _arrays.Return(array, clearArray);
        _charge.Shrink(BytesOf(array.Length));
    }

    /// <summary>Ends the charge of everything that is out; returning an array later is harmless.</summary>
    public void Dispose() => _charge.Dispose();

    private T[] Take(int minimumLength, long expected)
    {
        T[] array;
        try
        {
            array = _arrays.Rent(minimumLength);
        }
        catch (OutOfMemoryException)
        {
            _charge.Shrink(expected);
            throw;
        }

        long given = BytesOf(array.Length);
        if (given != expected)
        {
            Settle(array, given - expected);
        }

        return array;
    }

    // The pool gave another length than was foreseen.
    private void Settle(T[] array, long more)
    {
        if (more < 0)
        {
            _charge.Shrink(-more);
            return;
        }

        try
        {
            _charge.Grow(more);
        }
        catch (Exception)
        {
            // Not by Return: the rest of it was not charged.
            _arrays.Return(array);
            _charge.Shrink(BytesOf(array.Length) - more);
            throw;
        }
    }

    // How the shared pool rounds: powers of two from 16 up to 2^30, beyond which it gives the very length.
    private static int LengthFor(int minimumLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(minimumLength);
        return minimumLength is 0 or > 1 << 30
            ? minimumLength
            : Math.Max(16, (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)minimumLength));
    }

    private static long BytesOf(int length) => length == 0 ? 0 : ((long)length * Unsafe.SizeOf<T>()) + Overhead;
}
