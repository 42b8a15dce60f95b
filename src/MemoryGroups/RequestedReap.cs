// Reaping that somebody asked for: a dying member's memory is taken now, without the reaper's delay.
//
// The same discipline as the reaper's: the space is tried and never waited for, it is unstable before anything is
// freed, what frees is user code on a work item of its own, and at the end the space is hidden. Whoever begins first
// reaps; a space is reaped at most once, so the reaper, when its time comes, finds nothing to do. Follows
// process_mrelease in mm/oom_kill.c.
namespace MemoryGroups;

/// <summary>What came of <see cref="MemoryMember.ReapAsync"/>.</summary>
/// <remarks>Thread safety: a value, immutable.</remarks>
public enum ReapResult
{
    /// <summary>Everything that was registered is taken, by this call or before it.</summary>
    Reaped,

    /// <summary>
    /// The space is in use, is being reaped at this moment, or some of it could not be freed (the kernel says "again").
    /// </summary>
    Partial,

    /// <summary>The member has exited: there is nothing to take (the kernel says "no such process").</summary>
    Gone,
}

internal static class RequestedReap
{
    internal static async ValueTask<ReapResult> RunAsync(MemoryMember member, TimeSpan within, CancellationToken cancel)
    {
        MemoryRoot root = member.Root;
        MemorySpace space = member.Space;
        var request = new OomRequest(root, null, 0, ChargeFlags.None, within) { Cancel = cancel };
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            if (member.IsExited)
            {
                return ReapResult.Gone;
            }

            if (!space.IsDying)
            {
                throw new InvalidOperationException(
                    $"'{member.Path}' is not dying, or shares its memory with somebody who is not: kill it first.");
            }

            Probe.At(root, ProbePoint.BeforeReap, space);
            if (space.TryBeginReap())
            {
                KillLatecomers(space);
                return await TakeAsync(request, member).ConfigureAwait(false);
            }

            if (space.IsUnstable || request.TimeLeft == TimeSpan.Zero)
            {
                return space.IsReaped ? ReapResult.Reaped : ReapResult.Partial;
            }

            TimeSpan pause = request.TimeLeft < OomReaper.Between ? request.TimeLeft : OomReaper.Between;
            await request.NewWaiter(member.Group).SleepAsync(pause, cancel).ConfigureAwait(false);
        }
    }

    // Who joined after we looked did not find the space unstable, and is found here; who joins from here on does.
    private static void KillLatecomers(MemorySpace space)
    {
        foreach (MemoryMember member in space.Members())
        {
            if (!member.IsDying)
            {
                member.ReceiveKill(MemoryMember.JoinedVictim);
            }
        }
    }

    // The space is ours. Code that hangs while it frees is left behind; it hides the space when it is over, and before
    // that the reaper's deadline does.
    private static async ValueTask<ReapResult> TakeAsync(OomRequest request, MemoryMember member)
    {
        MemoryRoot root = request.Root;
        MemorySpace space = member.Space;
        UserCallResult<bool> taken = await UserCall<bool>.RunAsync(
            request,
            member.Group,
            root.HandlerDeadline,
            _ => ValueTask.FromResult(OomReaper.Take(root, space)),
            () => OomReaper.Hide(root, space, OomOutcome.Reaped)).ConfigureAwait(false);
        request.Cancel.ThrowIfCancellationRequested();
        return taken is { Status: UserCallStatus.Done, Value: true } ? ReapResult.Reaped : ReapResult.Partial;
    }
}
