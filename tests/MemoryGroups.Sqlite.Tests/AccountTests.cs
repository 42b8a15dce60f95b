// The books of one account and the table of accounts: credit, refusals, what passes to an heir, numbers that are used
// again.

namespace MemoryGroups.Sqlite.Tests;

public sealed class AccountTests : IDisposable
{
    private readonly MemoryRoot _root = new();
    private readonly MemoryGroup _group;
    private readonly int _accounts = SqliteAccountTable.Count;
    private readonly long _bytes = SqliteMemory.BytesInUse;

    public AccountTests() => _group = _root.CreateGroup("g");

    public void Dispose()
    {
        Assert.Equal(_bytes, SqliteMemory.BytesInUse);
        foreach (MemoryGroup group in _root.Children)
        {
            group.Dispose();
        }

        Assert.Equal(0, _root.Usage);
        Assert.True(_root.BooksErrorCount == 0, _root.FirstBooksError);
    }

    [Fact]
    public void Credit_is_used_before_anything_is_charged_and_kept_up_to_what_it_was()
    {
        SqliteAccount account = NewAccount();
        account.Member.Charge(96);
        account.AddCredit(96);
        Assert.Equal((0, 96, 96), Books(account));

        Assert.True(account.TryCharge(32));
        Assert.Equal((32, 96, 96), Books(account));
        Assert.True(account.TryCharge(128));
        Assert.Equal((160, 160, 160), Books(account));

        // More than there was stays nowhere; as much as there was stays; then there is no room for more.
        account.Uncharge(112);
        Assert.Equal((48, 48, 48), Books(account));
        Assert.True(account.TryCharge(112));
        account.Uncharge(96);
        Assert.Equal((64, 160, 160), Books(account));
        account.Uncharge(64);
        Assert.Equal((0, 96, 96), Books(account));

        account.Member.Charge(16);
        account.AddCredit(16);
        Assert.Equal((0, 112, 112), Books(account));
        account.DropCredit();
        Assert.Equal((0, 0, 0), Books(account));
        Retire(account);
    }

    [Fact]
    public void Refused_account_gives_back_what_its_credit_covered_and_remembers_its_largest_request()
    {
        _group.Max = 100;
        SqliteAccount account = NewAccount();
        Assert.True(account.TryCharge(64));
        Assert.False(account.TryCharge(48));
        Assert.False(account.TryCharge(80));
        Assert.False(account.TryCharge(64));
        Assert.Equal(80, account.Refused);
        account.Uncharge(64);
        Assert.Equal((0, 64, 64), Books(account));

        Assert.True(account.TryCharge(16));
        Assert.False(account.TryCharge(112));
        Assert.Equal((16, 64, 64), Books(account));

        Assert.Equal(112, account.Refused);
        account.ForgetRefusal();
        Assert.Equal(0, account.Refused);
        account.DropCredit();
        Assert.Equal((16, 16, 16), Books(account));
        account.Uncharge(16);
        Assert.Equal((0, 0, 0), Books(account));
        Retire(account);
    }

    [Fact]
    public void Bytes_go_down_the_line_of_heirs_and_each_number_is_free_when_its_last_block_is()
    {
        SqliteAccount query = NewAccount();
        SqliteAccount session = NewAccount();
        SqliteAccount last = NewAccount();
        Assert.True(query.TryCharge(48));
        Assert.True(session.TryCharge(32));

        query.HandOverTo(session);
        Assert.True(query.IsHandedOver);
        Assert.False(session.IsHandedOver);
        Assert.Equal((0, 80), (query.Member.Usage, session.Member.Usage));
        session.HandOverTo(last);
        Assert.Equal((80, 80), (last.InUse, last.Member.Usage));
        Assert.Equal(_bytes + 80, SqliteMemory.BytesInUse);

        query.Uncharge(16);
        Assert.Equal((64, 3), (last.Member.Usage, Accounts()));
        query.Uncharge(32);
        Assert.Equal((32, 2), (last.Member.Usage, Accounts()));
        Assert.Null(SqliteAccountTable.Find(query.Index));
        session.Uncharge(32);
        Assert.Equal((0, 1), (last.Member.Usage, Accounts()));
        Retire(last);
        Assert.Equal(0, Accounts());
    }

    [Fact]
    public void Heir_in_another_group_is_charged_whether_it_fits_or_not()
    {
        SqliteAccount account = NewAccount();
        MemoryGroup small = _root.CreateGroup("small", new MemoryGroupOptions { Max = 16 });
        SqliteAccount heir = new(small.CreateMember("heir"));
        Assert.True(account.TryCharge(64));

        account.HandOverTo(heir);

        Assert.Equal((0, 64, 64), (account.Member.Usage, heir.Member.Usage, small.Usage));
        account.Uncharge(64);
        Assert.Equal(0, heir.Member.Usage);
        Retire(heir);
    }

    // Who has read the unattributed account may charge it after it was replaced.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Charge_of_an_unattributed_account_that_was_replaced_is_its_heir_s(bool sameGroup)
    {
        SqliteAccount replaced = NewAccount(neverRefuses: true);
        MemoryGroup group = sameGroup ? _group : _root.CreateGroup("other");
        SqliteAccount heir = new(group.CreateMember("heir"));
        replaced.HandOverTo(heir);

        Assert.True(replaced.TryCharge(64));

        Assert.Equal((0, 64, 64), (replaced.Member.Usage, heir.Member.Usage, heir.InUse));
        Assert.Equal(_bytes + 64, SqliteMemory.BytesInUse);
        replaced.Uncharge(48);
        Assert.Equal((16, 16), (heir.Member.Usage, heir.InUse));
        replaced.Uncharge(16);
        Assert.Same(replaced, SqliteAccountTable.Find(replaced.Index));
        Retire(heir);
    }

    [Fact]
    public void Account_that_never_refuses_is_charged_over_the_limit_and_keeps_its_books_when_its_member_has_gone()
    {
        _group.Max = 16;
        SqliteAccount account = NewAccount(neverRefuses: true);

        Assert.True(account.TryCharge(64));
        Assert.Equal((64, 64, 0), (account.InUse, _group.Usage, account.Refused));
        account.Uncharge(64);
        account.Member.Dispose();
        Assert.True(account.TryCharge(64));
        Assert.Equal((64, 0), (account.InUse, _group.Usage));
        account.Uncharge(64);

        Assert.Equal(0, account.InUse);
    }

    [Fact]
    public void Every_account_is_found_by_its_number_and_no_number_twice()
    {
        SqliteAccount[] accounts = [.. Enumerable.Range(0, 300).Select(_ => NewAccount())];

        Assert.All(accounts, account => Assert.Same(account, SqliteAccountTable.Find(account.Index)));
        Assert.Equal(300, Accounts());
        Assert.Null(SqliteAccountTable.Find(0));
        Assert.Null(SqliteAccountTable.Find(-1));
        Assert.Null(SqliteAccountTable.Find(1 << 20));

        Retire(accounts);
        Assert.All(accounts, account => Assert.Null(SqliteAccountTable.Find(account.Index)));
        Assert.Equal(0, Accounts());
        SqliteAccount next = NewAccount();
        Assert.Contains(next.Index, accounts.Select(account => account.Index));
        Retire(next);
    }

    private static (long InUse, long Charged, long Usage) Books(SqliteAccount account) =>
        (account.InUse, account.Charged, account.Member.Usage);

    private int Accounts() => SqliteAccountTable.Count - _accounts;

    private SqliteAccount NewAccount(bool neverRefuses = false) => new(_group.CreateMember("owner"), neverRefuses);

    private static void Retire(params SqliteAccount[] accounts)
    {
        foreach (SqliteAccount account in accounts)
        {
            account.HandOverTo(SqliteBlocks.Unattributed!);
            account.Member.Dispose();
        }
    }
}
