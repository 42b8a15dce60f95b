// An OOM from the refused charge to the kill that was sent, and choosing a victim among very many.
//
// The OOM lock itself is internal; what is measured is the whole way through the public door, which contains it: a
// charge that is refused, queued, marked, wins the lock, chooses among the members and kills. Its baseline is what such
// a choice costs when every member is asked: a walk over as many objects, in the order of the heap.
namespace MemoryGroups.Benchmarks;

internal static class OomCases
{
    private const string Area = "OOM";
    private const int Bytes = 100;

    internal static IEnumerable<Scene> Scenes =>
    [
        new Trial(Area, "episode", static effort => Episode(effort)),
        new Trial(Area, "victim", static effort => Victim(effort)),
    ];

    // From the call that is refused to the moment at which the victim's token is seen cancelled.
    private static IEnumerable<Row> Episode(Effort effort)
    {
        int members = effort.Smoke ? 100 : 10_000;
        int episodes = effort.Smoke ? 2 : 60;
        using var root = new MemoryRoot();
        MemoryGroup group = root.CreateGroup("full", new MemoryGroupOptions
        {
            Max = (long)members * Bytes,
            BatchBytes = 1,
        });
        for (int i = 0; i < members; i++)
        {
            group.CreateMember($"m{i}").Charge(Bytes / 2);
        }

        MemoryMember asker = group.CreateMember("asker");
        var micros = new List<double>();
        for (int i = 0; i < episodes; i++)
        {
            MemoryMember hog = group.CreateMember("hog");
            hog.Charge(group.Max - group.Usage);
            long killedAt = 0;
            using CancellationTokenRegistration seen =
                hog.Killed.Register(() => Volatile.Write(ref killedAt, TimeProvider.System.GetTimestamp()));
            long start = TimeProvider.System.GetTimestamp();
            ValueTask asking = asker.ChargeAsync(Bytes);
            SpinWait.SpinUntil(() => Volatile.Read(ref killedAt) != 0);
            micros.Add(TimeProvider.System.GetElapsedTime(start, killedAt).TotalMicroseconds);
            hog.Dispose();
            asking.AsTask().GetAwaiter().GetResult();
            asker.Uncharge(Bytes);
        }

        micros.Sort();
        string what = $"refused to kill seen, {members:N0} members, p50";
        yield return Row.Single(Area, what, Bound.AtMost(50), "us", micros[micros.Count / 2]);
        yield return Row.Single(Area, "the same, p99", Bound.None, "us", micros[micros.Count * 99 / 100]);
    }

    // The killer's choice over the whole root, by an administrator's kill, against a look at every member.
    private static IEnumerable<Row> Victim(Effort effort)
    {
        int members = effort.Smoke ? 1000 : 1_000_000;
        int kills = effort.Smoke ? 2 : 15;
        using var root = new MemoryRoot();
        MemoryGroup[] groups = [.. Enumerable.Range(0, 100).Select(i => root.CreateGroup($"g{i}"))];
        var random = new Random(effort.Seed);
        long wrong = 0;
        var all = new MemoryMember[members];
        for (int i = 0; i < members; i++)
        {
            all[i] = groups[random.Next(groups.Length)].CreateMember("m");
            all[i].Charge(64 + i);
        }

        var walk = new List<double>();
        var cold = new List<double>();
        var choice = new List<double>();
        var kill = new List<double>();
        for (int i = 0; i < kills; i++)
        {
            long start = TimeProvider.System.GetTimestamp();
            MemoryMember largest = all.Where(static member => !member.IsKilled).MaxBy(static member => member.Usage)!;
            walk.Add(TimeProvider.System.GetElapsedTime(start).TotalMicroseconds);
            foreach (List<double> choices in (List<double>[])[cold, choice])
            {
                start = TimeProvider.System.GetTimestamp();
                wrong += VictimSearch.Worst(root, root.Usage)?.Member == largest ? 0 : 1;
                choices.Add(TimeProvider.System.GetElapsedTime(start).TotalMicroseconds);
            }

            kill.Add(MicrosToKill(root, largest));
        }

        string size = $"{members:N0} members: ";
        yield return Row.Single(Area, size + "the choice, p50", Bound.AtMost(300), "us", Median(choice));
        yield return Row.Single(Area, size + "the same, bounds not in the cache", Bound.None, "us", Median(cold));
        yield return Row.Exact(Area, size + "chosen somebody else than the largest", wrong);
        yield return Row.Single(Area, size + "asked to kill seen, p50", Bound.None, "us", Median(kill));
        yield return Row.Single(
            Area, size + "the same / a walk over all", Bound.AtMost(0.1), "x", Median(kill) / Median(walk));
        yield return Row.Single(Area, size + "a walk over all, p50", Bound.None, "us", Median(walk));
    }

    private static double MicrosToKill(MemoryRoot root, MemoryMember expected)
    {
        long killedAt = 0;
        using CancellationTokenRegistration seen =
            expected.Killed.Register(() => Volatile.Write(ref killedAt, TimeProvider.System.GetTimestamp()));
        long start = TimeProvider.System.GetTimestamp();
        GC.KeepAlive(root.OomKiller.KillNowAsync().AsTask().GetAwaiter().GetResult());
        SpinWait.SpinUntil(() => Volatile.Read(ref killedAt) != 0);
        return TimeProvider.System.GetElapsedTime(start, killedAt).TotalMicroseconds;
    }

    private static double Median(List<double> micros)
    {
        micros.Sort();
        return micros[micros.Count / 2];
    }
}
