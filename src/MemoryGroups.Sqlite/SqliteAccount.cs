// The books of one owner of SQLite's memory: a query, a session, or whoever runs ungoverned calls.
//
// Each block remembers its account, not its member. When the owner goes and blocks stay behind (a query that has read
// pages into the cache, a session whose file others have open), the account is handed over: its bytes pass to the
// heir's account and member at once, and a block that is freed later finds its way through the heir. No block is
// touched, so a handover costs the same for one block as for a million.
//
//   query's account --(query ends)--> session's account --(session closes)--> the unattributed account
//
// Bytes in use and the state of the handover share one long (charges are multiples of 16, the low bits are free), so
// each free knows from its own subtraction whether it came before or after: before, it returns to this account's
// member; after, to the heir. In between (Moving) it spins for the few instructions that the handover takes.
//
// Credit is what a refused query keeps charged although SQLite has freed it. SQLite answers a refusal by taking the
// whole statement back; if the bytes went back as well, the OOM killer would find a query that holds nothing and kill
// whoever is left. A page fault keeps its memory while it waits; so does a refused query: from the refusal on, what it
// frees turns into credit, which its next try uses up before it charges anything.
//
// Must stay true: charged to the member = in use + credit; only the thread for which an account is current adds to it
// (the unattributed account excepted, which everybody adds to); a handed-over account is never current again. Follows
// obj_cgroup reparenting in mm/memcontrol.c.
namespace MemoryGroups.Sqlite;

internal sealed class SqliteAccount
{
    internal const int Granule = 16;

    private const ChargeFlags Forced = ChargeFlags.NoFail | ChargeFlags.NoWait;
    private const long Moving = 1;
    private const long Moved = 2;
    private const long StateBits = Granule - 1;
    private const long NoCredit = -1;

    private readonly bool _neverRefuses;
    private SqliteAccount? _heir;
    private long _state;
    private long _credit = NoCredit;
    private long _creditMax;
    private long _refused;

    internal SqliteAccount(MemoryMember member, bool neverRefuses = false)
    {
        Member = member;
        _neverRefuses = neverRefuses;
        Index = SqliteAccountTable.Add(this);
    }

    internal MemoryMember Member { get; }

    internal int Index { get; }

    internal long InUse => Volatile.Read(ref _state) & ~StateBits;

    // What the member is charged for on behalf of this account.
    internal long Charged => InUse + Math.Max(0, Volatile.Read(ref _credit));

    internal bool IsHandedOver => (Volatile.Read(ref _state) & Moved) != 0;

    // The largest request that was refused since ForgetRefusal.
    internal long Refused => Volatile.Read(ref _refused);

    internal void ForgetRefusal() => Volatile.Write(ref _refused, 0);

    internal bool TryCharge(long bytes)
    {
        long covered = TakeCredit(bytes);
        if (covered < bytes && !TryPay(bytes - covered))
        {
            Refuse(bytes, covered);
            return false;
        }

        if ((Interlocked.Add(ref _state, bytes) & StateBits) != 0)
        {
            PassOn(bytes);
        }

        return true;
    }

    internal void Uncharge(long bytes)
    {
        SqliteAccount at = this;
        while (true)
        {
            long now = Interlocked.Add(ref at._state, -bytes);
            if ((now & StateBits) == 0)
            {
                at.Return(bytes);
                return;
            }

            SqliteAccount heir = at.WaitForHeir();
            if (now == Moved)
            {
                at.Retire();
            }

            at = heir;
        }
    }

    // The refused bytes have been charged to the member: the next try may use them, and what it frees stays credit up
    // to what it has now.
    internal void AddCredit(long bytes)
    {
        long seen = Volatile.Read(ref _credit);
        while (true)
        {
            long now = Math.Max(0, seen) + bytes;
            long was = Interlocked.CompareExchange(ref _credit, now, seen);
            if (was == seen)
            {
                Volatile.Write(ref _creditMax, now);
                return;
            }

            seen = was;
        }
    }

    internal void DropCredit() =>
        Member.Uncharge(Math.Max(0, Interlocked.Exchange(ref _credit, NoCredit)));

    // The owner is going: what is still in use belongs to the heir from here on.
    internal void HandOverTo(SqliteAccount heir)
    {
        long inUse = Interlocked.Or(ref _state, Moving);
        DropCredit();

        // The heir has the bytes before any free can reach it through us.
        if (inUse > 0)
        {
            heir.Inherit(this, inUse);
        }

        Volatile.Write(ref _heir, heir);
        if (Interlocked.Add(ref _state, Moved - Moving) == Moved)
        {
            Retire();
        }
    }

    private void Inherit(SqliteAccount from, long bytes)
    {
        bool sameGroup = from.Member.Group == Member.Group;
        if (!(sameGroup && from.Member.TryMoveTo(Member, bytes)))
        {
            // Another group, or one of the two has exited (its group was closed). The memory is there, so it is
            // charged, fit or not; a member that has exited is past charging, and past uncharging.
            Force(bytes);
            from.Member.Uncharge(bytes);
        }

        if ((Interlocked.Add(ref _state, bytes) & StateBits) != 0)
        {
            PassOn(bytes);
        }
    }

    // Only the unattributed account gets here: it was replaced between the charge and the addition. The block names
    // this account, so the bytes stay in its state; the heir answers for them.
    private void PassOn(long bytes)
    {
        WaitForHeir().Inherit(this, bytes);
    }

    private SqliteAccount WaitForHeir()
    {
        var spin = new SpinWait();
        SqliteAccount? heir;
        while ((heir = Volatile.Read(ref _heir)) is null || !IsHandedOver)
        {
            spin.SpinOnce(sleep1Threshold: -1);
        }

        return heir;
    }

    // Nothing of this account is left and nothing can come: its place in the table may be used again. The unattributed
    // account's never is: somebody may have read it and be about to charge it.
    private void Retire()
    {
        if (!_neverRefuses)
        {
            SqliteAccountTable.Remove(this);
        }
    }

    private bool TryPay(long bytes)
    {
        if (!_neverRefuses)
        {
            return Member.TryCharge(bytes);
        }

        Force(bytes);
        return true;
    }

    private void Force(long bytes)
    {
        try
        {
            Member.Charge(bytes, Forced);
        }
        catch (ObjectDisposedException)
        {
            // The member has exited. Uncharging it later is harmless, so the account's own books stay exact.
        }
    }

    private void Return(long bytes)
    {
        if (!TryKeepAsCredit(bytes))
        {
            Member.Uncharge(bytes);
        }
    }

    private void Refuse(long bytes, long covered)
    {
        Volatile.Write(ref _refused, Math.Max(Refused, bytes));
        Volatile.Write(ref _creditMax, long.MaxValue);
        Interlocked.CompareExchange(ref _credit, 0, NoCredit);
        if (covered > 0)
        {
            Return(covered);
        }
    }

    private long TakeCredit(long atMost)
    {
        long seen = Volatile.Read(ref _credit);
        while (seen > 0)
        {
            long part = Math.Min(seen, atMost);
            long was = Interlocked.CompareExchange(ref _credit, seen - part, seen);
            if (was == seen)
            {
                return part;
            }

            seen = was;
        }

        return 0;
    }

    private bool TryKeepAsCredit(long bytes)
    {
        long seen = Volatile.Read(ref _credit);
        while (seen != NoCredit && bytes <= Volatile.Read(ref _creditMax) - seen)
        {
            long was = Interlocked.CompareExchange(ref _credit, seen + bytes, seen);
            if (was == seen)
            {
                return true;
            }

            seen = was;
        }

        return false;
    }
}
