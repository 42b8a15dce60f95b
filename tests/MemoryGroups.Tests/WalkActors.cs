// Who takes part in a random walk besides the tree: members with what they hold, charges under way, reclaimers.
namespace MemoryGroups.Tests;

internal sealed class WalkActor(MemoryMember member)
{
    public MemoryMember Member { get; } = member;

    public List<long> Raw { get; } = [];

    public List<MemoryCharge> Leases { get; } = [];

    public MemoryAccount? Account { get; set; }

    // An account has one user at a time, also when others get their turn in the middle of its call.
    public bool IsInAccount { get; set; }

    // Of the virtual clock, when the walk first saw that this member's space is a victim.
    public long? VictimSince { get; set; }

    // Charged by a reclaimer of this member for a moment: certainly, and perhaps.
    public long Transient { get; set; }

    public long PerhapsTransient { get; set; }

    // What the walk knows that this member holds.
    public long Held
    {
        get
        {
            long held = Transient + (Account?.Used ?? 0);
            foreach (long bytes in Raw)
            {
                held += bytes;
            }

            foreach (MemoryCharge lease in Leases)
            {
                held += lease.Bytes;
            }

            return held;
        }
    }

    public void Exit() => Member.Dispose();
}

internal enum WalkKind
{
    Raw,
    Lease,
    Grow,
}

internal sealed class WalkAsking(WalkActor actor, long bytes, ChargeFlags flags, WalkKind kind)
{
    public const ChargeFlags Forcing = ChargeFlags.NoFail | ChargeFlags.HighPriority | ChargeFlags.FromReclaim;

    public WalkActor Actor { get; } = actor;

    public long Bytes { get; } = bytes;

    public ChargeFlags Flags { get; } = flags;

    public CancellationTokenSource Cancel { get; } = new();

    public MemoryCharge? Growing { get; init; }

    public Task Task { get; private set; } = Task.CompletedTask;

    public bool MayExceed => (Flags & Forcing) != 0;

    public void Begin()
    {
        try
        {
            Task = kind switch
            {
                WalkKind.Lease => Actor.Member.LeaseAsync(Bytes, Flags, Cancel.Token).AsTask(),
                WalkKind.Grow => Growing!.GrowAsync(Bytes, Flags, Cancel.Token).AsTask(),
                _ => Actor.Member.ChargeAsync(Bytes, Flags, Cancel.Token).AsTask(),
            };
        }
        catch (Exception error) when (error is ObjectDisposedException or MemoryLimitExceededException)
        {
            Task = Task.FromException(error);
        }
    }

    // Books the outcome and answers its name; an outcome that nothing explains is an error.
    public string End()
    {
        if (Task.IsCompletedSuccessfully)
        {
            if (kind == WalkKind.Lease)
            {
                Actor.Leases.Add(((Task<MemoryCharge>)Task).Result);
            }
            else if (kind == WalkKind.Raw)
            {
                Actor.Raw.Add(Bytes);
            }

            return "granted";
        }

        if (Task.IsCanceled)
        {
            Assert.True(Cancel.IsCancellationRequested, "cancelled although nobody cancelled");
            return "cancelled";
        }

        switch (Task.Exception!.InnerException)
        {
            case MemoryLimitExceededException refused:
                Assert.False(Flags.HasFlag(ChargeFlags.NoFail), $"a NoFail charge was refused: {refused.Message}");
                return "refused: " + refused.Reason;
            case OomKilledException:
                Assert.True(Actor.Member.IsDying || Actor.Member.IsExited, "killed although nobody killed it");
                Assert.False(Flags.HasFlag(ChargeFlags.NoFail), "a NoFail charge ended by a kill");
                return "killed";
            case ObjectDisposedException closed:
                Assert.True(
                    Actor.Member.IsExited || Actor.Member.HasMoved || Growing is not null,
                    $"closed although it is open: {closed}");
                return "closed";
            case { } other:
                throw new InvalidOperationException($"a charge ended with {other}", other);
            default:
                throw new InvalidOperationException("a charge ended without a reason");
        }
    }
}

internal enum WalkTemper
{
    Honest,
    Silent,
    Throws,
    Lies,
    Hangs,
    ChargesItself,
}

// Gives back raw charges of one actor, or behaves as badly as user code may.
internal sealed class WalkReclaimer(
    RandomWalk walk, MemoryGroup group, WalkActor cache, WalkTemper temper, int cost)
    : MemoryReclaimer("walk-" + temper)
{
    private readonly List<TaskCompletionSource<long>> _hanging = [];

    public MemoryGroup Group { get; } = group;

    public override int Cost => cost;

    public void LetGo()
    {
        TaskCompletionSource<long>[] hanging = [.. _hanging];
        _hanging.Clear();
        foreach (TaskCompletionSource<long> source in hanging)
        {
            source.TrySetResult(GiveBack(1));
        }
    }

    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
    {
        Assert.True(request.Bytes >= 1, "a reclaimer is asked for at least a byte");
        switch (temper)
        {
            case WalkTemper.Silent:
                return new ValueTask<long>(0);
            case WalkTemper.Throws:
                throw new InvalidOperationException("a reclaimer that throws");
            case WalkTemper.Lies:
                return new ValueTask<long>(long.MaxValue);
            case WalkTemper.Hangs:
                var source = new TaskCompletionSource<long>();
                _hanging.Add(source);
                return new ValueTask<long>(source.Task);
            case WalkTemper.ChargesItself:
                return ChargeAndGiveAsync(request.Bytes, cancellationToken);
            default:
                return new ValueTask<long>(GiveBack(request.Bytes));
        }
    }

    // A spill buffer, and a charge that would have to wait for the very memory it is to free.
    private async ValueTask<long> ChargeAndGiveAsync(long bytes, CancellationToken cancellationToken)
    {
        const long buffer = 16;
        if (cache.Member.IsExited)
        {
            return 0;
        }

        cache.Member.Charge(buffer, ChargeFlags.FromReclaim);
        walk.ForcedSinceCheck += buffer;
        cache.Transient += buffer;
        cache.PerhapsTransient += buffer;
        try
        {
            await cache.Member.ChargeAsync(buffer, ChargeFlags.None, cancellationToken).ConfigureAwait(false);
            cache.Member.Uncharge(buffer);
        }
        finally
        {
            cache.PerhapsTransient -= buffer;
            cache.Transient -= buffer;
            cache.Member.Uncharge(buffer);
        }

        return GiveBack(bytes);
    }

    private long GiveBack(long bytes)
    {
        long given = 0;
        while (given < bytes && cache.Raw.Count > 0 && !cache.Member.IsExited)
        {
            long part = cache.Raw[^1];
            cache.Raw.RemoveAt(cache.Raw.Count - 1);
            cache.Member.Uncharge(part);
            given += part;
        }

        return given;
    }
}

// Memory of a lease that the reaper may take; sometimes it cannot.
internal sealed class WalkReapable(MemoryCharge charge, bool frees) : ReapableMemory(charge)
{
    protected internal override bool TryFree() => frees;
}
