// The hook is installed once for the test process, before any test can touch SQLite; and the same program, started as a
// child with a scenario's name in its environment, plays that scenario instead of running tests.

using System.Runtime.CompilerServices;

[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace MemoryGroups.Sqlite.Tests;

internal static class ModuleStart
{
    // For the life of the process; tests that need to see what lands here compare before and after.
    internal static MemoryRoot Root { get; } = new(new MemoryRootOptions { Name = "process" });

    internal static MemoryMember Unattributed { get; private set; } = NewUnattributed(Root);

    internal static MemoryMember NewUnattributed(MemoryGroup group) => group.CreateMember(
        "unattributed", new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill });

    internal static void Attribute(MemoryMember member)
    {
        SqliteMemory.Attribute(member);
        Unattributed = member;
    }

#pragma warning disable CA2255 // the one thing that runs before every test of the process, whatever the runner
    [ModuleInitializer]
    internal static void Start()
    {
        if (ChildScenario.Requested is { } scenario)
        {
            Environment.Exit(ChildScenario.Play(scenario));
        }

        SqliteMemory.Install(Unattributed);
    }
#pragma warning restore CA2255
}
