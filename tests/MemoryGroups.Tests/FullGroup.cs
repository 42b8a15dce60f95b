// A group without room, whose killer is disabled: what does not fit sleeps, and nothing but a wake gets it going again.
namespace MemoryGroups.Tests;

internal static class FullGroup
{
    public static MemoryGroupOptions Sleepy { get; } = new() { Max = 1000, KillDisabled = true };

    // The hog holds everything up to Max.
    public static MemoryMember Fill(World world, MemoryGroup group)
    {
        MemoryMember hog = group.CreateMember("hog");
        Assert.True(world.Charge(hog, group.Max).Granted);
        return hog;
    }

    // A member of its own for every request.
    public static Pending Ask(World world, MemoryGroup group, long bytes, CancellationToken cancel = default) =>
        world.Charge(group.CreateMember("asker"), bytes, cancel: cancel);
}
