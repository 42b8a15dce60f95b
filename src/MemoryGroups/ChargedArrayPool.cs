// An array pool that charges what it hands out: the whole array, as long as somebody has it.
//
// A thread that rents and returns the same sizes again and again gets its own array back, which stayed charged
// (KeptArrays): neither the books nor the shared pool are touched. All other arrays come from the shared pool and go
// back to it: what lies idle there belongs to the process and to nobody here.
//
// One lease holds the sum of what is out and what is kept. An array that was never rented here uncharges at most that,
// or is handed out as if it were charged: it can make the books of this pool too low for a while, never those of
// others, and disposing the pool settles them.
using System.Buffers;
using System.Runtime.CompilerServices;

namespace MemoryGroups;

/// <summary>An <see cref="ArrayPool{T}"/> whose arrays are charged to a member while they are rented.</summary>
/// <remarks>
/// Charged is the real size of the array given, which the shared pool rounds up to a power of two. An array of up to
/// 64 KiB that comes back may stay charged for the next renter on the same thread (<see cref="KeptBytes"/>): one of
/// each length and thread, only while there is room, a sixteenth of the smallest limit at most. It goes back, to the
/// garbage collector and to nobody else, before any charge is refused for want of it. Thread safety: all members may be
/// used from any thread.
/// </remarks>
/// <typeparam name="T">What the arrays hold.</typeparam>
public sealed class ChargedArrayPool<T> : ArrayPool<T>, IDisposable
{
    // The header and the length of an array.
    private const int Overhead = 24;

    // So many returns past what is kept, before one more size is kept for a thread: a pool that is used a few times and
    // disposed keeps nothing.
    private const uint ReturnsBeforeKeeping = 4;

    private readonly ArrayPool<T> _arrays;
    private readonly MemoryCharge _charge;
    private KeptArrays? _kept;

    // That of what is kept; 0, which is nobody's, until then.
    private long _id;

    // Racy on purpose: it only moves the moment at which something is kept.
    private uint _returns;

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
    public long RentedBytes => Math.Max(0, _charge.Bytes - KeptBytes);

    /// <summary>
    /// What lies idle and stays charged for the next renter, in bytes: part of the member's usage, given back before
    /// anybody is refused for it.
    /// </summary>
    public long KeptBytes => Volatile.Read(ref _kept)?.Bytes ?? 0;

    internal long Id => Volatile.Read(ref _id);

    /// <summary>Hands out an array; may reclaim, never waits, never kills.</summary>
    /// <param name="minimumLength">How many elements at least, 0 or more.</param>
    /// <returns>The array; its content is whatever was in it.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="minimumLength"/> is negative.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; nothing was charged or handed out.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The pool is disposed, or its member has exited.</exception>
    public override T[] Rent(int minimumLength) => TakeKept(minimumLength) ?? RentElsewhere(minimumLength);

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
    public ValueTask<T[]> RentAsync(
        int minimumLength, ChargeFlags flags = ChargeFlags.None, CancellationToken cancellationToken = default) =>
        TakeKept(minimumLength) is { } array
            ? ValueTask.FromResult(array)
            : RentElsewhereAsync(minimumLength, flags, cancellationToken);

    /// <summary>Takes an array back. Never throws because of the member.</summary>
    /// <param name="array">The array.</param>
    /// <param name="clearArray">True to clear it, for content that nobody else may see.</param>
    /// <exception cref="ArgumentNullException"><paramref name="array"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The array cannot be of this pool, or lies in it already; nothing was uncharged.
    /// </exception>
    public override void Return(T[] array, bool clearArray = false)
    {
        if (array is not null && KeptSlots.Of(_id) is { } slots)
        {
            int sizeClass = KeptSlots.ClassFor(array.Length);
            if (array.Length == KeptSlots.LengthOf(sizeClass))
            {
                if (clearArray)
                {
                    Array.Clear(array);
                    clearArray = false;
                }

                if (TryPut(slots, sizeClass, array))
                {
                    return;
                }
            }
        }

        ReturnElsewhere(array!, clearArray);
    }

    /// <summary>Ends the charge of everything that is out or kept; returning an array later is harmless.</summary>
    public void Dispose()
    {
        // Nothing is kept from now on: what is being made at this moment finds the lease disposed.
        _charge.Dispose();
        Volatile.Read(ref _kept)?.End();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private T[]? TakeKept(int minimumLength)
    {
        if (KeptSlots.Of(_id) is not { } slots)
        {
            return null;
        }

        object? array = slots.TryTake(KeptSlots.ClassFor(minimumLength));
        if (slots.IsShut)
        {
            _kept!.GiveBackOwn(slots);
        }

        return Unsafe.As<T[]?>(array);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private T[] RentElsewhere(int minimumLength)
    {
        long expected = BytesOf(LengthFor(minimumLength));
        if (!_charge.TryGrow(expected))
        {
            _charge.Grow(expected);
        }

        return Take(minimumLength, expected);
    }

    private async ValueTask<T[]> RentElsewhereAsync(
        int minimumLength, ChargeFlags flags, CancellationToken cancellationToken)
    {
        long expected = BytesOf(LengthFor(minimumLength));
        await _charge.GrowAsync(expected, flags, cancellationToken).ConfigureAwait(false);
        return Take(minimumLength, expected);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ReturnElsewhere(T[] array, bool clearArray)
    {
        ArgumentNullException.ThrowIfNull(array);
        if (KeptSlots.Of(_id) is { IsShut: true } slots)
        {
            _kept!.GiveBackOwn(slots);
        }

        if (KeptArrays.MayKeep(array.Length, Unsafe.SizeOf<T>()) && TryKeep(array, clearArray))
        {
            return;
        }

        // It checks the array; first, so that what it refuses uncharges nothing.
        _arrays.Return(array, clearArray);
        _charge.Shrink(BytesOf(array.Length));
    }

    // False when it has to go where it came from.
    private bool TryKeep(T[] array, bool clearArray)
    {
        int sizeClass = KeptSlots.ClassFor(array.Length);
        if (KeptSlots.Of(_id) is { } slots)
        {
            if (slots.Holds(sizeClass, array))
            {
                throw new ArgumentException("This array was returned already; it lies in the pool.", nameof(array));
            }

            if (slots.IsOpen(sizeClass))
            {
                // There is one of this length already.
                return false;
            }
        }

        if (!Member.Books.IsListed || unchecked(++_returns) % ReturnsBeforeKeeping != 0)
        {
            return false;
        }

        slots = (Volatile.Read(ref _kept) ?? MakeKept()).TryOpen(sizeClass);
        if (slots is null)
        {
            return false;
        }

        if (clearArray)
        {
            Array.Clear(array);
        }

        return TryPut(slots, sizeClass, array);
    }

    // Whoever shut the size in the middle of this may have waited in vain: what was put is ours to give back.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryPut(KeptSlots slots, int sizeClass, T[] array)
    {
        if (!slots.TryPut(sizeClass, array))
        {
            return false;
        }

        if (slots.IsShut)
        {
            _kept!.GiveBackOwn(slots);
        }

        return true;
    }

    private KeptArrays MakeKept()
    {
        var fresh = new KeptArrays(_charge, Unsafe.SizeOf<T>(), Overhead);
        KeptArrays kept = Interlocked.CompareExchange(ref _kept, fresh, null) ?? fresh;
        Volatile.Write(ref _id, kept.Id);
        return kept;
    }

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
