// The short uncontended cases once more, under BenchmarkDotNet: a second opinion on the harness of our own.
//
// In process: what is measured is a few nanoseconds long and allocates nothing, and a project generated for each case
// would have to be restored and built. BenchmarkDotNet wants an open public class with public methods.
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace MemoryGroups.Benchmarks;

[MemoryDiagnoser]
public class UncontendedBenchmarks
{
    private readonly AtomicCharger _unit = new();
    private readonly KernelWalk _naive = new(CounterNode.Chain(3));
    private MemoryMember _member = null!;
    private MemoryAccount _account = null!;
    private MemoryCharge _lease = null!;

    [GlobalSetup]
    public void Open()
    {
        var tree = new Tree(3);
        _member = tree.Leaf.CreateMember("member");
        _account = tree.Leaf.CreateMember("account").OpenAccount();
        _lease = tree.Leaf.CreateMember("lease").Lease(64 * 1024);
    }

    [Benchmark(Baseline = true, Description = "L: an interlocked pair")]
    public void Unit()
    {
        _unit.TryCharge(4096);
        _unit.Uncharge(4096);
    }

    [Benchmark(Description = "member pair, depth 3")]
    public void Member()
    {
        _member.TryCharge(4096);
        _member.Uncharge(4096);
    }

    [Benchmark(Description = "account pair, depth 3")]
    public void Account()
    {
        _account.TryGrow(4096);
        _account.Shrink(4096);
    }

    [Benchmark(Description = "lease grow and shrink, depth 3")]
    public void Grow()
    {
        _lease.TryGrow(4096);
        _lease.Shrink(4096);
    }

    [Benchmark(Description = "lease create and dispose, depth 3")]
    public void Lease() => _member.Lease(4096).Dispose();

    [Benchmark(Description = "naive walk, depth 3")]
    public void Naive()
    {
        _naive.TryCharge(4096);
        _naive.Uncharge(4096);
    }

    internal static int Run(string[] arguments)
    {
        IConfig config = DefaultConfig.Instance.AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance));
        return BenchmarkRunner.Run<UncontendedBenchmarks>(config, arguments).HasCriticalValidationErrors ? 1 : 0;
    }
}
