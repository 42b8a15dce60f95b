// The observation points K1...K15: places at which a test can stop one actor and let another go on.
//
// They compile away in Release. A hook runs on the actor's own thread and outside every lock of ours, so a test may
// block in it for as long as it likes.
using System.Diagnostics;

namespace MemoryGroups;

internal enum ProbePoint
{
    None = 0,

    // K1: the charge was refused, the asker is not yet queued.
    ChargeRefused,

    // K2: queued, not yet marked.
    Queued,

    // K3: marked, before the trylock.
    Marked,

    // K4: the trylock was lost (or the killer is disabled), before the sleep.
    BeforeSleep,

    // K5: the lock was won, before the notification.
    BeforeNotify,

    // K6: the kill returned, before the release.
    KillReturned,

    // K7: released, before the wake.
    Released,

    // K8: woken, before the unmark.
    Woken,

    // K9: about to take the kill lock.
    BeforeKillLock,

    // K10: the victim is chosen, the kill not yet sent.
    VictimChosen,

    // K11: the kill is sent, reserves are not yet granted.
    KillSent,

    // K12: the reaper is about to try the space.
    BeforeReap,

    // K13: the reaper is done, the space is not yet hidden.
    Reaped,

    // K14: the last-resort chain is entered / left.
    ChainEntered,
    ChainLeft,

    // K15: a wake was delivered; the subject is the waiter.
    WakeDelivered,

    // Not one of the protocol's: a scan of many candidates lets others run.
    ScanYields,

    // Nor this: a counter is about to swap its usage or its limit on the strength of an earlier look.
    BeforeSwap,
}

internal static class Probe
{
    [Conditional("DEBUG")]
    internal static void At(MemoryRoot root, ProbePoint point, object? subject) =>
        root.ProbeHook?.Invoke(point, subject);
}
