// One worker of the soak: makes members, fills them, gives some of it back, and goes, well or badly behaved.
//
// It is the only one that uses its leases, apart from its reclaimer and the reaper, which take them from the same bag:
// who takes a lease out of the bag disposes it.
using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace MemoryGroups.Tests;

internal sealed class SoakWorker(SoakEpoch epoch, Random random)
{
    public async Task RunAsync()
    {
        while (!epoch.IsOver)
        {
            try
            {
                MemoryGroup group = epoch.PickGroup(random);
                await WorkAsync(group).ConfigureAwait(false);
            }
            catch (ObjectDisposedException)
            {
                // The group was closed before the member was in it.
                epoch.Tally.Note("closed before it began");
            }

            await Task.Yield();
        }
    }

    private async Task WorkAsync(MemoryGroup group)
    {
        MemorySpace? shared = random.Next(12) == 0 ? epoch.SomeSpace() : null;
        MemoryMember member = group.CreateMember("worker", new MemoryMemberOptions
        {
            OomScoreAdjustment = random.Next(30) == 0 ? MemoryMember.NeverKill : random.Next(-200, 200),
            Space = shared,
        });
        var bag = new ConcurrentBag<SoakBytes>();
        using IDisposable? reclaimer = AddReclaimer(group, member, bag);
        epoch.Enter(member);
        for (int i = random.Next(60); i >= 0 && !epoch.IsOver; i--)
        {
            if (!await ChargeOnceAsync(member, bag).ConfigureAwait(false))
            {
                break;
            }

            GiveSomeBack(bag);
            if (random.Next(40) == 0)
            {
                epoch.Tally.NoteMove(member, epoch.PickGroup(random));
            }
        }

        epoch.Leave(member);
        if (member.IsKilled && random.Next(6) == 0)
        {
            // Ignores its death; the reaper and the end of the epoch deal with it.
            epoch.AddStuck(member, bag);
            return;
        }

        Empty(bag, random.Next(4) == 0 ? random.Next(3) : int.MaxValue);
        member.Dispose();
        Empty(bag, int.MaxValue);
    }

    // False when the member is dead or gone.
    private async Task<bool> ChargeOnceAsync(MemoryMember member, ConcurrentBag<SoakBytes> bag)
    {
        using var cancel = new CancellationTokenSource();
        using IDisposable asking = epoch.Ask(member, cancel);
        try
        {
            await member.WaitWhileFrozenAsync(epoch.Ended).ConfigureAwait(false);
            long bytes = random.Next(100) == 0
                ? epoch.Root.Capacity + random.Next(1000)
                : 1 + (long)Math.Pow(24 << 20, 0.5 + (random.NextDouble() / 2));
            MemoryCharge? lease = random.Next(3) == 0
                ? member.TryLease(bytes)
                : await member.LeaseAsync(bytes, Flags(), cancel.Token).ConfigureAwait(false);
            epoch.Tally.Note(lease is null ? "not now" : "granted");
            if (lease is not null)
            {
                Keep(member, bag, new SoakBytes(lease, epoch.IsNative));
            }

            return !member.IsKilled;
        }
        catch (Exception error)
        {
            bool ended = epoch.Ended.IsCancellationRequested && error is OperationCanceledException;
            return (ended || epoch.Tally.NoteError(error, member, cancel.Token)) && !member.IsDying && !member.IsExited;
        }
    }

    private void Keep(MemoryMember member, ConcurrentBag<SoakBytes> bag, SoakBytes bytes)
    {
        if (random.Next(100) == 0)
        {
            _ = Task.Run(bytes.Dispose);
            return;
        }

        bag.Add(bytes);
        if (random.Next(3) == 0)
        {
            try
            {
                member.Space.AddReapable(bytes.AsReapable());
            }
            catch (OomKilledException)
            {
                epoch.Tally.Note("reaped before it was registered");
            }
        }
    }

    private void GiveSomeBack(ConcurrentBag<SoakBytes> bag)
    {
        if (random.Next(5) == 0)
        {
            Empty(bag, 1 + random.Next(3));
        }
    }

    internal static void Empty(ConcurrentBag<SoakBytes> bag, int most)
    {
        for (int i = 0; i < most && bag.TryTake(out SoakBytes? bytes); i++)
        {
            bytes.Dispose();
        }
    }

    // Seven of ten can give their memory back, two of ten are faulty.
    private IDisposable? AddReclaimer(MemoryGroup group, MemoryMember member, ConcurrentBag<SoakBytes> bag)
    {
        int kind = random.Next(10);
        SoakFault fault = kind < 7 ? SoakFault.None : (SoakFault)(1 + random.Next(5));
        return kind == 9 ? null : group.AddReclaimer(new SoakReclaimer(epoch, member, bag, fault));
    }

    private ChargeFlags Flags() => random.Next(12) switch
    {
        0 => ChargeFlags.NoRetry,
        1 => ChargeFlags.RetryMayFail,
        2 => ChargeFlags.NoReclaim,
        3 => ChargeFlags.HighPriority,
        _ => ChargeFlags.None,
    };
}

internal enum SoakFault
{
    None,
    Throws,
    Hangs,
    ClaimsMore,
    ClaimsLess,
    FreesLate,
}

internal sealed class SoakReclaimer(
    SoakEpoch epoch, MemoryMember member, ConcurrentBag<SoakBytes> bag, SoakFault fault)
    : MemoryReclaimer("soak-" + fault)
{
    public override async ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken)
    {
        switch (fault)
        {
            case SoakFault.Throws:
                throw new InsufficientMemoryException("a reclaimer without memory");
            case SoakFault.Hangs:
                await epoch.EndedAsync.ConfigureAwait(false);
                return 0;
            case SoakFault.FreesLate:
                await Task.Yield();
                _ = Task.Run(() => Free(request.Bytes));
                return request.Bytes;
            default:
                long freed = Free(request.Bytes);
                return fault switch
                {
                    SoakFault.ClaimsMore => freed + (freed / 2),
                    SoakFault.ClaimsLess => freed / 2,
                    _ => freed,
                };
        }
    }

    private long Free(long wanted)
    {
        long freed = 0;
        while (freed < wanted && !member.IsExited && bag.TryTake(out SoakBytes? bytes))
        {
            freed += bytes.Size;
            bytes.Dispose();
        }

        return freed;
    }
}

// A lease and, in the native variant, the memory it stands for. Freed once, by whoever comes first.
internal sealed class SoakBytes : IDisposable
{
    private readonly MemoryCharge _lease;
    private nint _memory;

    public SoakBytes(MemoryCharge lease, bool isNative)
    {
        _lease = lease;
        if (isNative)
        {
            _memory = Marshal.AllocHGlobal((nint)Math.Max(1, lease.Bytes));
            Marshal.WriteByte(_memory, 1);
        }
    }

    public long Size => _lease.Bytes;

    public ReapableMemory AsReapable() => new Reapable(this);

    public void Dispose()
    {
        Free();
        _lease.Dispose();
    }

    private void Free()
    {
        nint memory = Interlocked.Exchange(ref _memory, 0);
        if (memory != 0)
        {
            Marshal.FreeHGlobal(memory);
        }
    }

    private sealed class Reapable(SoakBytes bytes) : ReapableMemory(bytes._lease)
    {
        protected internal override bool TryFree()
        {
            bytes.Free();
            return true;
        }
    }
}
