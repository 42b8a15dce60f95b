// Moves on real threads: they race charges, uncharges, leases and exits, and each byte still returns once.
namespace MemoryGroups.Tests;

public sealed class MemberMoveRaceTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [Requirement("I5")]
    [Requirement("T16")]
    public void Moves_racing_charges_uncharges_and_exits_return_each_byte_once(int seed)
    {
        using var root = new MemoryRoot();
        MemoryGroup[] groups =
        [
            .. Enumerable.Range(0, 3).Select(i =>
                root.CreateGroup($"g{i}", new MemoryGroupOptions { Max = Stocked.AmpleLimit })),
        ];
        for (int round = 0; round < 2000; round++)
        {
            MemoryMember member = groups[0].CreateMember("member");
            Assert.True(member.TryCharge(200_000) && member.TryCharge(5000));
            MemoryCharge lease = member.TryLease(7000)!;
            using var start = new Barrier(3);
            int own = (seed * 10_000) + round;
            bool exits = round % 4 == 0;
            Parallel.Invoke(
                new ParallelOptions { MaxDegreeOfParallelism = 3 },
                () => Play(start, own, random => member.MoveTo(groups[random.Next(3)])),
                () => Play(start, own + 1, random =>
                {
                    int bytes = random.Next(1, 9000);
                    if (member.TryCharge(bytes))
                    {
                        member.Uncharge(bytes);
                    }
                }),
                () => Play(start, own + 2, random =>
                {
                    if (exits && random.Next(8) == 0)
                    {
                        member.Dispose();
                    }
                    else if (member.TryLease(random.Next(1, 4000)) is { } other)
                    {
                        other.TryGrow(100);
                        other.Dispose();
                    }
                }));
            member.Uncharge(205_000);
            Assert.True(member.IsExited || member.Usage == 7000, $"seed {seed}, round {round}: {member.Usage}");
            lease.Dispose();
            Assert.True(member.Usage == 0, $"seed {seed}, round {round}: {member.Usage} left");
            root.Stocks.Drain(root);
            Assert.True(root.Usage == 0, $"seed {seed}, round {round}: {root.Usage} left at the root");
            member.Dispose();
        }

        Assert.True(root.BooksErrorCount == 0, root.FirstBooksError);
        Assert.All(groups, static group => Assert.Equal((0, 0), (group.Usage, group.LeftBooks.Length)));
    }

    // Back in a group where it still has bytes: the books that hold them all are taken up again at this moment.
    [Fact]
    [Requirement("I5")]
    public void Raw_uncharge_in_the_middle_of_a_move_finds_the_bytes()
    {
        var clock = new IntrudingClock();
        using var root = new MemoryRoot(new MemoryRootOptions { TimeProvider = clock });
        MemoryGroup first = root.CreateGroup("first");
        MemoryMember member = first.CreateMember("member");
        Assert.True(member.TryCharge(1000));
        Assert.True(member.MoveTo(root.CreateGroup("second")));
        member.BeginStall();
        long left = 1000;
        int times = 0;

        clock.Asked = () =>
        {
            times++;
            Assert.Equal(left, member.Usage);
            member.Uncharge(27);
            left -= 27;
        };
        Assert.True(member.MoveTo(first));
        clock.Asked = null;

        Assert.True(times > 0, "the clock was not asked inside the move");
        Assert.Equal(left, member.Usage);
        Assert.True(root.BooksErrorCount == 0, root.FirstBooksError);
    }

    private static void Play(Barrier start, int seed, Action<Random> act)
    {
        var random = new Random(seed);
        start.SignalAndWait();
        for (int i = 0; i < 12; i++)
        {
            try
            {
                act(random);
            }
            catch (ObjectDisposedException)
            {
                // The exit came first.
            }

            Thread.SpinWait(random.Next(40));
        }
    }
}
