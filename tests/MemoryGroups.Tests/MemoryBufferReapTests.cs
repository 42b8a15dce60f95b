// A victim's buffers are taken while its code still runs: real pages, and what that code sees afterwards.

namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class MemoryBufferReapTests
{
    private const int Large = 8 << 20;

    [Fact]
    public void Reaper_gives_the_pages_of_a_stuck_victim_back_to_the_system()
    {
        using var world = new World();
        (MemoryMember hog, Pending asking, MemoryBuffer[] buffers) = Killed(world);
        long before = buffers.Sum(ResidentPages.BytesOf);
        Assert.True(before >= Large);

        world.Advance(TimeSpan.FromSeconds(2));

        Assert.True(asking.Granted);
        Assert.Equal(0, buffers.Sum(ResidentPages.BytesOf));
        Assert.Equal(0, hog.Usage);
        Assert.All(buffers, static buffer => Assert.Throws<OomKilledException>(() => buffer.GetSpan()));
        Assert.All(buffers, static buffer => Assert.Throws<OomKilledException>(() => buffer.Read(0, new byte[1])));
        Assert.Throws<OomKilledException>(() => hog.Allocate(10));
        Array.ForEach(buffers, static buffer => buffer.Dispose());
        hog.Dispose();
        world.AssertQuiet(leftAtRoot: 2 << 20);
    }

    [Fact]
    public void Span_from_before_shows_zeros_after_the_reaper_and_does_not_end_the_process()
    {
        using var world = new World();
        (_, _, MemoryBuffer[] buffers) = Killed(world);
        Span<byte> kept = buffers[0].GetSpan();
        Assert.Equal(7, kept[^1]);

        world.Advance(TimeSpan.FromSeconds(2));
        buffers[0].Dispose();

        Assert.Equal(0, kept[^1]);
    }

    [Fact]
    public void Pinned_buffer_keeps_the_reaper_away_until_it_gives_the_space_up()
    {
        using var world = new World();
        (_, Pending asking, MemoryBuffer[] buffers) = Killed(world);
        using System.Buffers.MemoryHandle pin = buffers[1].Pin();

        world.Advance(TimeSpan.FromSeconds(4));

        Assert.False(asking.Granted);
        Assert.Equal(7, buffers[0].GetSpan()[0]);
        Assert.Equal(OomOutcome.NotReapable, Assert.Single(world.Root.Reports.Latest()).Outcome);
    }

    [Fact]
    public void Report_says_how_much_was_reaped()
    {
        using var world = new World();
        (_, _, MemoryBuffer[] buffers) = Killed(world);

        world.Advance(TimeSpan.FromSeconds(2));

        OomReport report = Assert.Single(world.Root.Reports.Latest());
        Assert.Equal(OomOutcome.Reaped, report.Outcome);
        Assert.Equal(buffers.Sum(static buffer => buffer.ChargedBytes), report.ReapedBytes);
    }

    [Fact]
    public async Task Buffers_of_all_who_share_the_space_are_taken()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember one = tenant.CreateMember("one");
        MemoryMember other = tenant.CreateMember("other", new MemoryMemberOptions { Space = one.Space });
        MemoryBuffer mine = one.Allocate(100_000);
        MemoryBuffer theirs = other.Allocate(100_000);
        Assert.NotNull(await world.Root.OomKiller.KillNowAsync());

        world.Advance(TimeSpan.FromSeconds(2));

        Assert.Throws<OomKilledException>(() => mine.GetSpan());
        Assert.Throws<OomKilledException>(() => theirs.GetSpan());
        mine.Dispose();
        theirs.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Buffer_that_is_refused_because_all_was_taken_while_it_was_charged_says_who_was_killed(bool waits)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 20_000 });
        MemoryMember member = tenant.CreateMember("query");
        MemoryMember other = tenant.CreateMember("other");
        using MemoryBuffer buffer = member.Allocate(100);
        Assert.True(other.TryCharge(15_000));
        using IDisposable reclaimer = tenant.AddReclaimer(new ScriptedReclaimer("cache", _ =>
        {
            Reap();
            return other.Free(15_000);
        }));

        if (waits)
        {
            world.Once(ProbePoint.BeforeSwap, Reap);
            var error = Assert.Throws<OomKilledException>(() => world.Await(member.AllocateAsync(1000)));
            Assert.Contains("root/tenant/query", error.Message, StringComparison.Ordinal);
        }
        else
        {
            Assert.Throws<OomKilledException>(() => member.Allocate(10_000));
        }

        Assert.Equal(0, member.Usage);

        void Reap()
        {
            member.Kill("test");
            Assert.Equal(ReapResult.Reaped, world.Await(member.ReapAsync()));
        }
    }

    // A hog with a large and many small buffers, killed for an asker that needs their room; it never exits.
    private static (MemoryMember Hog, Pending Asking, MemoryBuffer[] Buffers) Killed(World world)
    {
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Large + (1 << 20) });
        MemoryMember hog = tenant.CreateMember("hog");
        MemoryBuffer[] buffers =
            [hog.Allocate(Large), .. Enumerable.Range(0, 200).Select(_ => hog.Allocate(3000))];
        Array.ForEach(buffers, static buffer => buffer.GetSpan().Fill(7));
        Pending asking = world.Charge(tenant.CreateMember("asker"), 2 << 20);
        Assert.True(hog.IsKilled);
        return (hog, asking, buffers);
    }
}
