// What goes wrong around the workers of the soak, tick by tick: limits, cancels, closings, vetoes, clocks, starvation.
namespace MemoryGroups.Tests;

internal sealed class SoakTrouble(SoakEpoch epoch, Random random)
{
    private TaskCompletionSource? _starving;
    private int _starvedFor;

    // Called about once per millisecond of real time.
    public void Tick()
    {
        if (_starving is not null && --_starvedFor == 0)
        {
            Feed();
        }

        switch (random.Next(2000))
        {
            case < 100:
                CutOrRaise(epoch.PickGroup(random));
                break;
            case < 104:
                epoch.Asking.FirstOrDefault()?.Cancel();
                break;
            case < 110:
                CloseSome();
                break;
            case < 118:
                epoch.Time.Jump(TimeSpan.FromMilliseconds(random.Next(-4000, 4000)));
                break;
            case < 122:
                Watch(epoch.Root.OomKiller.DisableAsync(TimeSpan.FromMilliseconds(random.Next(500))).AsTask());
                break;
            case < 130:
                epoch.Root.OomKiller.Enable();
                break;
            case < 150:
                FreezeOrThaw();
                break;
            case < 170:
                SetHandler(epoch.PickGroup(random));
                break;
            case < 180:
                MemoryGroup group = epoch.PickGroup(random);
                group.Oom.KillDisabled = random.Next(4) == 0;
                break;
            case < 182:
                Starve();
                break;
            case < 190:
                MoveSome();
                break;
            case < 198:
                epoch.Members.FirstOrDefault()?.Kill("the soak said so");
                break;
        }
    }

    public void Stop()
    {
        Feed();
        foreach (MemoryMember member in epoch.Members)
        {
            member.Thaw();
        }
    }

    private void Feed()
    {
        _starving?.TrySetResult();
        _starving = null;
    }

    private void CutOrRaise(MemoryGroup group)
    {
        long bytes = (2L + random.Next(60)) << 20;
        switch (random.Next(3))
        {
            case 0:
                group.Max = bytes;
                break;
            case 1:
                Watch(group.SetMaxAsync(bytes).AsTask());
                break;
            default:
                Watch(group.TrySetMaxAsync(bytes).AsTask());
                break;
        }
    }

    private void Watch(Task change) => _ = WatchAsync(change);

    private async Task WatchAsync(Task change)
    {
        try
        {
            await change.ConfigureAwait(false);
        }
        catch (OutOfMemoryException)
        {
            epoch.Tally.Note("injected into an administrator's call");
        }
        catch (Exception error)
        {
            epoch.Tally.Find($"an administrator's call ended with {error}");
        }
    }

    // Preferably one with a victim inside.
    private void CloseSome()
    {
        MemoryGroup group = epoch.Members.FirstOrDefault(static member => member.Space.IsVictim)?.Group
            ?? epoch.PickGroup(random);
        MemoryGroup closing = random.Next(4) == 0 && group.Parent is { Parent: not null } above ? above : group;
        closing.Dispose();
    }

    private void MoveSome()
    {
        MemoryGroup to = epoch.PickGroup(random);
        foreach (MemoryMember member in epoch.Members.Skip(random.Next(8)).Take(1 + random.Next(3)))
        {
            epoch.Tally.NoteMove(member, to);
        }
    }

    private void FreezeOrThaw()
    {
        foreach (MemoryMember member in epoch.Members.Take(4))
        {
            if (member.IsFrozen)
            {
                member.Thaw();
            }
            else if (random.Next(3) == 0)
            {
                member.Freeze();
            }
        }
    }

    private void SetHandler(MemoryGroup group) =>
        group.Oom.Handler = random.Next(3) == 0 ? null : new SoakHandler(epoch, random.Next(4));

    // Every thread of the pool is busy for a while.
    private void Starve()
    {
        if (_starving is null)
        {
            _starving = new TaskCompletionSource();
            _starvedFor = 50 + random.Next(200);
            for (int i = 0; i < 4 * Environment.ProcessorCount; i++)
            {
                ThreadPool.UnsafeQueueUserWorkItem(
                    static starving => starving.Wait(), _starving.Task, preferLocal: false);
            }
        }
    }
}

// Vetoes, hangs, throws, or names somebody whom the OOM does not concern.
internal sealed class SoakHandler(SoakEpoch epoch, int kind) : OomHandler
{
    public override async ValueTask<OomDecision> OnOomAsync(OomScene scene, CancellationToken cancellationToken)
    {
        switch (kind)
        {
            case 0:
                return OomDecision.Freed;
            case 1:
                await epoch.EndedAsync.ConfigureAwait(false);
                return OomDecision.Decline;
            case 2:
                throw new InsufficientMemoryException("a handler without memory");
            default:
                return epoch.Members.FirstOrDefault() is { } anybody ? OomDecision.Kill(anybody) : OomDecision.Decline;
        }
    }
}
