// Against the other designs, each written from its published description as one charger; depth 3, pairs of 4 KiB.
//
// What several threads may share is held against members; what one owner keeps for itself (an account, a reservation, a
// thread's buffer) against an account. Two of them have no tree and are given depth 1 for their price.
namespace MemoryGroups.Benchmarks;

internal static class PeerCases
{
    private const string Area = "against peers";

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "1 thread", static _ => Against(1)),
        new PairedScene(Area, "2 threads", static _ => Against(2)),
    ];

    private static PairedSet Against(int threads)
    {
        var tree = new Tree(3);
        CounterNode node = CounterNode.Chain(3);
        var stocks = new KernelStock.Machine();
        var fair = new FairPool.State(Tree.Plenty, threads);
        CounterNode greedy = CounterNode.Chain(1);
        ByteAccount.Monitor monitor = ByteAccount.Monitor.Chain(2);
        Func<int, AccountCharger> account = _ => tree.Account();
        List<Case> cases =
        [
            Patterns.Pair("member", threads, _ => tree.Member()),
            Patterns.Walk("member walk", threads, _ => tree.Member()),
            Patterns.Pair("account", threads, account),
            Patterns.Walk("account walk", threads, account),
        ];
        var goals = new List<Goal>();
        Add("kernel: per-CPU stock, 7 slots", "member", _ => new KernelStock(stocks, node));
        Add("compare-and-swap walk", "member", _ => new SwapWalk(node));
        Add("a lock per node", "member", _ => new LockPerNode(node));
        Add("Velox: quantized pool", "member", _ => new QuantizedPool(node));
        Add("DataFusion: greedy pool, depth 1", "account", _ => new GreedyPool(greedy));
        Add("DataFusion: fair pool, depth 1", "account", _ => new FairPool(fair));
        Add("CockroachDB: account on a monitor", "account", _ => new ByteAccount(monitor));
        Add("ClickHouse: thread buffer, posted late", "account", _ => new ThreadBuffer(node));
        return new PairedSet { Cases = cases, Goals = goals, Owned = [tree] };

        void Add<TPeer>(string name, string ours, Func<int, TPeer> peer)
            where TPeer : struct, ICharger
        {
            cases.Add(Patterns.Pair(name, threads, peer));
            cases.Add(Patterns.Walk(name + " walk", threads, peer));
            goals.Add(Goal.AtLeast($"{name} / {ours}, pair, T{threads}", 1, at => at.Ratio(name, ours)));
            goals.Add(Goal.AtLeast($"{name} / {ours}, walk, T{threads}", 1, at =>
                at.Ratio(name + " walk", ours + " walk")));
        }
    }
}
