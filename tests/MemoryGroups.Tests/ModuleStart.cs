// The test program started as a child, with a scenario's name in its environment, plays that scenario and ends.
using System.Runtime.CompilerServices;

namespace MemoryGroups.Tests;

internal static class ModuleStart
{
#pragma warning disable CA2255 // before anything else of the process, whatever the runner
    [ModuleInitializer]
    internal static void Start()
    {
        if (ChildProcess.Requested is { } scenario)
        {
            ChildProcess.Play(scenario);
            Environment.Exit(0);
        }
    }
#pragma warning restore CA2255
}
