// A larger case, made by a seed: a small tree with random limits and switches, hogs of every temper, chargers with
// random flags, and up to four things that happen to them at moments that the chooser decides.
//
// Nothing here looks at time or at the order of hashing: the seed decides everything.
namespace MemoryGroups.Tests;

internal sealed class RandomCase
{
    private readonly ScheduledCase _scheduled;
    private readonly Dice _dice;
    private readonly List<MemoryGroup> _groups = [];
    private readonly List<(MemoryMember Member, Holding Holds)> _hogs = [];

    private RandomCase(ScheduledCase scheduled, Dice dice)
    {
        _scheduled = scheduled;
        _dice = dice;
        scheduled.MayTimeOut = true;
    }

    private MemoryRoot Root => _scheduled.Root;

    public static void Run(Scheduler scheduler, Chooser chooser, Dice dice)
    {
        bool isTight = dice.OneIn(4);
        using var scheduled = new ScheduledCase(scheduler, chooser, options => options with
        {
            CapacityBytes = isTight ? 1500 + dice.Next(2000) : 200_000,
            OomReserveBytes = dice.OneIn(3) ? 300 : 0,
            WaitTimeout = TimeSpan.FromMilliseconds(dice.OneIn(2) ? 30_000 : 50 + dice.Next(5000)),
            KillAllocatingMember = dice.OneIn(10),
        });
        new RandomCase(scheduled, dice).Run(isTight);
    }

    private void Run(bool isTight)
    {
        _scheduled.EvenAtCounters = _dice.OneIn(4);
        _scheduled.EarlyTicks = _dice.OneIn(2) ? 0 : 1 + _dice.Next(6);
        MakeGroups(isTight);
        for (int i = 1 + _dice.Next(3); i > 0; i--)
        {
            MakeHog();
        }

        for (int i = 2 + _dice.Next(3); i > 0; i--)
        {
            MakeCharger();
        }

        if (_dice.OneIn(4))
        {
            MakeReclaimer(isTight);
        }

        if (_dice.OneIn(8))
        {
            Any(_groups).Oom.Handler = new Handler(this, _dice.Next(3));
        }

        for (int i = _dice.Next(5); i > 0; i--)
        {
            MakeDisturbance();
        }

        _scheduled.Run();
    }

    private void MakeGroups(bool isTight)
    {
        for (int i = 2 + _dice.Next(3); i > 0; i--)
        {
            MemoryGroup parent = _groups.Count == 0 || _dice.OneIn(3) ? Root : Any(_groups);
            bool whole = _dice.OneIn(10);
            _scheduled.KillsFreely |= whole;
            bool isOpen = _dice.OneIn(5) && (isTight || _groups.Count > 0);
            _groups.Add(parent.CreateGroup($"g{_groups.Count}", new MemoryGroupOptions
            {
                Max = isOpen ? long.MaxValue : 500 + _dice.Next(1500),
                High = _dice.OneIn(10) ? 300 + _dice.Next(500) : long.MaxValue,
                Low = _dice.OneIn(10) ? _dice.Next(500) : 0,
                KillDisabled = _dice.OneIn(8) ? true : null,
                KillWholeGroup = whole,
            }));
        }
    }

    // Exits at once when killed, or a little later, or never; some can be reaped.
    private void MakeHog()
    {
        MemoryGroup group = Any(_groups);
        string name = $"hog{_hogs.Count}";
        int temper = _dice.Next(8);
        MemoryMember hog = temper < 5 ? _scheduled.Obedient(group, name) : group.CreateMember(name);
        if (temper == 5)
        {
            hog.Killed.UnsafeRegister(_ => _scheduled.Actor(hog.Dispose), null);
        }

        var holds = new Holding();
        long bytes = 200 + _dice.Next(900);
        if (temper == 7 && hog.TryLease(bytes) is { } lease)
        {
            hog.Space.AddReapable(new WalkReapable(lease, frees: !_dice.OneIn(3)));
        }
        else if (hog.TryCharge(bytes))
        {
            holds.Bytes = bytes;
        }

        _hogs.Add((hog, holds));
    }

    private void MakeCharger()
    {
        ChargeFlags flags = _dice.Next(12) switch
        {
            0 => ChargeFlags.NoWait,
            1 => ChargeFlags.NoRetry,
            2 => ChargeFlags.RetryMayFail,
            3 => ChargeFlags.NoFail,
            4 => ChargeFlags.HighPriority,
            _ => ChargeFlags.None,
        };
        _scheduled.MayExceed |= flags is ChargeFlags.NoFail or ChargeFlags.HighPriority;
        MemoryGroup group = Any(_groups);
        string name = $"charger{_scheduled.Askings.Count}";
        MemoryMember member = _dice.OneIn(4) ? group.CreateMember(name) : _scheduled.Obedient(group, name);
        CancellationToken cancel = default;
        if (_dice.OneIn(5))
        {
            var source = new CancellationTokenSource();
            cancel = source.Token;
            _scheduled.Actor(source.Cancel);
        }

        _scheduled.ChargeAndReturn(member, 50 + _dice.Next(850), flags, keeps: _dice.OneIn(6), cancel);
    }

    // Gives back what a hog holds, or behaves badly.
    private void MakeReclaimer(bool isTight)
    {
        int temper = _dice.Next(6);
        (MemoryMember member, Holding holds) = Any(_hogs);
        var hanging = new TaskCompletionSource<long>();
        var reclaimer = new ScriptedReclaimer("cache", (request, _) =>
        {
            _scheduled.GiveWay();
            return temper switch
            {
                0 => throw new InvalidOperationException("a reclaimer that throws"),
                1 => new ValueTask<long>(request.Bytes),
                2 => new ValueTask<long>(hanging.Task),
                _ => new ValueTask<long>(Return(member, holds, request.Bytes)),
            };
        });
        if (isTight && _dice.OneIn(2))
        {
            Root.AddLastResortReclaimer(reclaimer);
        }
        else
        {
            member.Group.AddReclaimer(reclaimer);
        }
    }

    private void MakeDisturbance()
    {
        MemoryGroup group = Any(_groups);
        (MemoryMember hog, Holding holds) = Any(_hogs);
        ScheduledCase.Asking asking = Any(_scheduled.Askings);
        long bytes = 300 + _dice.Next(1500);
        switch (_dice.Next(14))
        {
            case 0:
            case 1:
                _scheduled.Actor(() => Return(hog, holds, bytes / 4));
                break;
            case 2:
                _scheduled.Actor(hog.Dispose);
                break;
            case 3:
                _scheduled.MayExceed = true;
                _scheduled.Actor(() => group.Max = bytes);
                break;
            case 4:
                _scheduled.Actor(() => group.Max = long.MaxValue);
                break;
            case 5:
                _scheduled.Actor(() => group.Oom.KillDisabled = !group.Oom.KillDisabled);
                break;
            case 6:
                _scheduled.Async(SwitchKillerAsync);
                break;
            case 7:
                _scheduled.KillsFreely = true;
                _scheduled.Async(() => Root.OomKiller.KillNowAsync().AsTask());
                break;
            case 8:
                _scheduled.Actor(() => asking.Member.Kill("by hand"));
                break;
            case 9:
                _scheduled.MayExceed = _scheduled.KillsFreely = true;
                _scheduled.Async(() => group.SetMaxAsync(bytes).AsTask());
                break;
            case 10:
                _scheduled.Async(() => group.TrySetMaxAsync(bytes).AsTask());
                _scheduled.MayExceed = true;
                break;
            case 11:
                _scheduled.Actor(group.Dispose);
                break;
            case 12:
                _scheduled.Actor(() => RegisterUnlessClosed(group));
                break;
            default:
                _scheduled.Actor(asking.Member.BeginExit);
                break;
        }
    }

    private async Task SwitchKillerAsync()
    {
        await Root.OomKiller.DisableAsync(TimeSpan.FromMilliseconds(_dice.Next(4000))).ConfigureAwait(false);
        _scheduled.GiveWay();
        Root.OomKiller.Enable();
    }

    private void RegisterUnlessClosed(MemoryGroup group)
    {
        if (!group.IsClosed)
        {
            _scheduled.Register(group);
        }
    }

    private static long Return(MemoryMember member, Holding holds, long atMost)
    {
        long bytes = Math.Min(holds.Bytes, atMost);
        holds.Bytes -= bytes;
        if (bytes > 0 && !member.IsExited)
        {
            member.Uncharge(bytes);
        }

        return bytes;
    }

    private T Any<T>(List<T> from) => from[_dice.Next(from.Count)];

    private sealed class Holding
    {
        public long Bytes { get; set; }
    }

    private sealed class Handler(RandomCase owner, int temper) : OomHandler
    {
        public override ValueTask<OomDecision> OnOomAsync(OomScene scene, CancellationToken cancellationToken)
        {
            owner._scheduled.GiveWay();
            return temper switch
            {
                0 => new ValueTask<OomDecision>(OomDecision.Decline),
                1 => new ValueTask<OomDecision>(OomDecision.Kill(owner.Any(owner._hogs).Member)),
                _ => new ValueTask<OomDecision>(new TaskCompletionSource<OomDecision>().Task),
            };
        }
    }
}
