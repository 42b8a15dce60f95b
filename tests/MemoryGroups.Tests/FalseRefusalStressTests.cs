// Charges that fit are granted, whatever stock is on its way at that moment.
//
// The limit is room for what all threads can have at once and not for one byte more than the greedy charge lacks, so a
// refusal of a fitting charge is false, however the threads interleave.
namespace MemoryGroups.Tests;

public sealed class FalseRefusalStressTests
{
    private const long Limit = 16 << 20;
    private const int Threads = 2;
    private const int Rounds = 150_000;

    [Fact]
    public void Charges_that_fit_are_never_refused_beside_one_that_cannot()
    {
        using var root = new MemoryRoot();
        MemoryGroup tenant = root.CreateGroup("tenant", new MemoryGroupOptions { Max = Limit });
        MemoryMember[] members = [.. Enumerable.Range(0, Threads).Select(i => tenant.CreateMember($"m{i}"))];
        MemoryMember greedy = tenant.CreateMember("greedy");
        greedy.Charge(Limit / 2);
        using var start = new Barrier(Threads + 1);
        int running = Threads;
        long refused = 0;
        Thread[] threads = [.. members.Select((member, i) => new Thread(() =>
        {
            start.SignalAndWait();
            Interlocked.Add(ref refused, RefusedOf(member, new Random(i)));
            Interlocked.Decrement(ref running);
        }))];
        Array.ForEach(threads, static thread => thread.Start());

        // More than the half that is left, always: each attempt drains what the others hold as stock.
        start.SignalAndWait();
        bool everGranted = false;
        while (Volatile.Read(ref running) > 0)
        {
            everGranted |= greedy.TryCharge((Limit / 2) + 1);
        }

        Array.ForEach(threads, static thread => thread.Join());
        Assert.Equal((0, false), (refused, everGranted));
        Assert.Equal(0, root.BooksErrorCount);
    }

    // At most a quarter of the limit at a time: all of them together have the other half.
    private static long RefusedOf(MemoryMember member, Random random)
    {
        var held = new Queue<long>();
        long sum = 0;
        long refused = 0;
        for (int round = 0; round < Rounds; round++)
        {
            long bytes = 1 + random.Next(1 << random.Next(18));
            while (sum + bytes > Limit / 2 / Threads)
            {
                long back = held.Dequeue();
                member.Uncharge(back);
                sum -= back;
            }

            if (member.TryCharge(bytes))
            {
                held.Enqueue(bytes);
                sum += bytes;
            }
            else
            {
                refused++;
            }
        }

        member.Uncharge(sum);
        return refused;
    }
}
