// Policies and handlers that are a function of the test.
namespace MemoryGroups.Tests;

internal sealed class ScriptedPolicy(Func<OomScene, IReadOnlyList<OomCandidate>> rank) : OomPolicy
{
    public override IReadOnlyList<OomCandidate> Rank(OomScene scene) => rank(scene);
}

internal sealed class ScriptedHandler(Func<OomScene, CancellationToken, ValueTask<OomDecision>> answer) : OomHandler
{
    public override ValueTask<OomDecision> OnOomAsync(OomScene scene, CancellationToken cancellationToken) =>
        answer(scene, cancellationToken);
}
