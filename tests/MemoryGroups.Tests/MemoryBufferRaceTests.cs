// Buffers on real threads: renting and disposing while the reaper or the exit takes everything.

namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class MemoryBufferRaceTests
{
    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    [InlineData(false, true)]
    public async Task Buffers_rented_and_disposed_while_all_is_taken_leave_nothing_behind(bool byReaper, bool isChecked)
    {
        var faults = new List<BufferFaults>();
        for (int round = 0; round < 200; round++)
        {
            var time = new VirtualTime();
            using MemoryRoot root = RacingRoot.On(time, checksBuffers: isChecked);
            faults.Add(root.BufferFaults);
            MemoryMember member = root.CreateGroup("tenant").CreateMember("query");
            member.Allocate(100).Dispose();
            using var start = new Barrier(3);
            Task<int>[] users = [.. Enumerable.Range(0, 2).Select(
                seed => Task.Run(() => UseUntilTaken(member, new Random((round * 2) + seed), start)))];

            start.SignalAndWait();
            if (byReaper)
            {
                // Nobody is eligible before the first buffer is there.
                while (await root.OomKiller.KillNowAsync() is null)
                {
                }

                time.Advance(TimeSpan.FromSeconds(3));
            }
            else
            {
                member.Dispose();
            }

            await Task.WhenAll(users);
            member.Dispose();
            Assert.Equal((0, 0), (root.UsageLower, root.BooksErrorCount));
        }

        // Finalizers tell who was lost.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.Empty(faults.SelectMany(static fault => fault.Latest));
    }

    // Of those who rent first at the same time one makes the arena, and finds out that nothing may be made any more.
    [Fact]
    public async Task First_buffers_of_a_member_whose_space_was_reaped_leave_no_charge()
    {
        for (int round = 0; round < 3000; round++)
        {
            using MemoryRoot root = RacingRoot.On(new VirtualTime());
            MemoryMember member = root.CreateMember("query");
            member.Kill("test");
            Assert.Equal(ReapResult.Reaped, await member.ReapAsync());
            using var start = new Barrier(4);
            Task[] users = [.. Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
            {
                start.SignalAndWait();
                try
                {
                    member.Allocate(100).Dispose();
                }
                catch (OomKilledException)
                {
                }
            }))];

            await Task.WhenAll(users);

            Assert.Equal((0, 0), (member.Usage, root.BooksErrorCount));
        }
    }

    private static int UseUntilTaken(MemoryMember member, Random random, Barrier start)
    {
        var live = new List<MemoryBuffer>();
        start.SignalAndWait();
        int rented = 0;
        try
        {
            while (true)
            {
                MemoryBuffer buffer = member.Allocate(1 + random.Next(random.Next(100_000)));
                live.Add(buffer);
                buffer.Write(0, [1]);
                rented++;
                if (live.Count > 20)
                {
                    int index = random.Next(live.Count);
                    live[index].Dispose();
                    live.RemoveAt(index);
                }
            }
        }
        catch (Exception taken) when (taken is ObjectDisposedException or OomKilledException)
        {
            live.ForEach(static buffer => buffer.Dispose());
            return rented;
        }
    }
}
