// Scripts on the real engine: charged to the byte, refused or killed alone, and gone without a trace.

using System.Globalization;
using MemoryGroups;

[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace LuaGroups.Tests;

public sealed class LuaTests : IDisposable
{
    private const long Mega = 1 << 20;

    // Small strings, and a table that holds them.
    private const string Hoard = "local t = {} for i = 1, math.huge do t[i] = string.rep('x', 200) .. i end";

    // Long enough never to matter, unless what must end does not.
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    // A busy machine makes reclaimers late; given up is another matter than what is tested here.
    private readonly MemoryRoot _root = new(new MemoryRootOptions { ReclaimDeadline = Deadline });

    private static CancellationToken Abort => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        Close(_root);
        Assert.Equal(0, _root.Usage);
        Assert.Equal(0, _root.BytesLeftAtExit);
        Assert.True(_root.BooksErrorCount == 0, _root.FirstBooksError);
        _root.Dispose();
    }

    [Fact]
    public async Task Values_come_back_and_globals_stay()
    {
        using LuaSession session = LuaSession.Open(Group("tenant"), "state");

        object?[] values = await session.RunAsync("x = 40 return x + 2, 1.5, 'text', true, nil, {}, print");

        Assert.Equal([42L, 1.5, "text", true, null, "(not a plain value)", "(not a plain value)"], values);
        Assert.Equal(41L, Assert.Single(await session.RunAsync("return x + 1")));
    }

    [Fact]
    public async Task Usage_is_what_the_state_holds_and_zero_after_close()
    {
        MemoryGroup group = Group("tenant");
        LuaSession session = LuaSession.Open(group, "state");
        MemoryMember member = Assert.Single(group.Members);
        long before = member.Usage;

        await session.RunAsync("t = {} for i = 1, 100 do t[i] = string.rep('x', 10000) .. i end");
        await group.ReclaimAsync(4 * Mega, Abort);
        long held = member.Usage;
        await session.RunAsync("t = nil");
        await group.ReclaimAsync(Mega, Abort);
        long released = member.Usage;
        session.Dispose();

        Assert.InRange(before, 10_000, 64 * 1024);
        Assert.InRange(held - before, 1_000_000, 1_200_000);
        Assert.InRange(released, 10_000, before + 10_000);
        Assert.Equal(0, member.Usage);
        Assert.Empty(group.Members);
    }

    [Fact]
    public async Task Charge_of_a_known_block_is_what_the_allocator_makes_of_it()
    {
        MemoryGroup group = Group("tenant");
        using LuaSession session = LuaSession.Open(group, "state");
        MemoryMember member = Assert.Single(group.Members);
        await session.RunAsync("s = 'x' return s");
        await group.ReclaimAsync(Mega, Abort);
        long before = member.Usage;

        await session.RunAsync("s = string.rep('x', 1 << 20)");
        await group.ReclaimAsync(Mega, Abort);

        // The string's header and its terminating zero; the two scripts differ by a constant or two.
        Assert.InRange(member.Usage - before, Mega, Mega + 4096);
        Assert.Equal(0, LuaAccount.ChargeFor(0));
        Assert.Equal([32, 32, 48, 1040], new nuint[] { 1, 24, 25, 1025 }.Select(LuaAccount.ChargeFor));
    }

    [Fact]
    public async Task Endless_table_is_killed_and_the_other_tenant_goes_on()
    {
        MemoryGroup tenants = Group("tenants", 16 * Mega);
        using LuaSession greedy = LuaSession.Open(tenants.CreateGroup("greedy"), "state");
        using LuaSession polite = LuaSession.Open(tenants.CreateGroup("polite"), "state");

        Task<object?[]> bomb = greedy.RunAsync(Hoard);
        for (int n = 0; n < 20; n++)
        {
            Assert.Equal(
                20_000L,
                Assert.Single(await polite.RunAsync(
                    "local t = {} for i = 1, 20000 do t[i] = 'item ' .. i end return #t")
                    .WaitAsync(Deadline, TimeProvider.System, Abort)));
        }

        OomKilledException killed = await Assert.ThrowsAsync<OomKilledException>(
            () => bomb.WaitAsync(Deadline, TimeProvider.System, Abort));
        Assert.IsType<LuaException>(killed.InnerException);
        Assert.All(
            _root.Reports.Latest(10), report => Assert.Equal("root/tenants/greedy/state", report.VictimPath));
        Assert.InRange(tenants.PeakUsage, 8 * Mega, 16 * Mega);
        await Assert.ThrowsAsync<OomKilledException>(() => greedy.RunAsync("return 1"));

        // The script may have heard of the kill before the session did, which closes the state.
        Assert.True(SpinWait.SpinUntil(() => tenants.Children[0].UsageLower == 0, Deadline));
    }

    [Fact]
    public async Task Refusal_with_nobody_to_kill_is_the_script_s_own_error_and_the_state_goes_on()
    {
        MemoryGroup group = Group("tenant", 4 * Mega);
        using LuaSession session = LuaSession.Open(group, "state");
        await _root.OomKiller.DisableAsync(TimeSpan.Zero, Abort);

        MemoryLimitExceededException refused = await Assert.ThrowsAsync<MemoryLimitExceededException>(
            () => session.RunAsync("return #string.rep('x', 8 << 20)"));
        object?[] caught = await session.RunAsync("return pcall(string.rep, 'x', 8 << 20)");
        await Assert.ThrowsAsync<MemoryLimitExceededException>(
            () => session.RunAsync(Hoard).WaitAsync(Deadline, TimeProvider.System, Abort));

        LuaException error = Assert.IsType<LuaException>(refused.InnerException);
        Assert.Equal("not enough memory", error.Message);
        Assert.DoesNotContain("Meanwhile", refused.Message, StringComparison.Ordinal);
        Assert.Equal([false, "not enough memory"], caught);
        Assert.Equal(3L, Assert.Single(await session.RunAsync("return 1 + 2")));
        Assert.InRange(group.PeakUsage, 2 * Mega, 4 * Mega);
    }

    [Theory]
    [InlineData("while true do end")]
    [InlineData("while true do pcall(function() while true do end end) end")]
    [InlineData("local f = coroutine.wrap(function() while true do pcall(error) end end) while true do pcall(f) end")]
    [InlineData("table.sort({1, 2, 3}, function() while true do end end)")]
    [InlineData("local t = setmetatable({}, {__index = function() while true do end end}) return t.x")]
    public async Task Kill_ends_a_script_that_never_ends_whatever_it_catches(string script)
    {
        MemoryGroup group = Group("tenant");
        using LuaSession session = LuaSession.Open(group, "state");
        Task<object?[]> running = session.RunAsync(script);

        Assert.Single(group.Members).Kill("a test");

        await Assert.ThrowsAsync<OomKilledException>(() => running.WaitAsync(Deadline, TimeProvider.System, Abort));
        Assert.True(SpinWait.SpinUntil(() => group.UsageLower == 0, Deadline));
    }

    [Fact]
    public async Task Script_that_gets_no_memory_because_of_a_kill_was_killed_although_its_session_has_not_heard_of_it()
    {
        MemoryGroup group = Group("tenant");
        using LuaSession session = LuaSession.Open(group, "state");
        MemoryMember member = Assert.Single(group.Members);
        using var ended = new ManualResetEventSlim();

        // Registered later than the session's own, so told earlier.
        member.Killed.Register(() => ended.Wait(Deadline));
        Task<object?[]> running = session.RunAsync("while true do local s = string.rep('x', 1 << 20) end");

        member.Kill("a test");
        Exception? error = await Record.ExceptionAsync(() => running.WaitAsync(Deadline, TimeProvider.System, Abort));
        ended.Set();

        Assert.IsType<LuaException>(Assert.IsType<OomKilledException>(error).InnerException);
        Assert.True(SpinWait.SpinUntil(() => group.Members.Count == 0, Deadline));
    }

    [Fact]
    public async Task Cancellation_ends_the_script_and_the_state_goes_on()
    {
        using LuaSession session = LuaSession.Open(Group("tenant"), "state");
        using var cancel = new CancellationTokenSource();
        Task<object?[]> running = session.RunAsync("x = 7 while true do end", cancel.Token);

        await cancel.CancelAsync();

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => running.WaitAsync(Deadline, TimeProvider.System, Abort));
        Assert.Equal((cancel.Token, "The script was cancelled."), (cancelled.CancellationToken, cancelled.Message));
        Assert.Equal(1L, Assert.Single(await session.RunAsync("return 1")));
    }

    [Fact]
    public async Task Close_during_a_script_ends_it_and_returns_everything()
    {
        MemoryGroup group = Group("tenant");
        LuaSession session = LuaSession.Open(group, "state");
        Task<object?[]> running = session.RunAsync("while true do end");

        session.Dispose();

        await Assert.ThrowsAsync<ObjectDisposedException>(
            () => running.WaitAsync(Deadline, TimeProvider.System, Abort));
        Assert.True(SpinWait.SpinUntil(() => group.Members.Count == 0, Deadline));
        ObjectDisposedException closed =
            await Assert.ThrowsAsync<ObjectDisposedException>(() => session.RunAsync("return 1"));
        Assert.Contains("The Lua session 'root/tenant/state' is closed.", closed.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("return os")]
    [InlineData("return io")]
    [InlineData("return debug")]
    [InlineData("return require")]
    [InlineData("return load")]
    [InlineData("return collectgarbage")]
    public async Task What_reaches_outside_or_could_take_the_hook_away_is_not_there(string script)
    {
        using LuaSession session = LuaSession.Open(Group("tenant"), "state");

        Assert.Null(Assert.Single(await session.RunAsync(script)));
    }

    [Theory]
    [InlineData("error('mine')", "script:1: mine")]
    [InlineData("error(nil)", "The script failed without saying why.")]
    [InlineData("return 1 +", "script:1: unexpected symbol")]
    [InlineData("setmetatable({}, {__gc = function() end})", "no finalizers")]
    public async Task Script_s_own_error_stays_its_own(string script, string says)
    {
        using LuaSession session = LuaSession.Open(Group("tenant"), "state");

        LuaException error = await Assert.ThrowsAsync<LuaException>(() => session.RunAsync(script));

        Assert.Contains(says, error.Message, StringComparison.Ordinal);
        Assert.False(error.IsOutOfMemory);
    }

    [Fact]
    public async Task Cancellation_ends_a_script_that_waits_for_memory()
    {
        MemoryGroup group = Group("tenant", Mega);
        group.WaitTimeout = Timeout.InfiniteTimeSpan;
        group.Oom.KillDisabled = true;
        using LuaSession session = LuaSession.Open(group, "state");
        using MemoryMember hog = group.CreateMember("hog");
        hog.Charge(Mega - Assert.Single(group.Members, static member => member.Name == "state").Usage);
        using var cancel = new CancellationTokenSource();
        Task<object?[]> running = session.RunAsync("while true do end", cancel.Token);
        Assert.True(SpinWait.SpinUntil(() => _root.WaitingCharges == 1, Deadline));

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => running.WaitAsync(Deadline, TimeProvider.System, Abort));
        hog.Uncharge(hog.Usage);
        Assert.Equal(1L, Assert.Single(await session.RunAsync("return 1")));
    }

    [Fact]
    public async Task Second_script_at_the_same_time_is_an_error_that_names_the_state()
    {
        using LuaSession session = LuaSession.Open(Group("tenant"), "state");
        using var cancel = new CancellationTokenSource();
        Task<object?[]> running = session.RunAsync("while true do end", cancel.Token);

        InvalidOperationException error =
            await Assert.ThrowsAsync<InvalidOperationException>(() => session.RunAsync("return 1"));

        Assert.Equal("'root/tenant/state' is running a script: a state runs one at a time. Await it, or open another "
            + "session.", error.Message);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => running.WaitAsync(Deadline, TimeProvider.System, Abort));
    }

    [Fact]
    public void Group_without_room_for_a_state_refuses_it_and_keeps_nothing()
    {
        MemoryGroup group = Group("tenant", 32 * 1024);

        Assert.Throws<MemoryLimitExceededException>(() => LuaSession.Open(group, "state"));

        Assert.Empty(group.Members);
        Assert.Equal(0, group.Usage);
    }

    [Fact]
    public async Task Idle_state_answers_a_reclaim_with_what_its_garbage_was()
    {
        MemoryGroup group = Group("tenant");
        using LuaSession session = LuaSession.Open(group, "state");
        await session.RunAsync("t = string.rep('x', 1 << 20) t = nil");
        long before = group.Usage;

        long given = await group.ReclaimAsync(4 * Mega, Abort);

        Assert.InRange(given, Mega, 2 * Mega);
        Assert.Equal(before - given, group.Usage);
        Assert.InRange(await group.ReclaimAsync(4 * Mega, Abort), 0, 4096);
    }

    [Fact]
    public async Task Script_that_failed_leaves_no_garbage()
    {
        MemoryGroup group = Group("tenant");
        using LuaSession session = LuaSession.Open(group, "state");
        long before = group.Usage;

        await Assert.ThrowsAsync<LuaException>(
            () => session.RunAsync("local t = string.rep('x', 1 << 20) error('no')"));

        Assert.InRange(group.Usage, 10_000, before + 10_000);
    }

    [Fact]
    public async Task What_is_null_is_refused_by_name()
    {
        using LuaSession session = LuaSession.Open(Group("tenant"), "state");

        Assert.Equal("group", Assert.Throws<ArgumentNullException>(() => LuaSession.Open(null!, "state")).ParamName);
        Assert.Equal(
            "script", (await Assert.ThrowsAsync<ArgumentNullException>(() => session.RunAsync(null!))).ParamName);
    }

    [Fact]
    public async Task Closed_state_is_asked_for_nothing_any_more()
    {
        MemoryGroup group = Group("tenant", Mega);
        LuaSession session = LuaSession.Open(group, "state");
        await session.RunAsync("return 1");
        await _root.OomKiller.DisableAsync(TimeSpan.Zero, Abort);

        session.Dispose();
        session.Dispose();

        using MemoryMember other = group.CreateMember("other");
        MemoryLimitExceededException refused =
            Assert.Throws<MemoryLimitExceededException>(() => other.Charge(2 * Mega));
        Assert.DoesNotContain("garbage of", refused.Message, StringComparison.Ordinal);
    }

    private MemoryGroup Group(string name, long max = long.MaxValue) =>
        _root.CreateGroup(name, new MemoryGroupOptions { Max = max, BatchBytes = 1 });

    private static void Close(MemoryGroup group)
    {
        foreach (MemoryGroup child in group.Children)
        {
            Assert.True(
                SpinWait.SpinUntil(() => child.Members.Count == 0, Deadline),
                string.Create(CultureInfo.InvariantCulture, $"{child.Path} has {child.Members.Count} members"));
            Close(child);
            child.Dispose();
        }
    }
}
