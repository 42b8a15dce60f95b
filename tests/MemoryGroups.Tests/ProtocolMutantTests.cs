// The scheduler finds what it is there to find: each mutant of the protocol fails within a few thousand schedules, and
// the core as it is passes the same ones.
//
// A mutant that a second line of defence makes harmless removes that as well, and says so.
namespace MemoryGroups.Tests;

public sealed class ProtocolMutantTests(ITestOutputHelper output)
{
    private const int Most = 20_000;

    // Only a mutant that never gives way reaches it; that counts as found.
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(60);

    public static TheoryData<string> Names => [.. ProtocolMutants.All.Select(static mutant => mutant.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Mutant_of_the_protocol_is_found(string name)
    {
        ProtocolMutant mutant = ProtocolMutants.All.Single(one => one.Name == name);
        using MutantCore core = MutantCore.Compile(mutant.Replacements);
        Func<long, int, string?> exploring = core.Exploring();

        string? fault = "it hangs";
        var explorer = new Thread(() => fault = exploring(0, Most), 4 << 20) { IsBackground = true };
        explorer.UnsafeStart();
        bool ended = explorer.Join(Watchdog);

        Assert.True(fault is not null, $"'{name}' survives {Most} schedules");
        int found = ended ? int.Parse(fault![..fault.IndexOf(' ')]) + 1 : Most;
        output.WriteLine($"{name}: found by schedule {found}: {fault}");
        Assert.Null(Exploration.FirstFault(0, ended ? found : 1));
    }

    [Fact]
    public void Core_that_was_compiled_unchanged_passes()
    {
        using MutantCore core = MutantCore.Compile();

        Assert.Null(core.Exploring()(0, 1000));
    }
}
