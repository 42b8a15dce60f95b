// What watching costs those who charge: nothing while nobody watches, and nothing again when those who did are gone.
//
// Every kind of registration is made at each level above the member, and taken back in one of the two trees. The
// sizes are log-uniform up to 64 KiB, so that stock runs out and walks, which look at thresholds, are in the figure.
namespace MemoryGroups.Benchmarks;

internal static class WatchCases
{
    private const string Area = "watching";

    internal static IEnumerable<Scene> Scenes => [new PairedScene(Area, "registrations", static _ => Watched())];

    private static PairedSet Watched()
    {
        var alone = new Tree(3);
        var left = new Tree(3);
        var watched = new Tree(3);
        foreach (IDisposable registration in RegisterEverywhere(left))
        {
            registration.Dispose();
        }

        return new PairedSet
        {
            Cases =
            [
                Patterns.Mix("alone", 1, _ => alone.Member()),
                Patterns.Mix("left", 1, _ => left.Member()),
                Patterns.Mix("watched", 1, _ => watched.Member()),
            ],
            Goals =
            [
                Goal.AtMost("mixed charges where watchers have left / where none ever was", 1.01, static at =>
                    at.Ratio("left", "alone")),
                Goal.Shown("mixed charges where all is watched, at every level / none", static at =>
                    at.Ratio("watched", "alone")),
            ],
            Owned = [alone, left, watched, .. RegisterEverywhere(watched)],
        };
    }

    private static List<IDisposable> RegisterEverywhere(Tree tree)
    {
        var signal = new MemorySignal();
        var registrations = new List<IDisposable>();
        for (MemoryGroup? at = tree.Leaf; at is not null; at = at.Parent)
        {
            registrations.Add(at.Oom.Register(signal));
            registrations.Add(at.Pressure.Register(PressureLevel.Low, signal));
            registrations.Add(at.Thresholds.Register(1L << 30, signal));
            registrations.Add(at.OpenPeak());
        }

        return registrations;
    }
}
