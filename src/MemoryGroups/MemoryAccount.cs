// A member's account for one owner at a time: the same books, no atomics.
//
// It draws a quantum from its member and serves the next charges from it with plain arithmetic. The quantum cannot be
// taken back by others, so it is small, it is given back above two quanta, and under pressure (the member's stock is
// poisoned) the account keeps nothing: the next call returns whatever is spare. It follows its member to another group
// when it draws the next time; what it used until then stays charged where it was, as leases of its own, and a shrink
// returns those first.
// Must stay true: used + spare is what the member is charged for on behalf of this account. One call at a time; in
// debug a second one that overlaps is caught.
using System.Diagnostics;

namespace MemoryGroups;

/// <summary>Charges for one owner at a time, faster than the member itself. Dispose it to return everything.</summary>
/// <remarks>
/// Thread safety: one thread at a time; it may move between threads as an async method does. Overlapping calls are a
/// bug of the caller and are caught in debug builds.
/// </remarks>
public sealed class MemoryAccount : IDisposable
{
    private readonly MemoryMember _member;
    private MemberBooks _books;
    private List<MemoryCharge>? _left;
    private PaddedLong _spare;
    private long _used;
    private int _inside;
    private bool _closed;

    internal MemoryAccount(MemoryMember member)
    {
        _member = member;
        _books = member.Books;
    }

    /// <summary>Who is charged.</summary>
    public MemoryMember Member => _member;

    /// <summary>What this account uses, in bytes.</summary>
    public long Used => _used + (_left?.Sum(static lease => lease.Bytes) ?? 0);

    /// <summary>Charges if it fits now.</summary>
    /// <param name="bytes">How much, 0 to <see cref="MemoryMember.MaxChargeBytes"/>.</param>
    /// <returns>True when charged.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The account or its member is gone.</exception>
    public bool TryGrow(long bytes)
    {
        MemoryMember.ThrowIfOutOfRange(bytes);
        Gone.ThrowIf(_closed, this);
        Enter();
        try
        {
            bool grown = _spare.Value >= bytes || TryRefill(bytes);
            if (grown)
            {
                _spare.Value -= bytes;
                _used += bytes;
            }

            return grown;
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Charges; reclaims, waits and kills as <see cref="MemoryMember.ChargeAsync"/> does.</summary>
    /// <param name="bytes">How much, 0 to <see cref="MemoryMember.MaxChargeBytes"/>.</param>
    /// <param name="flags">What the charge may do.</param>
    /// <param name="cancellationToken">Gives up; nothing is charged then.</param>
    /// <returns>A task that ends when the bytes are charged.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is out of range.</exception>
    /// <exception cref="MemoryLimitExceededException">Refused.</exception>
    /// <exception cref="OomKilledException">The member was killed.</exception>
    /// <exception cref="ObjectDisposedException">The account or its member is gone.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask GrowAsync(
        long bytes, ChargeFlags flags = ChargeFlags.None, CancellationToken cancellationToken = default) =>
        TryGrow(bytes) ? ValueTask.CompletedTask : GrowSlowAsync(bytes, flags, cancellationToken);

    /// <summary>Returns a part of what is used.</summary>
    /// <param name="bytes">How much, 0 to <see cref="Used"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="bytes"/> is negative or more than is used; nothing is returned then.
    /// </exception>
    public void Shrink(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (bytes > _used)
        {
            ThrowIfMoreThanUsed(bytes);
        }

        Enter();
        if (_left is not null)
        {
            bytes -= ShrinkLeft(bytes);
        }

        _used -= bytes;
        _spare.Value += bytes;
        long quantum = _books.AccountQuantum;
        if (_spare.Value > 2 * quantum)
        {
            // Whole quanta: two of them fill the member's cell, and the next draw is served from there.
            long back = quantum == 0 ? _spare.Value : (_spare.Value - quantum) / quantum * quantum;
            _spare.Value -= back;
            _books.Uncharge(back);
        }

        Exit();
    }

    /// <summary>Returns everything. Never throws, never waits; disposing twice is harmless.</summary>
    public void Dispose()
    {
        if (!_closed)
        {
            _closed = true;
            long all = _used + _spare.Value;
            _used = 0;
            _spare.Value = 0;
            if (all > 0)
            {
                _books.Uncharge(all);
            }

            _left?.ForEach(static lease => lease.Dispose());
            _left = null;
        }
    }

    private void ThrowIfMoreThanUsed(long bytes)
    {
        if (bytes > Used)
        {
            throw new ArgumentOutOfRangeException(
                nameof(bytes), bytes, $"This account of '{_member.Path}' uses {Used} bytes; no more can be returned.");
        }
    }

    private bool TryRefill(long bytes)
    {
        FollowMember();
        long missing = bytes - _spare.Value;
        long quantum = _books.AccountQuantum;

        // What lies in the member's cell comes first, if it is worth the way: that is one interlocked operation.
        long found = quantum > 0 ? _books.TakeSome(missing + (quantum / 4), missing + quantum) : 0;
        if (found > 0)
        {
            _spare.Value += found;
            return true;
        }

        if (quantum > 0 && missing + quantum <= MemoryMember.MaxChargeBytes
            && MemoryMember.TryChargeTo(_books, missing + quantum))
        {
            _spare.Value += missing + quantum;
            return true;
        }

        if (MemoryMember.TryChargeTo(_books, missing))
        {
            _spare.Value += missing;
            return true;
        }

        return false;
    }

    private void FollowMember()
    {
        if (_member.Books == _books)
        {
            return;
        }

        if (_used > 0)
        {
            (_left ??= []).Add(new MemoryCharge(_books, _used));
        }

        long spare = _spare.Value;
        _used = 0;
        _spare.Value = 0;
        _books.Uncharge(spare);
        _books = _member.Books;
    }

    // What was charged before a move, the oldest first. Answers how much of it was there.
    private long ShrinkLeft(long bytes)
    {
        long done = 0;
        foreach (MemoryCharge lease in _left!)
        {
            long part = Math.Min(bytes - done, lease.Bytes);
            lease.Shrink(part);
            done += part;
        }

        _left.RemoveAll(static lease => lease.Bytes == 0);
        _left = _left.Count == 0 ? null : _left;
        return done;
    }

    private async ValueTask GrowSlowAsync(long bytes, ChargeFlags flags, CancellationToken cancellationToken)
    {
        // TryGrow has followed the member to its group.
        await MemoryMember.ChargeToAsync(_books, bytes, flags, cancellationToken).ConfigureAwait(false);
        Enter();
        _used += bytes;
        Exit();
    }

    [Conditional("DEBUG")]
    private void Enter() => Debug.Assert(
        Interlocked.Exchange(ref _inside, 1) == 0, "an account is used by two callers at the same time");

    [Conditional("DEBUG")]
    private void Exit() => Volatile.Write(ref _inside, 0);
}
