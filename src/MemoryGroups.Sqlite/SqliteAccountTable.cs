// Numbers for accounts, because a block's header can hold a number but not a reference the garbage collector would see.
//
// A number is looked up on every free, so reading takes no lock: the array is replaced when it grows, and a number is
// only looked up by who holds a block of it, that is after it was given out. It is given out again when its account is
// handed over and its last block is freed.
//
// Must stay true: number 0 is never given out, so that a header of zeros is recognized as damaged.
namespace MemoryGroups.Sqlite;

internal static class SqliteAccountTable
{
    private static readonly Lock Gate = new();
    private static readonly Stack<int> Free = new();
    private static SqliteAccount?[] _accounts = new SqliteAccount?[64];
    private static int _used = 1;

    // In use by all accounts together. Exact while nobody allocates; each byte is counted once, at whoever answers for
    // it.
    internal static long BytesInUse
    {
        get
        {
            long sum = 0;
            lock (Gate)
            {
                foreach (SqliteAccount? account in _accounts)
                {
                    sum += account is { IsHandedOver: false } ? account.InUse : 0;
                }
            }

            return sum;
        }
    }

    // Accounts that still have a number.
    internal static int Count
    {
        get
        {
            lock (Gate)
            {
                return _used - 1 - Free.Count;
            }
        }
    }

    internal static SqliteAccount? Find(int index)
    {
        SqliteAccount?[] accounts = Volatile.Read(ref _accounts);
        return index >= 0 && index < accounts.Length ? Volatile.Read(ref accounts[index]) : null;
    }

    internal static int Add(SqliteAccount account)
    {
        lock (Gate)
        {
            if (!Free.TryPop(out int index))
            {
                index = _used++;
                if (index == _accounts.Length)
                {
                    var larger = new SqliteAccount?[2 * index];
                    _accounts.CopyTo(larger, 0);
                    Volatile.Write(ref _accounts, larger);
                }
            }

            Volatile.Write(ref _accounts[index], account);
            return index;
        }
    }

    internal static void Remove(SqliteAccount account)
    {
        lock (Gate)
        {
            Volatile.Write(ref _accounts[account.Index], null);
            Free.Push(account.Index);
        }
    }
}
