// Whose turn it is to try an OOM lock that became free: that of the oldest of a group, and of nobody else; and whoever
// has the turn and does not try hands it on, on every way out.
namespace MemoryGroups.Tests;

public sealed class OomTurnTests : IDisposable
{
    private readonly World _world = new();
    private readonly MemoryGroup _group;
    private readonly MemoryMember _hog;

    public OomTurnTests()
    {
        _group = _world.Root.CreateGroup("group", FullGroup.Sleepy);
        _hog = FullGroup.Fill(_world, _group);
    }

    public void Dispose() => _world.Dispose();

    [Fact]
    [Requirement("S000-17")]
    public void Release_wakes_the_oldest_contender_of_the_group_only()
    {
        using var cancel = new CancellationTokenSource();
        FullGroup.Ask(_world, _group, 100, cancel.Token);
        List<Pending> others = [.. Enumerable.Range(0, 3).Select(_ => FullGroup.Ask(_world, _group, 100))];
        OomWaiter oldest = Sleepers.Of(_group)[1];
        _world.Trace.Clear();

        cancel.Cancel();
        _world.Run();

        Assert.All(others, static one => Assert.True(one.Sleeps));
        Assert.Equal(2, _world.Trace.Count(static point => point == ProbePoint.WakeDelivered));
        Assert.Equal(2, _group.Events.Current.Oom);
        Assert.NotNull(_group.OomLock.Holder);
        Assert.Same(oldest, Sleepers.Of(_group)[0]);
    }

    [Fact]
    public void Release_does_not_wake_who_sleeps_for_something_else()
    {
        using var cancel = new CancellationTokenSource();
        FullGroup.Ask(_world, _group, 100, cancel.Token);
        var request = new OomRequest(_world.Root, null, 2000, ChargeFlags.None, TimeSpan.FromMinutes(1));
        Task<OomVerdict> waiting = OomContest.WaitAsync(request, _group, null, static () => true).AsTask();
        Pending contender = FullGroup.Ask(_world, _group, 100);

        cancel.Cancel();
        _world.Run();

        Assert.False(waiting.IsCompleted);
        Assert.True(contender.Sleeps);
        Assert.Equal(2, _group.Events.Current.Oom);
    }

    [Theory]
    [InlineData("cancelled")]
    [InlineData("killed")]
    [InlineData("granted")]
    [InlineData("refused by another group")]
    [InlineData("exited")]
    public void Turn_that_is_not_used_goes_to_the_next(string instead)
    {
        using var leave = new CancellationTokenSource();
        using var cancel = new CancellationTokenSource();
        MemoryGroup child = _group.CreateGroup("child");
        MemoryMember next = child.CreateMember("next");
        MemoryMember filler = child.CreateMember("filler");
        FullGroup.Ask(_world, _group, 100, leave.Token);
        Pending turn = _world.Charge(next, 100, cancel: cancel.Token);
        Pending last = FullGroup.Ask(_world, _group, 900);

        // The holder leaves; who has the turn was told and has not moved yet.
        leave.Cancel();
        Assert.True(_world.RunOne());
        Assert.Null(_group.OomLock.Holder);
        _world.Trace.Clear();
        switch (instead)
        {
            case "cancelled":
                cancel.Cancel();
                break;
            case "killed":
                next.Kill("a test");
                break;
            case "granted":
                _hog.Uncharge(100);
                break;
            case "exited":
                next.Dispose();
                break;
            default:
                _hog.Uncharge(100);
                Assert.True(filler.TryCharge(100));
                child.Oom.KillDisabled = true;
                child.Max = 150;
                break;
        }

        _world.Run();

        Assert.Equal(instead == "granted", turn.Granted);
        Assert.Equal(instead == "refused by another group", turn.Sleeps);
        Assert.True(last.Sleeps);
        Assert.Equal(2, _world.Trace.Count(static point => point == ProbePoint.WakeDelivered));
        Assert.NotNull(_group.OomLock.Holder ?? child.OomLock.Holder);
    }

    // Both wait for a victim that takes its time, and each leaves the turn to the other while it asks for memory.
    [Fact]
    public void Turn_does_not_go_in_circles_when_nobody_tries()
    {
        MemoryGroup deadly = _world.Root.CreateGroup("deadly", new MemoryGroupOptions { Max = 1000 });
        MemoryMember victim = FullGroup.Fill(_world, deadly);
        using IDisposable reclaimer = deadly.AddReclaimer(new ScriptedReclaimer("empty", static _ => 0));
        List<Pending> late = [];
        _world.Once(ProbePoint.KillReturned, () => late.AddRange(
            [_world.Begin(deadly.CreateMember("b"), 100), _world.Begin(deadly.CreateMember("c"), 100)]));

        Pending asking = FullGroup.Ask(_world, deadly, 100);

        Assert.True(victim.IsKilled);
        Assert.True(asking.Sleeps);
        Assert.All(late, static one => Assert.True(one.Sleeps));
        Assert.Equal(1, deadly.Events.Current.Oom);
        victim.Dispose();
        _world.Run();
        Assert.All(late, static one => Assert.True(one.Granted));
    }

    // Of several charges of one member only the first and the last have a stall to count.
    [Fact]
    public void Wait_of_a_member_that_is_stalled_already_enters_the_guard_four_times()
    {
        MemoryMember member = _group.CreateMember("member");
        Pending first = _world.Charge(member, 100);
        Pending? second = null;

        Assert.Equal(4, GuardEntries(() => second = _world.Charge(member, 100)));

        Assert.Equal(1, _group.StalledMembers);
        _hog.Uncharge(100);
        _world.Run();
        Assert.True(first.Granted && second!.Sleeps);
        Assert.Equal(1, _group.StalledMembers);
        _hog.Uncharge(100);
        _world.Run();
        Assert.True(second.Granted);
        Assert.Equal(0, _group.StalledMembers);
    }

    // Stall, pressure, queue, mark, trylock; then who is woken, leave, end of the stall. A release is part of leaving,
    // and to notify takes none when nobody is registered.
    [Fact]
    public void Wait_enters_the_guard_five_times_and_its_end_three_times()
    {
        MemoryMember winner = _group.CreateMember("winner");
        MemoryMember loser = _group.CreateMember("loser");
        Pending? holds = null;

        Assert.Equal(5, GuardEntries(() => holds = _world.Charge(winner, 100)));
        Assert.Equal(3, GuardEntries(() =>
        {
            _hog.Uncharge(100);
            _world.Run();
        }));
        Assert.True(holds!.Granted);
        _world.Charge(winner, 100);
        Assert.Equal(5, GuardEntries(() => _world.Charge(loser, 100)));
        Assert.Equal(2, _group.Counter.Waiters);
    }

    private long GuardEntries(Action action)
    {
        long before = _world.Root.GuardEntries;
        action();
        return _world.Root.GuardEntries - before;
    }
}
