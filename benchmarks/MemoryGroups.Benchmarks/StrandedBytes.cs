// How much lies in stocks: charged to groups, used by nobody. 10,000 members in 100 groups, idle ones and busy ones.
//
// An idle member charged once and holds it; a busy one has charged and returned a thousand times just now. What is
// stranded is the usage of the groups minus what the members say they use. The bound is the issue's: an eighth of the
// usage, and for each group a batch for each CPU.
namespace MemoryGroups.Benchmarks;

internal static class StrandedBytes
{
    private const string Area = "stranded bytes";
    private const int Groups = 100;
    private const int MembersPerGroup = 100;

    // What the library documents as its largest batch.
    private const long Batch = 256 * 1024;

    internal static IEnumerable<Scene> Scenes => [new Trial(Area, "idle and busy", static effort => Measure(effort))];

    private static IEnumerable<Row> Measure(Effort effort)
    {
        foreach ((string name, int pairs) in ((string, int)[])[("idle", 0), ("busy", effort.Smoke ? 10 : 1000)])
        {
            using var tree = new Tree(2);
            MemoryMember[] members = [.. Enumerable.Range(0, Groups).SelectMany(_ =>
            {
                MemoryGroup group = tree.SiblingGroup();
                return Enumerable.Range(0, MembersPerGroup).Select(i => group.CreateMember($"m{i}"));
            })];
            Parallel.For(0, Groups, i =>
                Work(members.AsSpan(i * MembersPerGroup, MembersPerGroup), pairs, effort.Seed + i));
            long used = members.Sum(static member => member.Usage);
            long stranded = tree.Root.Usage - used;
            double allowed = (0.125 * used) + (Batch * Environment.ProcessorCount * (double)Groups);
            string what = $"10,000 {name} members: ";
            double share = 100.0 * stranded / used;
            yield return Row.Single(Area, what + "stranded, of what may be", Bound.AtMost(1), "x", stranded / allowed);
            yield return Row.Single(Area, what + "stranded, of what is in use", Bound.None, "%", share);
            yield return Row.Single(Area, what + "in use", Bound.None, "MiB", used / (1024.0 * 1024));
        }
    }

    private static void Work(ReadOnlySpan<MemoryMember> members, int pairs, int seed)
    {
        var random = new Random(seed);
        foreach (MemoryMember member in members)
        {
            member.Charge(random.Next(64, 256 * 1024));
            for (int i = 0; i < pairs; i++)
            {
                long bytes = (long)Math.Pow(2, 6 + (10 * random.NextDouble()));
                member.Charge(bytes);
                member.Uncharge(bytes);
            }
        }
    }
}
