// The operations of a random walk that change the rules while the others play: limits, switches, clocks, scripts.
namespace MemoryGroups.Tests;

internal sealed partial class RandomWalk
{
    private static readonly ProbePoint[] Points = [.. Enum.GetValues<ProbePoint>().Where(static one => one != 0)];

    private void SetLimit()
    {
        MemoryGroup group = Pick(Groups);
        if (group.Parent is null)
        {
            return;
        }

        long bytes = Chance(20) ? long.MaxValue : Bytes(_scale.Largest);
        Note($"  {group.Path} {bytes}");
        switch (_random.Next(5))
        {
            case 0:
                group.High = bytes;
                break;
            case 1:
                group.Low = Math.Min(bytes, _scale.Largest / 4);
                break;
            case 2:
                group.Min = Math.Min(bytes, _scale.Largest / 8);
                break;
            default:
                _invariants.NoteLimit(group, bytes);
                group.Max = bytes;
                break;
        }
    }

    private void ChangeMax()
    {
        MemoryGroup group = Pick(Groups);
        if (group.Parent is null || _watched.Count > 20)
        {
            return;
        }

        long bytes = Bytes(_scale.Largest);
        var cancel = new CancellationTokenSource();
        Note($"  {group.Path} {bytes}");
        _invariants.NoteLimit(group, bytes);
        Task change = Chance(50)
            ? group.SetMaxAsync(bytes, cancel.Token).AsTask()
            : group.TrySetMaxAsync(bytes, cancel.Token).AsTask();
        _watched.Add(change);
        _changing.Add((group, bytes, change));
        if (Chance(20))
        {
            cancel.Cancel();
        }
    }

    private void ChangeCapacity()
    {
        if (_world.Root.Capacity != long.MaxValue)
        {
            long bytes = _scale.Largest + Bytes(_scale.Largest * 4);
            Note($"  {bytes}");
            _invariants.NoteLimit(_world.Root, bytes);
            _world.Root.Capacity = bytes;
        }
    }

    private void UseSignal()
    {
        MemoryGroup group = Pick(Groups);
        if (_signals.Count > 10 || group.IsClosed)
        {
            int at = _random.Next(_signals.Count);
            _signals[at].Registration.Dispose();
            _signals[at].Group.Oom.Unregister(_signals[at].Signal);
            _signals.RemoveAt(at);
        }
        else
        {
            MemorySignal signal = _signals.Count > 0 && Chance(30) ? Pick(_signals).Signal : new MemorySignal();
            _signals.Add((group, signal, group.Oom.Register(signal)));
        }
    }

    private void AddReclaimer()
    {
        if (Actors.Count == 0 || _registered.Count > 12)
        {
            return;
        }

        WalkActor cache = Pick(Actors);
        MemoryGroup group = Chance(80) ? cache.Member.Group : Pick(Groups);
        if (group.IsClosed)
        {
            return;
        }

        var temper = Chance(40) ? WalkTemper.Honest : (WalkTemper)_random.Next(6);
        var reclaimer = new WalkReclaimer(this, group, cache, temper, _random.Next(3));
        Note($"  {temper} in {group.Path}");
        Reclaimers.Add(reclaimer);
        bool lastResort = Chance(20);
        _registered.Add((
            reclaimer, lastResort ? _world.Root.AddLastResortReclaimer(reclaimer) : group.AddReclaimer(reclaimer)));
    }

    private void RemoveReclaimer()
    {
        if (_registered.Count > 0)
        {
            int at = _random.Next(_registered.Count);
            _registered[at].Registration.Dispose();
            _registered.RemoveAt(at);
        }
    }

    private void FreezeOrThaw(WalkActor actor)
    {
        if (actor.Member.IsFrozen)
        {
            actor.Member.Thaw();
        }
        else
        {
            actor.Member.Freeze();
            Assert.False(actor.Member.IsKilled && actor.Member.IsFrozen, "a killed member is frozen");
        }
    }

    private void SwitchKiller()
    {
        switch (_random.Next(4))
        {
            case 0:
                Watch(_world.Root.OomKiller.DisableAsync(TimeSpan.FromMilliseconds(_random.Next(3000))));
                break;
            case 1:
                Watch(_world.Root.OomKiller.KillNowAsync());
                break;
            default:
                _world.Root.OomKiller.Enable();
                break;
        }
    }

    private void SwitchGroup()
    {
        MemoryGroup group = Pick(Groups);
        if (group.Parent is null || Chance(30))
        {
            group.Oom.KillWholeGroup = Chance(30);
        }
        else
        {
            group.Oom.KillDisabled = Chance(30);
        }
    }

    private void CancelOne()
    {
        if (Asking.Count > 0)
        {
            Pick(Asking).Cancel.Cancel();
        }
    }

    private void Advance()
    {
        int most = Chance(20) ? 10_000 : Chance(50) ? 300 : 15;
        _world.Advance(TimeSpan.FromMilliseconds(_random.Next(most)));
    }

    // The next actor at some observation point finds that others did something meanwhile.
    private void ScriptAProbe()
    {
        if (_scripts > 4 || _nesting > 2)
        {
            return;
        }

        ProbePoint point = Points[_random.Next(Points.Length)];
        int count = _random.Next(1, 5);
        _scripts++;
        Note($"  {count} at {point}");
        _world.Once(point, () =>
        {
            _scripts--;
            _nesting++;
            try
            {
                for (int i = 0; i < count; i++)
                {
                    Operate();
                }
            }
            catch (Exception error)
            {
                // Thrown into the protocol it would end somebody's charge instead of the walk.
                _nestedError ??= error;
            }

            _nesting--;
        });
    }

    private void Watch<T>(ValueTask<T> task) => _watched.Add(task.AsTask());

    private void CheckWatched()
    {
        _watched.RemoveAll(static task =>
        {
            Assert.False(task.IsFaulted, $"an administrator's call ended with {task.Exception?.InnerException}");
            return task.IsCompleted;
        });

        // A TrySetMaxAsync under way installs its limit when it can.
        _changing.ForEach(one => _invariants.NoteLimit(one.Group, one.Bytes));
        _changing.RemoveAll(static one => one.Change.IsCompleted);
    }
}
