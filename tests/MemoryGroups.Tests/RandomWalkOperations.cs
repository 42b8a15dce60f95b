// The operations of a random walk, each drawn with its weight.
namespace MemoryGroups.Tests;

internal sealed partial class RandomWalk
{
    private static readonly (int Weight, string Name, Action<RandomWalk> Run)[] Operations =
    [
        (3, "create group", static walk => walk.CreateGroup()),
        (1, "close group", static walk => walk.CloseGroup()),
        (8, "create member", static walk => walk.CreateMember()),
        (3, "exit member", static walk => walk.With(actor => actor.Exit())),
        (8, "exit killed member", static walk => walk.With(actor => actor.Exit(), actor => actor.Member.IsKilled)),
        (10, "try charge", static walk => walk.With(walk.TryCharge)),
        (8, "charge", static walk => walk.With(walk.ChargeNow)),
        (24, "ask", static walk => walk.With(walk.Ask)),
        (22, "uncharge", static walk => walk.With(walk.Uncharge, actor => actor.Raw.Count > 0)),
        (14, "lease", static walk => walk.With(walk.UseLease, actor => actor.Leases.Count > 0)),
        (5, "account", static walk => walk.With(walk.UseAccount)),
        (4, "set limit", static walk => walk.SetLimit()),
        (2, "set max", static walk => walk.ChangeMax()),
        (1, "capacity", static walk => walk.ChangeCapacity()),
        (2, "signal", static walk => walk.UseSignal()),
        (2, "add reclaimer", static walk => walk.AddReclaimer()),
        (1, "remove reclaimer", static walk => walk.RemoveReclaimer()),
        (4, "let reclaimers go", static walk => walk.Reclaimers.ToList().ForEach(static one => one.LetGo())),
        (1, "reclaim", static walk => walk.Watch(
            walk.Pick(walk.Groups).ReclaimAsync(walk.Chance(5) ? long.MaxValue : 1 + walk.Bytes(walk._scale.Largest)))),
        (1, "kill member", static walk => walk.With(actor => actor.Member.Kill("the walk said so"))),
        (1, "begin exit", static walk => walk.With(actor => actor.Member.BeginExit())),
        (3, "move", static walk => walk.With(walk.Move)),
        (1, "freeze or thaw", static walk => walk.With(walk.FreezeOrThaw)),
        (1, "score", static walk => walk.With(
            actor => actor.Member.OomScoreAdjustment = walk.Chance(20) ? -1000 : walk._random.Next(-999, 1001))),
        (1, "killer off or on", static walk => walk.SwitchKiller()),
        (1, "group switches", static walk => walk.SwitchGroup()),
        (4, "cancel", static walk => walk.CancelOne()),
        (3, "advance", static walk => walk.Advance()),
        (1, "timers only", static walk => walk._world.Time.Advance(TimeSpan.FromMilliseconds(walk._random.Next(150)))),
        (14, "run one", static walk => walk._world.RunOne()),
        (14, "run all", static walk => walk._world.Run()),
        (1, "drain", static walk => walk._world.Root.Stocks.Drain(walk.Pick(walk.Groups))),
        (4, "script", static walk => walk.ScriptAProbe()),
    ];

    private static readonly int TotalWeight = Operations.Sum(static one => one.Weight);

    private static readonly ChargeFlags[] Flags =
    [
        ChargeFlags.None, ChargeFlags.None, ChargeFlags.None, ChargeFlags.None, ChargeFlags.None, ChargeFlags.NoWait,
        ChargeFlags.NoReclaim, ChargeFlags.NoRetry, ChargeFlags.RetryMayFail, ChargeFlags.NoFail,
        ChargeFlags.HighPriority, ChargeFlags.HighPriority | ChargeFlags.NoWait, ChargeFlags.FromReclaim,
        ChargeFlags.Confined, ChargeFlags.NoReserve,
    ];

    private readonly List<(MemoryGroup Group, MemorySignal Signal, IDisposable Registration)> _signals = [];
    private readonly List<(WalkReclaimer Reclaimer, IDisposable Registration)> _registered = [];
    private readonly List<Task> _watched = [];
    private readonly List<(MemoryGroup Group, long Bytes, Task Change)> _changing = [];

    private void Operate()
    {
        int at = _random.Next(TotalWeight);
        foreach ((int weight, string name, Action<RandomWalk> run) in Operations)
        {
            at -= weight;
            if (at < 0)
            {
                Note(name);
                run(this);
                return;
            }
        }
    }

    private void With(Action<WalkActor> act, Func<WalkActor, bool>? fit = null)
    {
        List<WalkActor> all = fit is null ? Actors : Actors.FindAll(new Predicate<WalkActor>(fit));
        if (all.Count > 0)
        {
            act(Pick(all));
        }
    }

    private void CreateGroup()
    {
        MemoryGroup parent = Pick(Groups);
        if (Groups.Count >= MostGroups || parent.Depth >= 4 || parent.IsClosed)
        {
            return;
        }

        Groups.Add(parent.CreateGroup($"g{_names++}", new MemoryGroupOptions
        {
            Max = Chance(80) ? 100 + Bytes(_scale.Largest) : long.MaxValue,
            High = Chance(15) ? 100 + Bytes(_scale.Largest) : long.MaxValue,
            Min = Chance(20) ? Bytes(_scale.Largest / 8) : 0,
            Low = Chance(20) ? Bytes(_scale.Largest / 4) : 0,
            SoftLimit = Chance(20) ? Bytes(_scale.Largest) : long.MaxValue,
            KillDisabled = Chance(15) ? true : null,
            KillWholeGroup = Chance(10),
            WaitTimeout = Chance(30) ? TimeSpan.FromMilliseconds(_random.Next(5000)) : null,
            BatchBytes = Chance(10) ? 1 : null,
        }));
    }

    private void CloseGroup()
    {
        MemoryGroup group = Pick(Groups);
        if (group.Parent is not null && !group.IsClosed)
        {
            Note("  " + group.Path);
            group.Dispose();
            long left = 0;
            foreach (WalkActor actor in Actors)
            {
                foreach (MemberBooks books in actor.Member.LeftBooks)
                {
                    left += books.Group.IsWithin(group) ? books.Usage : 0;
                }
            }

            Assert.True(group.Usage == left, $"{group.Path} is closed and still uses {group.Usage}, {left} were left");
        }
    }

    private void CreateMember()
    {
        MemoryGroup group = Pick(Groups);
        if (Actors.Count >= MostActors || group.IsClosed)
        {
            return;
        }

        MemorySpace? shared = Chance(15) && Actors.Count > 0 ? Pick(Actors).Member.Space : null;
        Actors.Add(new WalkActor(group.CreateMember($"m{_names++}", new MemoryMemberOptions
        {
            OomScoreAdjustment = Chance(10) ? -1000 : Chance(20) ? _random.Next(-999, 1001) : 0,
            Space = shared is { IsHidden: false } ? shared : null,
        })));
    }

    private void Move(WalkActor actor)
    {
        MemoryGroup to = Pick(Groups);
        if (actor.Member.IsExited || to.IsClosed || actor.Member.Group.IsClosed)
        {
            return;
        }

        Note($"  {actor.Member.Path} to {to.Path}");
        bool stays = actor.Member.IsDying || actor.Member.Space.IsVictim;
        Assert.True(actor.Member.MoveTo(to) == !stays, "who is neither dying nor a victim's sharer moves");
    }

    private void TryCharge(WalkActor actor)
    {
        long bytes = Bytes(_scale.Largest / 4);
        if (UnlessExited(actor, () => actor.Member.TryCharge(bytes)))
        {
            actor.Raw.Add(bytes);
        }
    }

    private void ChargeNow(WalkActor actor)
    {
        ChargeFlags flags = Flags[_random.Next(Flags.Length)];
        long bytes = Bytes(_scale.Largest / 4);
        try
        {
            if (!actor.Member.IsExited)
            {
                actor.Member.Charge(bytes, flags);
                actor.Raw.Add(bytes);
                ForcedSinceCheck += (flags & WalkAsking.Forcing) != 0 ? bytes : 0;
            }
        }
        catch (Exception error) when (error is MemoryLimitExceededException or OomKilledException)
        {
            Assert.False(flags.HasFlag(ChargeFlags.NoFail), $"a NoFail charge was refused: {error.Message}");
        }
        catch (ObjectDisposedException)
        {
            Assert.True(actor.Member.IsExited, "closed although it is open");
        }
    }

    private void Ask(WalkActor actor)
    {
        if (Asking.Count >= MostAsking || actor.Member.IsExited)
        {
            return;
        }

        WalkKind kind = Chance(50) ? WalkKind.Raw
            : actor.Leases.Count == 0 || Chance(70) ? WalkKind.Lease
            : WalkKind.Grow;
        ChargeFlags flags = Flags[_random.Next(Flags.Length)];
        var asking = new WalkAsking(actor, Bytes(_scale.Largest / (Chance(3) ? 1 : 4)), flags, kind)
        {
            Growing = kind == WalkKind.Grow ? Pick(actor.Leases) : null,
        };
        Asking.Add(asking);
        asking.Begin();
        Note($"  {actor.Member.Path} {asking.Bytes} {flags} {kind} {asking.Task.Status}");
    }

    private void Uncharge(WalkActor actor)
    {
        int at = _random.Next(actor.Raw.Count);
        long bytes = actor.Raw[at];
        long part = Chance(70) ? bytes : Bytes(bytes);
        actor.Raw[at] = bytes - part;
        if (part == bytes)
        {
            actor.Raw.RemoveAt(at);
        }

        Note($"  {actor.Member.Path} {part} of {bytes}");
        actor.Member.Uncharge(part);
    }

    private void UseLease(WalkActor actor)
    {
        MemoryCharge lease = Pick(actor.Leases);
        switch (_random.Next(7))
        {
            case 0:
                actor.Leases.Add(lease.Split(_random.NextInt64(lease.Bytes + 1)));
                break;
            case 1:
                lease.Shrink(_random.NextInt64(lease.Bytes + 10));
                break;
            case 2:
                UnlessExited(actor, () => lease.TryGrow(Bytes(_scale.Largest / 16)));
                break;
            case 3:
                Transfer(actor, lease);
                break;
            case 4 when !actor.Member.Space.IsUnstable:
                actor.Member.Space.AddReapable(new WalkReapable(lease, Chance(80)));
                break;
            default:
                lease.Dispose();
                lease.Dispose();
                actor.Leases.Remove(lease);
                break;
        }
    }

    private void Transfer(WalkActor actor, MemoryCharge lease)
    {
        WalkActor to = Pick(Actors);
        try
        {
            if (lease.TransferTo(to.Member) is { } moved)
            {
                to.Leases.Add(moved);
            }

            actor.Leases.Remove(lease);
        }
        catch (ArgumentException)
        {
            bool mayDiffer = to.Member.Group != actor.Member.Group || actor.Member.HasMoved;
            Assert.True(mayDiffer, "a transfer within a group was refused");
        }
    }

    private void UseAccount(WalkActor actor)
    {
        if (actor.Member.IsExited || actor.IsInAccount)
        {
            return;
        }

        MemoryAccount account = actor.Account ??= actor.Member.OpenAccount();
        actor.IsInAccount = true;
        switch (_random.Next(4))
        {
            case 0:
                account.Shrink(_random.NextInt64(account.Used + 1));
                break;
            case 1:
                account.Dispose();
                actor.Account = null;
                break;
            default:
                UnlessExited(actor, () => account.TryGrow(Bytes(_scale.Largest / 16)));
                break;
        }

        actor.IsInAccount = false;
    }

    // The member may exit in the middle of the call, when others get their turn.
    private static bool UnlessExited(WalkActor actor, Func<bool> charge)
    {
        try
        {
            return !actor.Member.IsExited && charge();
        }
        catch (ObjectDisposedException)
        {
            Assert.True(actor.Member.IsExited, "closed although it is open");
            return false;
        }
    }
}
