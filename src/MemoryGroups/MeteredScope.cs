// Which member an async flow allocates for: a node of the flow's own stack of scopes.
//
// The runtime carries the value over awaits, Task.Run, Parallel, channels and new threads, and says on each thread when
// it changes; MeteredThread counts there. A flow that was started inside goes on being metered after the scope has been
// left by who opened it: the value is the flow's, not the scope's. Work started with suppressed flow has no value, and
// what it allocates belongs to no member (MemoryRoot.UnmeteredBytes).
//
// Must stay true: leaving a scope leaves what was entered inside it as well, so leaving in the wrong order cannot
// bring back a scope that has been left; leaving what this flow is not in, or has left, changes nothing.
namespace MemoryGroups;

/// <summary>A stretch of an async flow whose managed allocations are metered; see <see cref="MemoryMember.Enter"/>.
/// </summary>
/// <remarks>
/// Thread safety: dispose it in the flow that entered. Disposing it elsewhere, or twice, changes nothing.
/// </remarks>
public sealed class MeteredScope : IDisposable
{
    private static readonly AsyncLocal<MeteredScope?> Flow =
        new(static change => MeteredThread.Switch(change.CurrentValue?._member));

    private readonly MemoryMember _member;
    private readonly MeteredScope? _outer;

    private MeteredScope(MemoryMember member, MeteredScope? outer)
    {
        _member = member;
        _outer = outer;
    }

    /// <summary>
    /// Leaves it and everything that was entered inside it: the flow allocates for whom it did before.
    /// </summary>
    public void Dispose()
    {
        for (MeteredScope? at = Flow.Value; at is not null; at = at._outer)
        {
            if (at == this)
            {
                Flow.Value = _outer;
                return;
            }
        }
    }

    internal static MeteredScope Enter(MemoryMember member)
    {
        var scope = new MeteredScope(member, Flow.Value);
        Flow.Value = scope;
        return scope;
    }
}
