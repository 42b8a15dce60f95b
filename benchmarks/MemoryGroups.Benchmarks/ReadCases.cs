// Reading usage: what a read costs, and what somebody who reads all the time costs those who charge.
//
// The second core runs the reader; only the charging thread is measured. Its baseline has the second core busy with
// something of its own, so that what is compared is the reading and not the load.
namespace MemoryGroups.Benchmarks;

internal static class ReadCases
{
    private const string Area = "reading usage";

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "read and poll", static _ => ReadAndPoll()),
    ];

    private static PairedSet ReadAndPoll()
    {
        var tree = new Tree(3);
        MemberCharger ours = tree.Member();
        CounterNode node = CounterNode.Chain(3);
        var naive = new KernelWalk(node);
        CounterNode top = node.Parent!.Parent!;
        var elsewhere = new CounterNode(null, 0);
        return new PairedSet
        {
            Cases =
            [
                new LoopCase("read", 1, _ => n => Read(tree.Root, n)),
                new LoopCase("read member", 1, _ => n => ReadMember(tree.Leaf.Members[0], n)),
                Beside("ours alone", ours, n => Read(elsewhere, n)),
                Beside("ours polled", ours, n => Read(tree.Root, n)),
                Beside("naive alone", naive, n => Read(elsewhere, n)),
                Beside("naive polled", naive, n => Read(top, n)),
            ],
            Goals =
            [
                Goal.AtMost("one read of a group's usage", 2, static at => at.Nanos("read"), "ns"),
                Goal.Shown("one read of a member's usage", static at => at.Nanos("read member"), "ns"),
                Goal.AtMost("a charger while the root's usage is polled / alone", 1.05, static at =>
                    at.Ratio("ours polled", "ours alone")) with
                {
                    Control = new Control("the naive walk while its root is polled / alone", static at =>
                        at.Ratio("naive polled", "naive alone"), Bound.AtLeast(1.5)),
                },
            ],
            Owned = [tree],
        };
    }

    private static LoopCase Beside<TCharger>(string name, TCharger charger, Chunk other)
        where TCharger : struct, ICharger =>
        new(name, 2, thread => thread == 0 ? n => Loops.Pair(charger, Patterns.Page, n) : other, counted: 1);

    private static long Read(MemoryGroup group, int operations)
    {
        long sum = 0;
        for (int i = 0; i < operations; i++)
        {
            sum |= group.Usage;
        }

        return Math.Min(0, sum);
    }

    private static long ReadMember(MemoryMember member, int operations)
    {
        long sum = 0;
        for (int i = 0; i < operations; i++)
        {
            sum |= member.Usage;
        }

        return Math.Min(0, sum);
    }

    private static long Read(CounterNode node, int operations)
    {
        long sum = 0;
        for (int i = 0; i < operations; i++)
        {
            sum |= Volatile.Read(ref node.Usage);
        }

        return Math.Min(0, sum);
    }
}
