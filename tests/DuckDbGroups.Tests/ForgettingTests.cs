// An instance that is closed, by whoever opened it or with its group, is collected: a service that opens one for each
// request does so for months. A handful may be alive at the end, never a number that grows with those that were opened.

using System.Runtime.CompilerServices;
using MemoryGroups;
using MemoryGroups.Tests;
using static DuckDbGroups.Tests.DuckDb;

namespace DuckDbGroups.Tests;

public sealed class ForgettingTests
{
    private const int Opened = 20;
    private const int MostAlive = 4;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Session_that_is_closed_is_collected(bool disposes)
    {
        if (!DuckDbLibrary.IsAvailable) Assert.Skip(DuckDbLibrary.Problem);
        using var root = new MemoryRoot();
        MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 1 });
        List<WeakReference[]> sessions =
            [.. Enumerable.Range(0, Opened).Select(_ => OpenAndLeave(tenant, disposes))];

        int alive = Assert.Single(Survivors.Count(sessions, MostAlive, Deadline));

        Assert.InRange(alive, 0, MostAlive);
        Assert.Equal((0, 0), (tenant.Usage, root.BooksErrorCount));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference[] OpenAndLeave(MemoryGroup tenant, bool disposes)
    {
        MemoryGroup group = disposes ? tenant : tenant.CreateGroup("request");
        DuckDbSession session = DuckDbSession.Open(new DuckDbOptions(), group, "session");
        Assert.True(session.RunAsync("query", static _ => 1).Wait(Deadline), "the query does not end");
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
