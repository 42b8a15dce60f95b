// The charged cache against MemoryCache with a size limit: what a hit costs, requests per second on a Zipf trace, and
// how many of them are hits, at the same bytes.
//
// Both get the same string keys, the same values, and room for a tenth (or a hundredth) of the objects by declared
// size. MemoryCache does not charge its entries' overhead, so ours declares as much less. Ours pays for its group's
// books in every figure. MemoryCache at its limit drops what is offered and compacts on the thread pool, and whoever
// uses it pays for that as well: so requests are counted by the CPU time of the whole process. The control shows that
// work on the pool is seen.
namespace MemoryGroups.Benchmarks;

internal static class CacheCases
{
    private const string Area = "cache";
    private const int Objects = CacheBench.Objects;

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "cache hits", static effort => Hits(effort)),
        new PairedScene(Area, "cache zipf 10%", static effort => Zipf(effort, Objects / 10, "10 %")),
        new PairedScene(Area, "cache zipf 1%", static effort => Zipf(effort, Objects / 100, "1 %")),
        new Trial(Area, "cache hit rate", static effort => HitRates(effort)),
    ];

    private static PairedSet Hits(Effort effort)
    {
        var scene = new CacheBench(effort, Objects);
        foreach (string key in scene.Keys)
        {
            scene.Ours().Set(key);
            scene.Theirs().Set(key);
        }

        return new PairedSet
        {
            Cases =
            [
                scene.Case("ours 1", 1, scene.Ours()),
                scene.Case("theirs 1", 1, scene.Theirs()),
                scene.Case("ours 2", 2, scene.Ours()),
                scene.Case("theirs 2", 2, scene.Theirs()),
            ],
            Goals =
            [
                Goal.AtMost("hit / hit of MemoryCache, 1 thread", 1, static at => at.Ratio("ours 1", "theirs 1")),
                Goal.AtMost("hit / hit of MemoryCache, 2 threads", 1, static at => at.Ratio("ours 2", "theirs 2")),
                Goal.AtMost("allocated by a hit", 0, static at => at.Bytes("ours 1"), "B"),
                Goal.Shown("one hit, 100,000 keys by Zipf", static at => at.Nanos("ours 1"), "ns"),
            ],
            Owned = [scene],
        };
    }

    private static PairedSet Zipf(Effort effort, int entries, string share)
    {
        var scene = new CacheBench(effort, entries);
        return new PairedSet
        {
            Cases =
            [
                scene.WholeCase("ours 1", 1, scene.Ours()),
                scene.WholeCase("theirs 1", 1, scene.Theirs()),
                scene.WholeCase("ours 2", 2, scene.Ours()),
                scene.WholeCase("theirs 2", 2, scene.Theirs()),
                scene.WholeCase("pool 1", 1, new WorkOnThePool(scene.Ours(), scene.Keys)),
            ],
            Goals =
            [
                .. Requests(share, 1),
                .. Requests(share, 2),
                Goal.Shown("misses meanwhile, ours", static at => Misses(at, "ours 1"), "%"),
                Goal.Shown("misses meanwhile, MemoryCache", static at => Misses(at, "theirs 1"), "%"),
            ],
            Check = scene.Check,
            Owned = [scene],
        };
    }

    private static IEnumerable<Goal> Requests(string share, int threads)
    {
        string counted = Patterns.Counted(threads);
        return
        [
            Goal.AtLeast($"requests for CPU time, {share} / MemoryCache, {counted}", 1, at =>
                at.Ratio($"theirs {threads}", $"ours {threads}")) with
            {
                // One thread's only: with two, work on the pool keeps them out of each other's way.
                Control = threads > 1 ? null : new Control("ours with work on the pool / ours", static at =>
                    at.Ratio("ours 1", "pool 1"), Bound.AtMost(0.8)),
            },
            Goal.Shown($"requests by the clock, {share} / MemoryCache, {counted}", at =>
                at.Rate($"ours {threads}") / at.Rate($"theirs {threads}")),
        ];
    }

    private static double Misses(Round round, string name) => 100.0 * round.Refused(name) / round.Operations(name);

    private static IEnumerable<Row> HitRates(Effort effort)
    {
        foreach ((int entries, string share) in new[] { (Objects / 100, "1 %"), (Objects / 10, "10 %") })
        {
            using var scene = new CacheBench(effort, entries);
            int requests = effort.Smoke ? Objects : 2_000_000;
            double ours = 1 - ((double)scene.Run(scene.Ours(), requests) / requests);
            double theirs = 1 - ((double)scene.Run(scene.Theirs(), requests) / requests);
            yield return Row.Single(
                Area, $"hits, room for {share} of the objects", Bound.AtLeast(100 * theirs), "%", 100 * ours);
        }
    }
}
