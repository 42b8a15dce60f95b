// What metering costs a flow: an await in a member's scope against one outside of every scope.
//
// An await here gives the thread back to the pool and is resumed by it: the pool's thread takes up the flow and leaves
// it again, and is told of both. An AsyncLocal that nobody listens to is measured beside it: what the runtime asks for
// the value itself. Charging is measured in and out of a scope, because it must not be able to tell.
namespace MemoryGroups.Benchmarks;

internal static class MeterCases
{
    private const string Area = "metering";
    private const int Bytes = 100;
    private const int Blocks = 21;

    private static readonly AsyncLocal<object?> Unheard = new();

    internal static IEnumerable<Scene> Scenes =>
    [
        new PairedScene(Area, "awaits and charges", static effort => AwaitsAndCharges(effort.Smoke ? 10 : 2000)),
    ];

    private static PairedSet AwaitsAndCharges(int times)
    {
        var tree = new Tree(3);
        MemoryMember member = tree.Leaf.CreateMember("metered");
        return new PairedSet
        {
            Cases =
            [
                new OwnCase("none", () => NanosPerYield(times, static () => null)),
                new OwnCase("unheard", () => NanosPerYield(times, static () =>
                {
                    Unheard.Value = Unheard;
                    return null;
                })),
                new OwnCase("metered", () => NanosPerYield(times, member.Enter)),
                new OwnCase("enter", () => NanosPerEnter(times, member)),
                new OwnCase("charge", () => NanosPerCharge(times, member, static () => null)),
                new OwnCase("charge, metered", () => NanosPerCharge(times, member, member.Enter)),
            ],
            Goals =
            [
                Goal.AtMost("an await in a scope over one in none", 30, static at =>
                    at.Nanos("metered") - at.Nanos("none"), "ns"),
                Goal.Shown("of that, an AsyncLocal that nobody hears of", static at =>
                    at.Nanos("unheard") - at.Nanos("none"), "ns"),
                Goal.Shown("an await in no scope", static at => at.Nanos("none"), "ns"),
                Goal.Shown("entering and leaving a scope", static at => at.Nanos("enter"), "ns"),
                Goal.AtMost("a charge in a scope / outside", 1.05, static at => at.Ratio("charge, metered", "charge")),
            ],
            Owned = [tree],
        };
    }

    private static double NanosPerYield(int times, Func<IDisposable?> enter) =>
        Task.Run(() => YieldAsync(times, enter)).GetAwaiter().GetResult();

    private static async Task<double> YieldAsync(int times, Func<IDisposable?> enter)
    {
        using IDisposable? scope = enter();
        await Task.Yield();
        var nanos = new double[Blocks];
        for (int block = 0; block < Blocks; block++)
        {
            long start = TimeProvider.System.GetTimestamp();
            for (int i = 0; i < times; i++)
            {
                await Task.Yield();
            }

            nanos[block] = TimeProvider.System.GetElapsedTime(start).TotalNanoseconds / times;
        }

        return Figures.Median([.. nanos.Order()]);
    }

    private static double NanosPerEnter(int times, MemoryMember member) => MedianOfBlocks(times, () =>
    {
        for (int i = 0; i < times; i++)
        {
            member.Enter().Dispose();
        }
    });

    private static double NanosPerCharge(int times, MemoryMember member, Func<IDisposable?> enter)
    {
        using IDisposable? scope = enter();
        return MedianOfBlocks(times, () =>
        {
            for (int i = 0; i < times; i++)
            {
                member.TryCharge(Bytes);
                member.Uncharge(Bytes);
            }
        });
    }

    // A block that lost its core is far from the median.
    private static double MedianOfBlocks(int times, Action block)
    {
        var nanos = new double[Blocks];
        for (int i = 0; i < Blocks; i++)
        {
            long start = TimeProvider.System.GetTimestamp();
            block();
            nanos[i] = TimeProvider.System.GetElapsedTime(start).TotalNanoseconds / times;
        }

        return Figures.Median([.. nanos.Order()]);
    }
}
