// A state that is closed, by whoever opened it or with its group, is collected: a service that opens one for each
// request does so for months. A handful may be alive at the end, never a number that grows with those that were opened.

using System.Runtime.CompilerServices;
using MemoryGroups;
using MemoryGroups.Tests;

namespace LuaGroups.Tests;

public sealed class ForgettingTests
{
    private const int Opened = 100;
    private const int MostAlive = 8;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void State_that_is_closed_is_collected(bool disposes)
    {
        using var root = new MemoryRoot();
        MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 1 });
        List<WeakReference[]> states =
            [.. Enumerable.Range(0, Opened).Select(_ => OpenAndLeave(tenant, disposes))];

        int alive = Assert.Single(Survivors.Count(states, MostAlive, Deadline));

        Assert.InRange(alive, 0, MostAlive);
        Assert.Equal((0, 0), (tenant.Usage, root.BooksErrorCount));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference[] OpenAndLeave(MemoryGroup tenant, bool disposes)
    {
        MemoryGroup group = disposes ? tenant : tenant.CreateGroup("request");
        LuaSession session = LuaSession.Open(group, "state");
        Assert.True(session.RunAsync("return 1").Wait(Deadline), "the script does not end");
        if (disposes)
        {
            session.Dispose();
        }
        else
        {
            group.Dispose();
        }

        return [new WeakReference(session)];
    }
}
