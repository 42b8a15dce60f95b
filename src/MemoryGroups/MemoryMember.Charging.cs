// The verbs of charging: raw pairs, for what is a lease already, and leases.
//
// Each is a compare-and-swap on the member's own stock; everything else happens in ChargeAttempt. The three differ only
// in what they may do when the stock does not serve: nothing, reclaim here, or all of it.
// Must stay true: the fast path allocates nothing and reads no clock; uncharging never fails, waits or throws.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace MemoryGroups;

public sealed partial class MemoryMember
{
    /// <summary>Charges if it fits now. Allocates nothing, waits for nothing, runs no reclaimers.</summary>
    /// <param name="bytes">How much, 0 to <see cref="MaxChargeBytes"/>.</param>
    /// <returns>True when charged.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    public bool TryCharge(long bytes)
    {
        ThrowIfOutOfRange(bytes);
        return TryChargeTo(_books, bytes);
    }

    /// <summary>
    /// Charges; may run reclaimers on this thread, of which those count that answer without awaiting. Never waits for
    /// memory, never kills.
    /// </summary>
    /// <param name="bytes">How much, 0 to <see cref="MaxChargeBytes"/>.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">It does not fit.</exception>
    /// <exception cref="OomKilledException">It does not fit and the member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    public void Charge(long bytes, ChargeFlags flags = ChargeFlags.None)
    {
        ThrowIfOutOfRange(bytes);
        ChargeTo(_books, bytes, flags);
    }

    /// <summary>
    /// Charges; reclaims, waits, and starts the OOM protocol, which may kill this member or another. Hold no lock that
    /// a victim may need to finish.
    /// </summary>
    /// <param name="bytes">How much, 0 to <see cref="MaxChargeBytes"/>.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <param name="cancellationToken">Gives up; nothing is charged then.</param>
    /// <returns>A task that ends when the bytes are charged.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; the reason says why.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask ChargeAsync(
        long bytes, ChargeFlags flags = ChargeFlags.None, CancellationToken cancellationToken = default)
    {
        ThrowIfOutOfRange(bytes);
        return ChargeToAsync(_books, bytes, flags, cancellationToken);
    }

    /// <summary>Returns charged bytes. Never fails, waits or throws; harmless after the member has exited.</summary>
    /// <param name="bytes">How much was charged: exactly what <see cref="TryCharge"/> or another charge was
    /// given.</param>
    public void Uncharge(long bytes)
    {
        if (unchecked((ulong)bytes) <= MaxChargeBytes)
        {
            _books.UnchargeAny(bytes);
        }
        else
        {
            ReportOutOfRange(bytes);
        }
    }

    /// <summary>
    /// Hands bytes that this member has charged to another member of the same group: nothing is charged anew, so it
    /// cannot be refused, and at no moment do the bytes count twice or not at all.
    /// </summary>
    /// <param name="to">The member that gets them and will uncharge them.</param>
    /// <param name="bytes">How much, 0 to <see cref="MaxChargeBytes"/>; charged by this member and not yet
    /// returned.</param>
    /// <returns>
    /// False when either member has exited, or the bytes were charged in a group that this member has left; nothing was
    /// moved then.
    /// </returns>
    /// <exception cref="ArgumentNullException"><paramref name="to"/> is null.</exception>
    /// <exception cref="ArgumentException"><paramref name="to"/> belongs to another group.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    public bool TryMoveTo(MemoryMember to, long bytes)
    {
        ArgumentNullException.ThrowIfNull(to);
        ThrowIfOutOfRange(bytes);
        MemberBooks books = _books;
        MemberBooks others = to._books;
        return others.Group == books.Group
            ? books.TryMoveTo(others, bytes)
            : throw new ArgumentException(
                $"'{to.Path}' is in another group than '{Path}'; bytes move only within a group. "
                + "Charge the other member and uncharge this one instead.", nameof(to));
    }

    /// <summary><see cref="TryCharge"/> as a lease.</summary>
    /// <param name="bytes">How much, 0 to <see cref="MaxChargeBytes"/>.</param>
    /// <returns>The lease; null when it does not fit.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    public MemoryCharge? TryLease(long bytes)
    {
        ThrowIfOutOfRange(bytes);
        MemberBooks books = _books;
        return TryChargeTo(books, bytes) ? new MemoryCharge(books, bytes) : null;
    }

    /// <summary><see cref="Charge"/> as a lease.</summary>
    /// <param name="bytes">How much, 0 to <see cref="MaxChargeBytes"/>.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <returns>The lease.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">It does not fit.</exception>
    /// <exception cref="OomKilledException">It does not fit and the member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    public MemoryCharge Lease(long bytes, ChargeFlags flags = ChargeFlags.None)
    {
        ThrowIfOutOfRange(bytes);
        MemberBooks books = _books;
        ChargeTo(books, bytes, flags);
        return new MemoryCharge(books, bytes);
    }

    /// <summary><see cref="ChargeAsync"/> as a lease.</summary>
    /// <param name="bytes">How much, 0 to <see cref="MaxChargeBytes"/>.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <param name="cancellationToken">Gives up; nothing is charged then.</param>
    /// <returns>The lease.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; the reason says why.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async ValueTask<MemoryCharge> LeaseAsync(
        long bytes, ChargeFlags flags = ChargeFlags.None, CancellationToken cancellationToken = default)
    {
        ThrowIfOutOfRange(bytes);
        MemberBooks books = _books;
        await ChargeToAsync(books, bytes, flags, cancellationToken).ConfigureAwait(false);
        return new MemoryCharge(books, bytes);
    }

    /// <summary>Opens an account: the fastest way to charge for one owner at a time.</summary>
    /// <returns>The account.</returns>
    public MemoryAccount OpenAccount() => new(this);

    // For who has to know afterwards which books were charged: the member may move meanwhile. Inlined, so that the
    // verbs above cost what they would cost if they were written out.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool TryChargeTo(MemberBooks books, long bytes) =>
        books.TryTake(bytes) || TryChargeOtherwise(books, bytes);

    internal static void ChargeTo(MemberBooks books, long bytes, ChargeFlags flags)
    {
        if (!books.TryChargeFast(bytes))
        {
            ChargeAttempt.Run(books, bytes, flags);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ValueTask ChargeToAsync(
        MemberBooks books, long bytes, ChargeFlags flags, CancellationToken cancellationToken) =>
        books.TryChargeFast(bytes)
            ? ValueTask.CompletedTask
            : ChargeAttempt.RunAsync(books, bytes, flags, cancellationToken);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void ThrowIfOutOfRange(long bytes)
    {
        if (unchecked((ulong)bytes) > MaxChargeBytes)
        {
            ThrowOutOfRange(bytes);
        }
    }

    // One call, and the last thing its callers do: they save no registers for it.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool TryChargeOtherwise(MemberBooks books, long bytes) =>
        books.TryChargeElsewhere(bytes) || ChargeAttempt.Try(books, bytes);

    // Messages are made out of line: a method that formats text is not inlined, and clears its frame at each call.
    [DoesNotReturn]
    private static void ThrowOutOfRange(long bytes) => throw new ArgumentOutOfRangeException(
        nameof(bytes), bytes, $"A charge must be between 0 and {MaxChargeBytes} bytes.");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ReportOutOfRange(long bytes) =>
        Root.Books.Report($"member '{Path}' was to uncharge {bytes} bytes, which nobody can have charged");
}
