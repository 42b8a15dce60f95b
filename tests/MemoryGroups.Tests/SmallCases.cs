// The cases that are enumerated: three actors, one or two groups, and one thing that happens to them.
//
// Each is small enough for every order of its first twelve choices; what makes it interesting is in its name.
namespace MemoryGroups.Tests;

internal static class SmallCases
{
    private static readonly Dictionary<string, Action<ScheduledCase>> All = new()
    {
        ["two chargers, a hog is killed"] = static scheduled =>
        {
            MemoryGroup group = scheduled.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
            Hog(scheduled, group, 900);
            Charger(scheduled, group, 200);
            Charger(scheduled, group, 200);
        },
    };

    public static IEnumerable<string> Names => All.Keys;

    public static void Run(string name, Scheduler scheduler, Chooser chooser)
    {
        using var scheduled = new ScheduledCase(scheduler, chooser);
        All[name](scheduled);
        scheduled.Run();
    }

    private static MemoryMember Hog(ScheduledCase scheduled, MemoryGroup group, long bytes)
    {
        MemoryMember hog = scheduled.Obedient(group, "hog");
        Assert.True(hog.TryCharge(bytes));
        return hog;
    }

    private static MemoryMember Charger(ScheduledCase scheduled, MemoryGroup group, long bytes)
    {
        MemoryMember member = scheduled.Obedient(group, "charger");
        scheduled.ChargeAndReturn(member, bytes);
        return member;
    }
}
