// A window before the kill: a group's owner may free memory, choose a victim, or let the default run.
//
// The handler runs on its own work item under a deadline. Late, throwing and silent handlers are reported and the
// default runs; a handler that declines for ever costs its deadline each time and protects nobody.
namespace MemoryGroups;

/// <summary>What a handler decided.</summary>
/// <remarks>Thread safety: immutable.</remarks>
public sealed class OomDecision
{
    private OomDecision(MemoryMember? victim, bool freed)
    {
        Victim = victim;
        HasFreed = freed;
    }

    /// <summary>The default runs.</summary>
    public static OomDecision Decline { get; } = new(null, false);

    /// <summary>Memory was given back: look again before killing. Believed only if there is room now.</summary>
    public static OomDecision Freed { get; } = new(null, true);

    /// <summary>The chosen victim; null unless made by <see cref="Kill"/>.</summary>
    public MemoryMember? Victim { get; }

    /// <summary>True for <see cref="Freed"/>.</summary>
    public bool HasFreed { get; }

    /// <summary>Kill this member. It must be in the refusing subtree and alive, else the default runs.</summary>
    /// <param name="victim">The member to kill.</param>
    /// <returns>The decision.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="victim"/> is null.</exception>
    public static OomDecision Kill(MemoryMember victim)
    {
        ArgumentNullException.ThrowIfNull(victim);
        return new OomDecision(victim, false);
    }
}

/// <summary>Asked before a kill; see <see cref="OomControl.Handler"/>.</summary>
/// <remarks>
/// Implementers MUST answer within the deadline (<see cref="MemoryRootOptions.HandlerDeadline"/>), MUST NOT charge
/// memory of the refusing subtree except with <see cref="ChargeFlags.FromReclaim"/>, and MUST NOT wait for work that
/// needs memory of that subtree. Thread safety: called from any thread, for different groups at the same time.
/// </remarks>
public abstract class OomHandler
{
    /// <summary>Decides.</summary>
    /// <param name="scene">The OOM.</param>
    /// <param name="cancellationToken">Cancelled when the deadline has passed; the answer is then ignored.</param>
    /// <returns>The decision.</returns>
    public abstract ValueTask<OomDecision> OnOomAsync(OomScene scene, CancellationToken cancellationToken);
}
