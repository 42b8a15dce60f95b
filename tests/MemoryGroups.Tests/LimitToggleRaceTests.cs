// A limit that goes up and down under eight threads that charge and uncharge: one side always sees the other.
//
// The usage is U and the limit moves between U + 8, where all eight fit, and U + 1, where one does. Now and then the
// threads stop where they are, with what they were granted: then no charge is in flight, and after a lowering that was
// accepted the usage must be within the limit.
namespace MemoryGroups.Tests;

public sealed class LimitToggleRaceTests
{
    private const int Threads = 8;
    private const int Rounds = 1_000_000;
    private const long U = 1000;

    // Only a hang reaches it.
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(120);

    [Fact]
    [Requirement("T20")]
    [Requirement("M5")]
    public async Task Accepted_lowering_holds_as_soon_as_no_charge_is_in_flight_and_no_byte_is_lost()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("group", new MemoryGroupOptions { Max = U + Threads });
        Assert.True(group.CreateMember("base").TryCharge(U));
        using var pause = new Pause();
        Thread[] threads = [.. Enumerable.Range(0, Threads).Select(i =>
            new Thread(() => Churn(group.CreateMember($"m{i}"), pause)) { IsBackground = true })];
        Array.ForEach(threads, static thread => thread.Start());

        int accepted = 0;
        int stops = 0;
        while (pause.Rounds < Rounds)
        {
            // Refused while more than one byte is out.
            if (await group.TrySetMaxAsync(U + 1) && ++accepted % 500 == 1)
            {
                pause.WhileAllStandStill(() => Assert.True(
                    group.Usage <= group.Max, $"{group.Usage} bytes after Max was set to {group.Max}"));
                stops++;
            }

            group.Max = U + Threads;
        }

        pause.End();
        Assert.All(threads, static thread => Assert.True(thread.Join(Watchdog), "a thread hangs"));
        Assert.True(accepted > 100 && stops > 0, $"only {accepted} lowerings were accepted");
        Assert.Equal(U, group.Usage);
        Assert.True(group.PeakUsage <= U + Threads, $"peak {group.PeakUsage}");
        Assert.Equal(0, world.Root.BooksErrorCount);
    }

    private static void Churn(MemoryMember member, Pause pause)
    {
        bool goOn = true;
        for (int round = 1; goOn; round++)
        {
            bool granted = member.TryCharge(1);
            goOn = pause.Point();
            if (granted)
            {
                member.Uncharge(1);
            }

            // Mostly switched here, where it holds nothing: else hardly any lowering would be accepted.
            if (round % 64 == 0)
            {
                Thread.Yield();
            }

            if (round % 1000 == 0)
            {
                pause.AddRounds(1000);
            }
        }
    }

    // Stops all threads at a point where each holds what it was granted.
    private sealed class Pause : IDisposable
    {
        private readonly Barrier _barrier = new(Threads + 1);
        private bool _stopping;
        private bool _ended;
        private long _rounds;

        public long Rounds => Interlocked.Read(ref _rounds);

        public void AddRounds(long rounds) => Interlocked.Add(ref _rounds, rounds);

        // False at the end.
        public bool Point()
        {
            if (Volatile.Read(ref _stopping))
            {
                // Here everybody stands still, until the second meeting.
                _barrier.SignalAndWait(Watchdog);
                _barrier.SignalAndWait(Watchdog);
            }

            return !Volatile.Read(ref _ended);
        }

        public void WhileAllStandStill(Action check)
        {
            Volatile.Write(ref _stopping, true);
            Assert.True(_barrier.SignalAndWait(Watchdog), "a thread hangs");
            try
            {
                check();
            }
            finally
            {
                Volatile.Write(ref _stopping, false);
                _barrier.SignalAndWait(Watchdog);
            }
        }

        public void End() => Volatile.Write(ref _ended, true);

        public void Dispose() => _barrier.Dispose();
    }
}
