// The books of a state by themselves, block by block: what each call of the allocator charges and returns, what is
// refused and when, and what is charged ahead.

using MemoryGroups;

namespace LuaGroups.Tests;

public sealed class LuaAccountTests : IDisposable
{
    // What no machine has.
    private static readonly nuint Absurd = unchecked((nuint)(1UL << 55));

    private readonly MemoryRoot _root = new();

    public void Dispose()
    {
        Assert.Equal(0, _root.Usage);
        Assert.True(_root.BooksErrorCount == 0, _root.FirstBooksError);
        _root.Dispose();
    }

    [Fact]
    public unsafe void Block_is_charged_from_its_first_size_to_its_last()
    {
        using MemoryMember member = Member(out LuaAccount account);

        void* block = account.Resize(null, 0, 100);
        Assert.Equal((112, 112), (account.InUse, member.Usage));
        block = account.Resize(block, 100, 1000);
        Assert.Equal((1008, 1008), (account.InUse, member.Usage));
        block = account.Resize(block, 1000, 1000);
        Assert.Equal((1008, 1008), (account.InUse, member.Usage));
        block = account.Resize(block, 1000, 10);
        Assert.Equal((32, 32), (account.InUse, member.Usage));

        Assert.True(account.Resize(block, 10, 0) == null);
        Assert.Equal((0, 0), (account.InUse, member.Usage));
    }

    // Lua tells what the block is for.
    [Fact]
    public unsafe void Old_size_of_no_block_is_none()
    {
        using MemoryMember member = Member(out LuaAccount account);

        void* block = account.Resize(null, 1000, 100);

        Assert.Equal((112, 112), (account.InUse, member.Usage));
        account.Resize(block, 100, 0);
    }

    [Fact]
    public unsafe void Block_that_the_machine_has_not_is_charged_nothing_and_the_old_one_stays()
    {
        using MemoryMember member = Member(out LuaAccount account);
        byte* block = (byte*)account.Resize(null, 0, 100);
        block[99] = 7;

        Assert.True(account.Resize(block, 100, Absurd) == null);

        Assert.Equal((112, 112), (account.InUse, member.Usage));
        Assert.Equal(7, block[99]);
        account.Resize(block, 100, 0);
    }

    [Fact]
    public unsafe void Largest_refusal_since_the_script_began_is_remembered()
    {
        using MemoryMember member = Member(out LuaAccount account, max: 1000);
        account.MayRefuse = true;

        Assert.True(account.Resize(null, 0, 2000) == null);
        Assert.True(account.Resize(null, 0, 1500) == null);

        Assert.Equal((2016, 0, 0), (account.Refused, account.InUse, member.Usage));
        account.BeginScript();
        Assert.Equal(0, account.Refused);
    }

    [Fact]
    public unsafe void Nothing_is_refused_where_Lua_cannot_say_so()
    {
        using MemoryMember member = Member(out LuaAccount account, max: 1000);
        account.IsStopped = true;

        void* block = account.Resize(null, 0, 2000);

        Assert.True(block != null);
        Assert.Equal((2016, 2016, 0), (account.InUse, member.Usage, account.Refused));
        account.Resize(block, 2000, 0);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public unsafe void Script_that_is_to_end_gets_nothing_more(bool isStopped, bool isKilled)
    {
        using MemoryMember member = Member(out LuaAccount account);
        account.MayRefuse = true;
        account.IsStopped = isStopped;
        if (isKilled) member.Kill("a test");

        Assert.True(account.Resize(null, 0, 100) == null);

        Assert.Equal((0, 0), (account.InUse, member.Usage));
    }

    [Fact]
    public unsafe void What_is_charged_ahead_pays_for_blocks_and_is_refilled_below_its_half()
    {
        using MemoryMember member = Member(out LuaAccount account);
        account.KeepAhead();
        account.KeepAhead();
        Assert.Equal((LuaAccount.AheadBytes, 0), (member.Usage, account.InUse));

        void* half = account.Resize(null, 0, 32 * 1024 - 8);
        account.KeepAhead();
        Assert.Equal((64 * 1024, 32 * 1024), (member.Usage, account.InUse));

        void* more = account.Resize(null, 0, 100);
        account.KeepAhead();
        Assert.Equal(account.InUse + LuaAccount.AheadBytes, member.Usage);

        void* large = account.Resize(null, 0, 100_000);
        Assert.Equal((account.InUse, account.InUse), (member.Usage, 32 * 1024 + 112 + 100_016));
        account.KeepAhead();
        account.DropCredit();
        Assert.Equal(account.InUse, member.Usage);
        account.DropCredit();
        account.Resize(half, 32 * 1024 - 8, 0);
        account.Resize(more, 100, 0);
        account.Resize(large, 100_000, 0);
    }

    [Fact]
    public async Task Script_that_was_denied_once_does_not_ask_ahead_again()
    {
        using MemoryMember member = Member(out LuaAccount account, max: 1000);
        await _root.OomKiller.DisableAsync(TimeSpan.Zero, TestContext.Current.CancellationToken);

        account.KeepAhead();
        long refusals = member.Group.RefusalCount;
        account.KeepAhead();

        Assert.True(refusals > 0 && !account.IsStopped);
        Assert.Equal((refusals, 0), (member.Group.RefusalCount, member.Usage));
        account.BeginScript();
        account.KeepAhead();
        Assert.True(member.Group.RefusalCount > refusals);
    }

    [Fact]
    public void Script_of_a_member_that_is_gone_is_stopped_when_it_asks_ahead()
    {
        MemoryMember exited = Member(out LuaAccount ofExited);
        exited.Dispose();

        ofExited.KeepAhead();

        Assert.True(ofExited.IsStopped);
        Assert.Equal(0, exited.Usage);
    }

    // What is refused while a state is being made ends the process.
    [Fact]
    public void State_whose_group_is_closed_while_it_is_made_is_made_all_the_same()
    {
        MemoryMember exited = Member(out LuaAccount account);
        exited.Dispose();

        using (new LuaState(account))
        {
            Assert.True(account.InUse > 0);
        }

        Assert.Equal((0, 0), (account.InUse, exited.Usage));
    }

    private MemoryMember Member(out LuaAccount account, long max = long.MaxValue)
    {
        MemoryGroup group = _root.CreateGroup("tenant", new MemoryGroupOptions { Max = max, BatchBytes = 1 });
        MemoryMember member = group.CreateMember("state");
        account = new LuaAccount(member);
        return member;
    }
}
