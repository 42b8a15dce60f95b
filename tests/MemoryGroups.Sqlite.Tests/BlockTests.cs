// Blocks at their edges: what each size costs, calls with nothing, and whose a block is that another one resizes.

namespace MemoryGroups.Sqlite.Tests;

public sealed class BlockTests : IDisposable
{
    private readonly MemoryRoot _root = new();
    private readonly SqliteAccount _owner;
    private readonly SqliteAccount _other;

    public BlockTests()
    {
        _owner = new SqliteAccount(_root.CreateMember("owner"));
        _other = new SqliteAccount(_root.CreateMember("other"));
        SqliteBlocks.Current = _owner;
    }

    public void Dispose()
    {
        SqliteBlocks.Current = null;
        foreach (SqliteAccount account in (SqliteAccount[])[_owner, _other])
        {
            Assert.Equal(0, account.InUse);
            account.HandOverTo(SqliteBlocks.Unattributed!);
            account.Member.Dispose();
        }

        Assert.Equal(0, _root.Usage);
        Assert.True(_root.BooksErrorCount == 0, _root.FirstBooksError);
    }

    // 16 bytes of header and 8 of the allocator; from 128 KiB on whole pages and 8 bytes more.
    [Theory]
    [InlineData(1, 8, 32)]
    [InlineData(8, 8, 32)]
    [InlineData(9, 24, 48)]
    [InlineData(24, 24, 48)]
    [InlineData(131_032, 131_032, 131_056)]
    [InlineData(131_033, 131_048, 135_168)]
    [InlineData(135_128, 135_128, 135_168)]
    [InlineData(135_129, 135_144, 139_264)]
    [InlineData(int.MaxValue, int.MaxValue, 2_147_487_744)]
    public void Size_is_rounded_to_what_wastes_nothing_and_costs_what_the_allocator_takes(
        int asked, int rounded, long charge)
    {
        Assert.Equal(rounded, SqliteBlocks.Roundup(asked));
        Assert.Equal(charge, SqliteBlocks.ChargeFor(rounded));
    }

    [Fact]
    public unsafe void Calls_with_nothing_do_what_C_says()
    {
        Assert.True(SqliteBlocks.Allocate(0) is null);
        Assert.True(SqliteBlocks.Allocate(-1) is null);
        Assert.Equal(0, SqliteBlocks.SizeOf(null));
        SqliteBlocks.Release(null);
        Assert.Equal(0, _owner.InUse);

        void* block = SqliteBlocks.Resize(null, 100);

        Assert.Equal((104, 128), (SqliteBlocks.SizeOf(block), _owner.InUse));
        Assert.True(SqliteBlocks.Resize(block, 0) is null);
        Assert.Equal(0, _owner.InUse);
    }

    [Fact]
    public unsafe void Block_that_another_one_resizes_to_the_same_size_stays_its_owner_s()
    {
        void* block = SqliteBlocks.Allocate(990);

        SqliteBlocks.Current = _other;
        block = SqliteBlocks.Resize(block, 1000);

        Assert.Equal((1024, 0), (_owner.InUse, _other.InUse));
        SqliteBlocks.Release(block);
    }

    [Fact]
    public unsafe void Block_that_nobody_s_thread_grows_is_the_unattributed_account_s()
    {
        void* block = SqliteBlocks.Allocate(100);
        long before = SqliteBlocks.Unattributed!.InUse;

        SqliteBlocks.Current = null;
        block = SqliteBlocks.Resize(block, 1000);

        Assert.Equal((0, before + 1024), (_owner.InUse, SqliteBlocks.Unattributed!.InUse));
        SqliteBlocks.Release(block);
        Assert.Equal(before, SqliteBlocks.Unattributed!.InUse);
    }
}
