// The part of a charge that asks others for memory, and what its trouble tells about the group's pressure.
//
// From the moment a charge cannot be granted until it ends, its member is stalled (MemoryPressure). When nothing comes
// any more, or the rounds run out, the refusing group's pressure is told to be critical: the OOM is next. The kernel
// says so in the last quarter of its priorities, this in the last quarter of the rounds.
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal sealed partial class ChargeAttempt
{
    private const int DesperateRounds = MaxRounds / 4;

    private bool _stalled;

    // True to start over.
    [AsyncMethodBuilder(typeof(PooledValueTaskBuilder<>))]
    private async ValueTask<bool> ReclaimAsync()
    {
        long before = _refused!.Usage;
        Request.SawBusy = false;
        if (Refusing.ReclaimersInSubtree > 0 && !Has(ChargeFlags.NoReclaim))
        {
            // They may take their time, and who comes next may have asked them already.
            _root.WaitQueue.PassTurnOn(Request);
        }

        long gave = Has(ChargeFlags.NoReclaim)
            ? 0
            : await SubtreeReclaim.RunAsync(Request, Refusing, ReclaimTarget(), Reason()).ConfigureAwait(false);
        if (Request.FitsIn(Refusing) || Request.IsImpossible)
        {
            return true;
        }

        if (Request.TimeLeft == TimeSpan.Zero)
        {
            return ForceOrThrow(ChargeRefusal.TimedOut);
        }

        _rounds = _refused.Usage < before ? 0 : _rounds + 1;
        NoteDespair(gave == 0 && !Request.SawBusy);
        if (_rounds >= MaxRounds || Has(ChargeFlags.NoRetry))
        {
            return false;
        }

        if (gave == 0 && Request.SawBusy)
        {
            // Somebody else's reclaim is under way: a kill now would be early.
            Obey(await OomContest.PauseAsync(Request, Refusing).ConfigureAwait(false));
            return true;
        }

        return gave > 0;
    }

    private void ReclaimHere()
    {
        BeginStall();
        CountMax();
        for (int round = 0; round < MaxRounds && !Has(ChargeFlags.NoReclaim); round++)
        {
            long gave = SubtreeReclaim.Run(Request, Refusing, ReclaimTarget(), Reason());
            if (TryFit())
            {
                return;
            }

            if (gave == 0 || Has(ChargeFlags.NoRetry))
            {
                break;
            }
        }

        NoteDespair(nothingLeft: true);
        if (_member.IsDying)
        {
            ForceOrThrowKilled();
            return;
        }

        ForceOrThrow(ChargeRefusal.DoesNotFit);
    }

    private void CountMax()
    {
        _countedMax = true;
        Refusing.Events.Raise(MemoryEvent.Max);
    }

    // Reclaiming a little more than one small charge needs spares the next ones the trip.
    private long ReclaimTarget() => Math.Max(_bytes, Math.Min(128 * 1024, _refused!.Limit / 64));

    private ReclaimReason Reason() => _refused!.IsRoot ? ReclaimReason.Capacity : ReclaimReason.Max;

    // Who asks for no reclaim has tried nothing and despairs of nothing.
    private void NoteDespair(bool nothingLeft)
    {
        if (!Has(ChargeFlags.NoReclaim) && (nothingLeft || _rounds > MaxRounds - DesperateRounds))
        {
            Refusing.Pressure.Despair();
        }
    }

    private void BeginStall()
    {
        if (!_stalled)
        {
            _member.BeginStall();
            _stalled = true;
        }
    }

    private void EndStall()
    {
        if (_stalled)
        {
            _stalled = false;
            _member.EndStall();
        }
    }
}
