// A lease: bytes that are charged until it is disposed, wherever and whenever that happens.
//
// A class, because a copied struct would uncharge twice. It remembers the books it was charged to, so its bytes go back
// to the recorded owner, whatever thread disposes it and whatever has become of the member (a member that exited has
// returned them already; then nothing happens). Each byte is returned once: the state is one long. Disposed it is so
// negative that a grower's add stays negative; the grower takes it back and returns what it had charged.
// What it grows by after its member has moved is in MemoryCharge.Later.
//
// Growing and shrinking once is four atomics, two for the lease and two for the member's stock, and cannot be fewer: a
// lease that kept bytes for its next growth would hide them from a drain.
using System.Runtime.CompilerServices;

namespace MemoryGroups;

/// <summary>Charged bytes. Dispose it to return them.</summary>
/// <remarks>
/// Thread safety: all members may be used from any thread; growing and shrinking one lease from several threads at the
/// same time keeps the books exact. Disposing twice is harmless; nothing here throws because the member was killed or
/// has exited, except growing.
/// </remarks>
public sealed partial class MemoryCharge : IDisposable
{
    private const long Disposed = long.MinValue;

    private readonly MemberBooks _books;
    private long _bytes;
    private MemoryCharge[]? _later;

    internal MemoryCharge(MemberBooks books, long bytes)
    {
        _books = books;
        _bytes = bytes;
    }

    /// <summary>Who is charged.</summary>
    public MemoryMember Member => _books.Member;

    /// <summary>How much is charged, in bytes; 0 after it was disposed.</summary>
    public long Bytes => Math.Max(0, Volatile.Read(ref _bytes)) + LaterBytes;

    /// <summary>Charges more if it fits now.</summary>
    /// <param name="bytes">How much more, 0 to <see cref="MemoryMember.MaxChargeBytes"/>.</param>
    /// <returns>True when charged; false when it does not fit, or the lease was disposed.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The member has exited.</exception>
    public bool TryGrow(long bytes)
    {
        MemoryMember.ThrowIfOutOfRange(bytes);
        MemberBooks books = Member.Books;
        return !IsDisposed && MemoryMember.TryChargeTo(books, bytes) && Keep(books, bytes);
    }

    /// <summary>Charges more; may reclaim, never waits, never kills.</summary>
    /// <param name="bytes">How much more, 0 to <see cref="MemoryMember.MaxChargeBytes"/>.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused; nothing was charged.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The lease or its member is gone.</exception>
    public void Grow(long bytes, ChargeFlags flags = ChargeFlags.None)
    {
        MemoryMember.ThrowIfOutOfRange(bytes);
        Gone.ThrowIf(IsDisposed, this);
        MemberBooks books = Member.Books;
        MemoryMember.ChargeTo(books, bytes, flags);
        Gone.ThrowIf(!Keep(books, bytes), this);
    }

    /// <summary>Charges more; may reclaim, waits and kills as <see cref="MemoryMember.ChargeAsync"/> does.</summary>
    /// <param name="bytes">How much more, 0 to <see cref="MemoryMember.MaxChargeBytes"/>.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <param name="cancellationToken">Gives up; nothing is charged then.</param>
    /// <returns>A task that ends when the bytes are charged.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The lease or its member is gone.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async ValueTask GrowAsync(
        long bytes, ChargeFlags flags = ChargeFlags.None, CancellationToken cancellationToken = default)
    {
        MemoryMember.ThrowIfOutOfRange(bytes);
        Gone.ThrowIf(IsDisposed, this);
        MemberBooks books = Member.Books;
        await MemoryMember.ChargeToAsync(books, bytes, flags, cancellationToken).ConfigureAwait(false);
        Gone.ThrowIf(!Keep(books, bytes), this);
    }

    /// <summary>Returns a part; all of it when more is given than there is.</summary>
    /// <param name="bytes">How much to return, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is negative.</exception>
    public void Shrink(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        long part = ShrinkOwn(bytes);
        if (part < bytes)
        {
            ShrinkLater(bytes - part);
        }
    }

    /// <summary>Moves a part to a lease of its own, without charging or returning anything.</summary>
    /// <param name="bytes">How much, 0 to <see cref="Bytes"/>.</param>
    /// <returns>The new lease, of the same member.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is negative or more than there
    /// is.</exception>
    public MemoryCharge Split(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        return TrySplit(bytes) ?? throw new ArgumentOutOfRangeException(
            nameof(bytes), bytes, $"The lease holds {Bytes} bytes; a part of {bytes} cannot be split off.");
    }

    /// <summary>
    /// Hands all bytes to another member of the same group; nothing is charged anew, so it cannot be refused.
    /// </summary>
    /// <param name="to">The member that gets them.</param>
    /// <returns>
    /// Its lease; this one is disposed. Null when the lease was disposed, or either member has exited; the bytes are
    /// returned then.
    /// </returns>
    /// <exception cref="ArgumentNullException"><paramref name="to"/> is null.</exception>
    /// <exception cref="ArgumentException"><paramref name="to"/> is not in the group that was charged.</exception>
    public MemoryCharge? TransferTo(MemoryMember to)
    {
        ArgumentNullException.ThrowIfNull(to);
        MemberBooks books = to.Books;
        if (!IsChargedTo(books.Group))
        {
            throw new ArgumentException(
                $"'{to.Path}' is in another group than '{_books.Group.Path}', which was charged; bytes move only "
                + "within a group. Charge the other member and dispose this lease instead.", nameof(to));
        }

        return TryTransfer(books);
    }

    /// <summary>Returns the bytes. Never throws, never waits.</summary>
    public void Dispose()
    {
        if (TakeAll() is >= 0 and var bytes)
        {
            Return(bytes);
            DisposeLater();
        }
    }

    // Shrinks by bytes that were idle: they do not become stock.
    internal void ShrinkToGroup(long bytes)
    {
        long part = TakeToGroup(bytes);
        foreach (MemoryCharge later in Later)
        {
            part += later.TakeToGroup(bytes - part);
        }
    }

    internal bool IsDisposed => Volatile.Read(ref _bytes) < 0;

    // Adds freshly charged bytes; when the lease was disposed meanwhile they go back.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Keep(MemberBooks books, long bytes)
    {
        if (books != _books)
        {
            return KeepLater(books, bytes);
        }

        return TryAdd(bytes) || GiveUp(bytes);
    }

    private bool GiveUp(long bytes)
    {
        Return(bytes);
        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryAdd(long bytes)
    {
        if (Interlocked.Add(ref _bytes, bytes) >= 0)
        {
            return true;
        }

        Interlocked.Add(ref _bytes, -bytes);
        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private long Take(long bytes)
    {
        long seen = Volatile.Read(ref _bytes);
        while (seen >= 0)
        {
            long part = Math.Min(seen, bytes);
            long was = Interlocked.CompareExchange(ref _bytes, unchecked(seen - part), seen);
            if (was == seen)
            {
                return part;
            }

            seen = was;
        }

        return 0;
    }

    // Disposes; -1 when it was disposed already. Never a blind exchange: it would lose what a grower is taking back.
    private long TakeAll()
    {
        long seen = Volatile.Read(ref _bytes);
        while (seen >= 0)
        {
            long was = Interlocked.CompareExchange(ref _bytes, Disposed, seen);
            if (was == seen)
            {
                return seen;
            }

            seen = was;
        }

        return -1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private long ShrinkOwn(long bytes)
    {
        long part = Take(bytes);
        Return(part);
        return part;
    }

    private long TakeToGroup(long bytes)
    {
        long part = Take(bytes);
        if (part > 0)
        {
            _books.UnchargeToGroup(part);
        }

        return part;
    }

    private void Return(long bytes)
    {
        if (bytes > 0)
        {
            _books.Uncharge(bytes);
        }
    }
}
