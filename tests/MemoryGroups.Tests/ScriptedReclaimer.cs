// A reclaimer whose every step is a function of the test; it counts its calls and catches overlapping ones. And what
// most of these functions do.
namespace MemoryGroups.Tests;

internal sealed class ScriptedReclaimer(string name, Func<ReclaimRequest, CancellationToken, ValueTask<long>> step)
    : MemoryReclaimer(name)
{
    private int _inside;

    public ScriptedReclaimer(string name, Func<ReclaimRequest, long> step)
        : this(name, (request, _) => ValueTask.FromResult(step(request)))
    {
    }

    public List<ReclaimRequest> Calls { get; } = [];

    public override async ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
    {
        Assert.Equal(0, Interlocked.Exchange(ref _inside, 1));
        try
        {
            lock (Calls)
            {
                Calls.Add(request);
            }

            return await step(request, cancellationToken);
        }
        finally
        {
            Interlocked.Exchange(ref _inside, 0);
        }
    }
}

internal static class ScriptedSteps
{
    // Returns so many bytes, and says so.
    public static long Free(this MemoryMember member, long bytes)
    {
        member.Uncharge(bytes);
        return bytes;
    }
}
