// The allocator and its accounts without SQLite: owners, growth, refusal, handovers, and all of it from several
// threads.

using System.Runtime.InteropServices;

namespace MemoryGroups.Sqlite.Tests;

public sealed unsafe class AllocatorTests : IDisposable
{
    private readonly MemoryRoot _root = new();
    private readonly MemoryGroup _group;
    private readonly int _accounts = SqliteAccountTable.Count;
    private readonly long _bytes = SqliteMemory.BytesInUse;

    public AllocatorTests() => _group = _root.CreateGroup("g");

    public void Dispose()
    {
        SqliteBlocks.Current = null;
        _group.Dispose();
        Assert.Equal(0, _root.Usage);
        Assert.True(_root.BooksErrorCount == 0, _root.FirstBooksError);
        Assert.Equal(_bytes, SqliteMemory.BytesInUse);
        Assert.Equal(_accounts, SqliteAccountTable.Count);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(100)]
    [InlineData(4368)]
    [InlineData(131_000)]
    [InlineData(131_056)]
    [InlineData(1_000_000)]
    public void Block_is_aligned_and_charged_for_what_the_system_gives(int bytes)
    {
        SqliteAccount account = NewAccount();
        void* block = AllocateFor(account, bytes);

        int size = SqliteBlocks.SizeOf(block);
        Assert.InRange(size, bytes, bytes + 15);
        Assert.Equal(size, SqliteBlocks.Roundup(size));
        Assert.Equal(0u, (nuint)block % 16);
        Assert.Equal(account.Member.Usage, account.InUse);
        if (OperatingSystem.IsLinux())
        {
            // glibc: the usable size and one word, and now and then 16 bytes that are too few for a block of their own;
            // a block that is mapped on its own has two words and ends with its page.
            long taken = (long)UsableSize((byte*)block - 16) + 8;
            Assert.InRange(account.InUse, taken - 16, bytes < 131_000 ? taken : taken + 4096 + 16);
        }

        SqliteBlocks.Release(block);
        Assert.Equal(0, account.Member.Usage);
        Retire(account);
    }

    [Fact]
    public void Free_on_another_thread_goes_to_the_recorded_owner()
    {
        SqliteAccount owner = NewAccount();
        SqliteAccount other = NewAccount();
        nint block = (nint)AllocateFor(owner, 1000);

        var thread = new Thread(() =>
        {
            SqliteBlocks.Current = other;
            SqliteBlocks.Release((void*)block);
        });
        thread.Start();
        thread.Join();

        Assert.Equal((0, 0), (owner.Member.Usage, other.Member.Usage));
        Retire(owner, other);
    }

    [Fact]
    public void Block_that_grows_is_paid_by_who_grows_it_and_one_that_shrinks_credits_its_owner()
    {
        SqliteAccount owner = NewAccount();
        SqliteAccount other = NewAccount();
        void* block = AllocateFor(owner, 1000);
        *(long*)block = 42;

        SqliteBlocks.Current = owner;
        block = SqliteBlocks.Resize(block, 2000);
        Assert.Equal((SqliteBlocks.ChargeFor(SqliteBlocks.Roundup(2000)), 0), (owner.Member.Usage, other.Member.Usage));

        SqliteBlocks.Current = other;
        block = SqliteBlocks.Resize(block, 500);
        Assert.Equal((SqliteBlocks.ChargeFor(SqliteBlocks.Roundup(500)), 0), (owner.Member.Usage, other.Member.Usage));

        block = SqliteBlocks.Resize(block, 3000);
        Assert.Equal((0, SqliteBlocks.ChargeFor(SqliteBlocks.Roundup(3000))), (owner.Member.Usage, other.Member.Usage));

        Assert.Equal(42, *(long*)block);
        SqliteBlocks.Release(block);
        Retire(owner, other);
    }

    [Fact]
    public void Growth_that_does_not_fit_leaves_the_block_as_it_was()
    {
        _group.Max = 10_000;
        SqliteAccount account = NewAccount();
        void* block = AllocateFor(account, 4000);
        *(long*)block = 42;
        long charged = account.Member.Usage;

        Assert.True(SqliteBlocks.Resize(block, 20_000) is null);
        Assert.True(AllocateFor(account, int.MaxValue) is null);

        Assert.Equal(42, *(long*)block);
        Assert.Equal(4008, SqliteBlocks.SizeOf(block));
        Assert.Equal(charged, account.Member.Usage);
        Assert.Equal(SqliteBlocks.ChargeFor(SqliteBlocks.Roundup(int.MaxValue)), account.Refused);
        SqliteBlocks.Release(block);
        Retire(account);
    }

    [Fact]
    public void Refused_account_keeps_what_it_frees_until_it_is_handed_over()
    {
        _group.Max = 100_000;
        SqliteAccount account = NewAccount();
        SqliteAccount heir = NewAccount();
        nint[] blocks = Fill(account, 4072);
        long held = account.Member.Usage;
        Assert.InRange(held, 90_000, 100_000);

        foreach (nint block in blocks)
        {
            SqliteBlocks.Release((void*)block);
        }

        Assert.Equal((0, held), (account.InUse, account.Member.Usage));

        // The refused bytes are found, and the next try uses them and what was kept, and nothing else.
        _group.Max = 110_000;
        account.Member.Charge(account.Refused);
        account.AddCredit(account.Refused);
        blocks = Fill(account, 4072);
        Assert.Equal(110_000 / 4096, blocks.Length);

        foreach (nint block in blocks)
        {
            SqliteBlocks.Release((void*)block);
        }

        account.HandOverTo(heir);
        Assert.Equal((0, 0), (account.Member.Usage, heir.Member.Usage));
        Retire(heir);
    }

    [Fact]
    public void Retried_account_returns_what_it_has_beyond_the_size_it_was_refused_at()
    {
        _group.Max = 100_000;
        SqliteAccount account = NewAccount();
        Array.ForEach(Fill(account, 4072), block => SqliteBlocks.Release((void*)block));
        _group.Max = long.MaxValue;
        account.Member.Charge(account.Refused);
        account.AddCredit(account.Refused);
        long credit = account.Charged;

        nint[] blocks = [.. Enumerable.Range(0, 100).Select(_ => (nint)AllocateFor(account, 4072))];
        Assert.Equal(100 * 4096, account.Member.Usage);
        Array.ForEach(blocks, block => SqliteBlocks.Release((void*)block));

        Assert.InRange(account.Member.Usage, 1, credit);
        Assert.Equal(account.Charged, account.Member.Usage);
        Retire(account);
    }

    [Fact]
    public void Handover_to_a_full_group_s_other_member_moves_the_bytes_and_charges_nothing()
    {
        _group.Max = 100_000;
        SqliteAccount query = NewAccount();
        SqliteAccount session = NewAccount();
        nint[] blocks = Fill(query, 4072);
        _group.ResetPeak();
        long usage = _group.Usage;

        query.HandOverTo(session);
        query.Member.Dispose();

        Assert.Equal((usage, usage), (_group.Usage, _group.PeakUsage));
        Assert.Equal(blocks.Length * 4096L, session.Member.Usage);
        Array.ForEach(blocks, block => SqliteBlocks.Release((void*)block));
        Assert.Equal(0, session.Member.Usage);
        Retire(session);
    }

    [Fact]
    public void Account_of_a_closed_group_refuses_and_frees_without_harm()
    {
        SqliteAccount account = NewAccount();
        SqliteAccount heir = NewAccount();
        void* block = AllocateFor(account, 1000);
        _group.Dispose();

        Assert.Throws<ObjectDisposedException>(() => account.TryCharge(16));
        account.HandOverTo(heir);
        SqliteBlocks.Release(block);

        Assert.Equal(0, heir.InUse);
        Retire(heir);
    }

    // Owners come and go, and hand over what they have, while other threads free their blocks.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Handovers_while_other_threads_free_lose_no_byte(int seed)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        const int freers = 3;
        SqliteAccount session = NewAccount();
        var random = new Random(seed);
        for (int query = 0; query < 300; query++)
        {
            SqliteAccount account = NewAccount();
            nint[] blocks = [.. Enumerable.Range(0, 60).Select(_ => (nint)AllocateFor(account, random.Next(1, 3000)))];
            SqliteBlocks.Current = null;
            using var ready = new Barrier(freers + 1);
            Thread[] threads = [.. Enumerable.Range(0, freers).Select(freer => new Thread(() =>
            {
                ready.SignalAndWait();
                for (int at = freer; at < blocks.Length; at += freers)
                {
                    if (at % 5 != 4)
                    {
                        SqliteBlocks.Release((void*)blocks[at]);
                    }
                }
            }))];
            Array.ForEach(threads, thread => thread.Start());
            ready.SignalAndWait();
            account.HandOverTo(session);
            account.Member.Dispose();
            Array.ForEach(threads, thread => thread.Join());
            Assert.Equal(session.InUse, session.Member.Usage);
            for (int at = 4; at < blocks.Length; at += 5)
            {
                SqliteBlocks.Release((void*)blocks[at]);
            }

            Assert.Equal((0, 0), (session.InUse, session.Member.Usage));
        }

        Retire(session);
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    public void Random_work_of_many_owners_keeps_every_owner_s_books_exact(int seed)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        _group.Max = 3_000_000;
        var random = new Random(seed);
        SqliteAccount session = NewAccount();
        var queries = new List<SqliteAccount> { NewAccount(), NewAccount(), NewAccount() };
        var blocks = new List<nint>();
        for (int step = 0; step < 20_000; step++)
        {
            SqliteBlocks.Current = queries[random.Next(queries.Count)];
            int at = random.Next(blocks.Count + 1);
            int action = random.Next(100);
            if (action == 0)
            {
                SqliteAccount ending = SqliteBlocks.Current;
                SqliteBlocks.Current = null;
                ending.HandOverTo(session);
                ending.Member.Dispose();
                queries.Remove(ending);
                queries.Add(NewAccount());
            }
            else if (action < 45 || at == blocks.Count)
            {
                nint block = (nint)SqliteBlocks.Allocate(1 << random.Next(19));
                blocks.AddRange(block == 0 ? [] : [block]);
            }
            else if (action < 60)
            {
                nint block = (nint)SqliteBlocks.Resize((void*)blocks[at], 1 << random.Next(19));
                blocks[at] = block == 0 ? blocks[at] : block;
            }
            else
            {
                SqliteBlocks.Release((void*)blocks[at]);
                blocks.RemoveAt(at);
            }

            long inUse = blocks.Sum(block => SqliteBlocks.ChargeFor(SqliteBlocks.SizeOf((void*)block)));
            Assert.Equal(inUse, session.InUse + queries.Sum(query => query.InUse));
            Assert.All(queries, query => Assert.Equal(query.Charged, query.Member.Usage));
            Assert.Equal(session.InUse, session.Member.Usage);
        }

        blocks.ForEach(block => SqliteBlocks.Release((void*)block));
        Retire([session, .. queries]);
    }

    private SqliteAccount NewAccount() => new(_group.CreateMember("owner"));

    private static void* AllocateFor(SqliteAccount account, int bytes)
    {
        SqliteBlocks.Current = account;
        return SqliteBlocks.Allocate(bytes);
    }

    // Blocks until one is refused.
    private static nint[] Fill(SqliteAccount account, int bytes)
    {
        var blocks = new List<nint>();
        void* block;
        while ((block = AllocateFor(account, bytes)) is not null)
        {
            blocks.Add((nint)block);
        }

        return [.. blocks];
    }

    private static void Retire(params SqliteAccount[] accounts)
    {
        SqliteBlocks.Current = null;
        foreach (SqliteAccount account in accounts)
        {
            account.HandOverTo(SqliteBlocks.Unattributed!);
            account.Member.Dispose();
        }
    }

    [DllImport("libc", EntryPoint = "malloc_usable_size")]
    private static extern nuint UsableSize(void* block);
}
