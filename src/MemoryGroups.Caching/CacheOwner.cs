// What every cache here has to do with its member: a lease for what it holds, a place as a reclaimer of the group that
// the member is in now, and an end when the member is killed or exits. How the cache empties itself and gives back is
// its own.
//
// Must stay true: what is asked of another group than the present one is answered with nothing, because the bytes are
// not charged there; once it has ended the cache is emptied, and whatever arrives later finds it ended. `Start` comes
// when the cache is complete: its reclaimer may be called from then on.
namespace MemoryGroups.Caching;

internal sealed class CacheOwner : MemoryReclaimer
{
    private readonly int _cost;
    private readonly Func<long, long> _shrink;
    private readonly Action _empty;
    private MemoryGroup _home;
    private IDisposable? _registration;
    private CancellationTokenRegistration _onKill;
    private CancellationTokenRegistration _onExit;
    private bool _hasEnded;

    // Shrink answers what has been uncharged meanwhile; empty uncharges everything.
    internal CacheOwner(MemoryMember member, string name, int cost, Func<long, long> shrink, Action empty)
        : base(name)
    {
        Member = member;
        Lease = member.Lease(0);
        _cost = cost;
        _shrink = shrink;
        _empty = empty;
        _home = member.Group;
    }

    public override int Cost => _cost;

    internal MemoryMember Member { get; }

    internal MemoryCharge Lease { get; }

    // Whose reclaimer it is: changed first, and the cache emptied then.
    internal MemoryGroup Home => Volatile.Read(ref _home);

    internal bool HasEnded => Volatile.Read(ref _hasEnded);

    // Killed or gone, known at once; emptying follows.
    internal bool IsOver => Member.IsKilled || Member.IsExited || HasEnded;

    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken) =>
        new(request.Group == Home ? _shrink(request.Bytes) : 0);

    internal void Start()
    {
        Register();
        _onKill = Member.Killed.UnsafeRegister(static owner => ((CacheOwner)owner!).End(), this);
        _onExit = Member.Exited.UnsafeRegister(static owner => ((CacheOwner)owner!).End(), this);
    }

    // The member may be in another group now, and what it has charged stays charged in the old one. Bytes of two groups
    // in one cache could not be given back to the one that asks: so it begins anew.
    internal MemoryGroup FollowMember()
    {
        MemoryGroup group = Member.Group;
        if (Home != group && !HasEnded && Interlocked.Exchange(ref _home, group) != group)
        {
            _empty();
            Register();
        }

        return group;
    }

    internal bool TryGrow(long bytes)
    {
        for (MemoryGroup? at = Member.Group; at is not null; at = at.Parent)
        {
            // Above High others would be slowed down, for entries that nobody has asked for yet.
            if (at.High < long.MaxValue && at.Usage + bytes > at.High)
            {
                return false;
            }
        }

        try
        {
            return Lease.TryGrow(bytes);
        }
        catch (ObjectDisposedException)
        {
            // Its member exits at this moment.
            return false;
        }
    }

    // Whoever ends it does all of it, harmless as that is twice: who comes second and returns must not leave a cache
    // that the first is still emptying.
    internal void End()
    {
        Interlocked.Exchange(ref _hasEnded, true);
        _empty();
        Lease.Dispose();
        Interlocked.Exchange(ref _registration, null)?.Dispose();

        // Not disposed: that would wait for a callback that may be waiting for us.
        _onKill.Unregister();
        _onExit.Unregister();
    }

    // Who was slow here may find that the member has moved on, and has put an older place over a newer one.
    private void Register()
    {
        MemoryGroup group;
        do
        {
            group = Home;
            try
            {
                Interlocked.Exchange(ref _registration, group.AddReclaimer(this))?.Dispose();
            }
            catch (ObjectDisposedException)
            {
                // The group was closed: its members are exiting, and that ends this cache.
                return;
            }
        }
        while (group != Home);

        if (IsOver)
        {
            Interlocked.Exchange(ref _registration, null)?.Dispose();
        }
    }
}
