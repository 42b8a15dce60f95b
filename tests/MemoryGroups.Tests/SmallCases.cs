// The cases that are enumerated: three actors, one or two groups, and one thing that happens to them.
//
// Each is small enough for every order of its first twelve choices, and each is also run in random orders to its end.
// What makes it interesting is in its name. A hog that is killed exits on the work item that tells it.
namespace MemoryGroups.Tests;

internal static class SmallCases
{
    private static readonly (string Name, Action<ScheduledCase> Build)[] All =
    [
        ("a hog is killed for two chargers", static scheduled =>
        {
            MemoryGroup group = Group(scheduled, 1000);
            Hog(scheduled, group, 900);
            Charger(scheduled, group, 200);
            Charger(scheduled, group, 300);
        }),
        ("one of two chargers does not fit even then", static scheduled =>
        {
            MemoryGroup group = Group(scheduled, 1000);
            Hog(scheduled, group, 500);
            Charger(scheduled, group, 600);
            Charger(scheduled, group, 700);
        }),
        ("a hog exits by itself", static scheduled =>
        {
            MemoryGroup group = Group(scheduled, 1000, killDisabled: true);
            MemoryMember hog = Hog(scheduled, group, 900);
            Charger(scheduled, group, 200);
            Charger(scheduled, group, 300);
            scheduled.Actor(hog.Dispose);
        }),
        ("a hog returns just enough for one", static scheduled =>
        {
            MemoryGroup group = Group(scheduled, 1000, killDisabled: true);
            MemoryMember hog = Hog(scheduled, group, 900);
            Charger(scheduled, group, 300);
            Charger(scheduled, group, 400);
            scheduled.Actor(() => hog.Uncharge(300));
        }),
        ("parent and child are full at once", static scheduled =>
        {
            MemoryGroup parent = Group(scheduled, 1000);
            MemoryGroup child = parent.CreateGroup("child", new MemoryGroupOptions { Max = 700 });
            Hog(scheduled, child, 600);
            Charger(scheduled, parent, 500);
            Charger(scheduled, child, 300);
        }),
        ("siblings below a full parent", static scheduled =>
        {
            MemoryGroup parent = Group(scheduled, 1000);
            MemoryGroup other = parent.CreateGroup("other", new MemoryGroupOptions { Max = 700 });
            Hog(scheduled, other, 600);
            Charger(scheduled, parent.CreateGroup("one", new MemoryGroupOptions { Max = 700 }), 500);
            Charger(scheduled, other, 300);
        }),
        ("one of two waiters is cancelled", static scheduled =>
        {
            MemoryGroup group = Group(scheduled, 1000, killDisabled: true);
            MemoryMember hog = Hog(scheduled, group, 900);
            var cancel = new CancellationTokenSource();
            scheduled.ChargeAndReturn(scheduled.Obedient(group, "cancelled"), 200, cancel: cancel.Token);
            Charger(scheduled, group, 300);
            scheduled.Actor(cancel.Cancel);
            scheduled.Actor(() => hog.Uncharge(300));
        }),
        ("one of two waiters is killed", static scheduled =>
        {
            MemoryGroup group = Group(scheduled, 1000, killDisabled: true);
            MemoryMember hog = Hog(scheduled, group, 900);
            MemoryMember first = group.CreateMember("killed");
            scheduled.ChargeAndReturn(first, 200);
            Charger(scheduled, group, 300);
            scheduled.Actor(() => first.Kill("by hand"));
            scheduled.Actor(() => hog.Uncharge(300));
        }),
        ("a limit is raised", static scheduled =>
        {
            MemoryGroup parent = Group(scheduled, 1000, killDisabled: true);
            MemoryGroup child = parent.CreateGroup("child", new MemoryGroupOptions { Max = 2000 });
            Hog(scheduled, child, 900);
            Charger(scheduled, parent, 200);
            Charger(scheduled, child, 300);
            scheduled.Actor(() => parent.Max = 1500);
        }),
        ("a disabled killer is enabled", static scheduled =>
        {
            MemoryGroup group = Group(scheduled, 1000, killDisabled: true);
            Hog(scheduled, group, 900);
            Charger(scheduled, group, 200);
            Charger(scheduled, group, 300);
            scheduled.Actor(() => group.Oom.KillDisabled = false);
        }),
        ("the root's killer is disabled and enabled", static scheduled =>
        {
            scheduled.MayTimeOut = true;
            MemoryGroup group = Group(scheduled, 1000);
            Hog(scheduled, group, 900);
            Charger(scheduled, group, 200);
            Charger(scheduled, group, 300);
            scheduled.Async(async () =>
            {
                await scheduled.Root.OomKiller.DisableAsync(TimeSpan.FromSeconds(20)).ConfigureAwait(false);
                scheduled.GiveWay();
                scheduled.Root.OomKiller.Enable();
            });
        }),
        ("somebody registers during an OOM", static scheduled =>
        {
            MemoryGroup group = Group(scheduled, 1000, killDisabled: true);
            Hog(scheduled, group, 900);
            Charger(scheduled, group, 200);
            Charger(scheduled, group, 300);
            scheduled.Actor(() => scheduled.Register(group));
        }),
        ("a victim goes late, and another could die", static scheduled =>
        {
            MemoryGroup group = Group(scheduled, 1000);
            Hog(scheduled, group, 600);
            Hog(scheduled, group, 300);
            Charger(scheduled, group, 300);
            Charger(scheduled, group, 400);
        }),
        ("a victim does not go and is hidden", static scheduled =>
        {
            scheduled.EarlyTicks = 3;
            scheduled.MayTimeOut = true;
            MemoryGroup group = Group(scheduled, 1000);
            MemoryMember stuck = group.CreateMember("stuck");
            Assert.True(stuck.TryCharge(600));
            Hog(scheduled, group, 300);
            Charger(scheduled, group, 200);
            Charger(scheduled, group, 300);
        }),
        ("a group is closed above its waiters", static scheduled =>
        {
            MemoryGroup parent = Group(scheduled, 1000, killDisabled: true);
            MemoryGroup child = parent.CreateGroup("child");
            Hog(scheduled, child, 900);
            Charger(scheduled, parent, 200);
            Charger(scheduled, child, 300);
            scheduled.Actor(child.Dispose);
        }),
        ("the whole root is full", static scheduled =>
        {
            scheduled.Root.Capacity = 1000;
            MemoryGroup group = Group(scheduled, long.MaxValue);
            Hog(scheduled, group, 900);
            Charger(scheduled, scheduled.Root, 200);
            Charger(scheduled, group, 300);
        }),
    ];

    public static IEnumerable<string> Names => All.Select(static one => one.Name);

    public static int Count => All.Length;

    // Where nothing happens besides the chargers, twelve choices are thousands of orders, not hundreds of thousands.
    public static bool IsNarrow(string name) => Array.FindIndex(All, one => one.Name == name) is 0 or 1 or 4 or 5;

    public static void Run(string name, Scheduler scheduler, Chooser chooser) =>
        Run(Array.FindIndex(All, one => one.Name == name), scheduler, chooser);

    public static void Run(int index, Scheduler scheduler, Chooser chooser)
    {
        using var scheduled = new ScheduledCase(scheduler, chooser);
        All[index].Build(scheduled);
        scheduled.Run();
    }

    // Who sleeps with the killer disabled may do so up to its deadline.
    private static MemoryGroup Group(ScheduledCase scheduled, long max, bool killDisabled = false)
    {
        scheduled.MayTimeOut |= killDisabled;
        var options = new MemoryGroupOptions { Max = max, KillDisabled = killDisabled };
        return scheduled.Root.CreateGroup("tenant", options);
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
