// A cancellation token for a fact that becomes true once, and for which nothing is made until somebody asks.
//
// Must stay true: whoever writes the fact does so before Cancel looks for a source, and Get looks at the fact again
// after its source can be seen. One of the two sees the other, so no registration is missed.
namespace MemoryGroups;

internal struct TokenOnDemand
{
    private static readonly CancellationToken AlreadyCancelled = new(canceled: true);

    private CancellationTokenSource? _source;

    internal CancellationToken Get(ref bool fact)
    {
        if (Volatile.Read(ref fact))
        {
            return AlreadyCancelled;
        }

        CancellationTokenSource source = Volatile.Read(ref _source) ?? NewSource();

        // Not the source's own state: it is cancelled a moment later than the fact is true.
        return Volatile.Read(ref fact) ? AlreadyCancelled : source.Token;
    }

    // A full fence between the fact and the look. No user code here: registrations run on a work item of their own.
    internal void Cancel(MemoryRoot root)
    {
        if (Interlocked.CompareExchange(ref _source, null, null) is { } source)
        {
            root.Post(new CancelLater(source));
        }
    }

    private CancellationTokenSource NewSource()
    {
        var fresh = new CancellationTokenSource();
        return Interlocked.CompareExchange(ref _source, fresh, null) ?? fresh;
    }
}
