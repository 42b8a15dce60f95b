// What a phase tells between two lines: words are bounded, kills never lost.

namespace MemoryGroups.Cli.Tests;

public sealed class PhaseJournalTests
{
    private static readonly DemoQuery Query = new(QueryKind.BigSort, "SELECT 1", []);

    [Fact]
    public void News_are_taken_once()
    {
        var journal = new PhaseJournal(TimeProvider.System);
        journal.Tell("one");

        Assert.EndsWith(" s  one", Assert.Single(journal.Take().Events), StringComparison.Ordinal);
        Assert.Empty(journal.Take().Events);
    }

    [Fact]
    public void Too_many_events_drop_the_oldest_and_say_how_many()
    {
        var journal = new PhaseJournal(TimeProvider.System);
        for (int n = 1; n <= 25; n++) journal.Tell($"event {n}");

        IReadOnlyList<string> events = journal.Take().Events;

        Assert.Equal("(5 earlier events are not shown)", events[0]);
        Assert.EndsWith("event 6", events[1], StringComparison.Ordinal);
        Assert.EndsWith("event 25", events[^1], StringComparison.Ordinal);
        Assert.DoesNotContain(journal.Take().Events, e => e.Contains("earlier", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Kills_are_all_kept_with_their_reason_and_the_first_report_stays()
    {
        var journal = new PhaseJournal(TimeProvider.System);
        using var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 1L << 20 });
        for (int n = 0; n < 30; n++)
        {
            using MemoryMember greedy = root.CreateMember("greedy");
            using MemoryMember polite = root.CreateMember("polite");
            using CancellationTokenRegistration exit = greedy.Killed.Register(greedy.Dispose);
            greedy.Charge(1_000_000);
            await polite.ChargeAsync(100_000, cancellationToken: TestContext.Current.CancellationToken);
            journal.Killed(greedy.KillReport!);
        }

        IReadOnlyList<KillRow> kills = journal.Take().Kills;

        Assert.Equal(30, kills.Count);
        Assert.All(kills, kill =>
        {
            Assert.Equal("root/greedy", kill.Victim);
            Assert.Equal("root/polite", kill.Asker);
            Assert.NotEqual(string.Empty, kill.Reason);
        });
        Assert.Equal(1, journal.FirstReport!.Number);
    }

    [Fact]
    public void Refusal_names_the_full_group_or_the_engine()
    {
        var journal = new PhaseJournal(TimeProvider.System);
        using var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = 1_000, MinWatermarkBytes = 0 });
        using MemoryMember member = root.CreateMember("member");
        var refusal = Assert.Throws<MemoryLimitExceededException>(() => member.Charge(2_000));

        journal.Refused("greedy", Query, refusal);
        journal.Refused("greedy", Query, new InvalidOperationException("out of memory"));

        IReadOnlyList<string> events = journal.Take().Events;
        Assert.EndsWith("refused greedy's BigSort: root is full", events[0], StringComparison.Ordinal);
        Assert.EndsWith("refused greedy's BigSort: the engine is out of memory", events[1], StringComparison.Ordinal);
    }
}
