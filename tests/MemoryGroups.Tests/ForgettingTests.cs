// What is over is collected while its group lives on: a service that makes one for each request does so for months.
//
// A thousand of each kind are made and ended one after the other; a handful may be alive at the end (in a pool, or in
// what a thread remembers), never a number that grows with those that were made.
//
// In one collection with everything else that has buffers: the store of slabs belongs to the process.
using System.Runtime.CompilerServices;

namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class ForgettingTests
{
    private const int Made = 1000;
    private const int MostAlive = 8;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private static readonly Dictionary<string, Func<Scene, object[]>> Kinds = new()
    {
        ["member that charged"] = static scene =>
        {
            MemoryMember member = scene.Group.CreateMember("query");
            Assert.True(scene.World.Charge(member, 5000).Granted);
            member.Uncharge(1000);
            return Ended(member, member.Books, member.Space);
        },
        ["member that waited"] = static scene =>
        {
            MemoryMember member = scene.Full.CreateMember("query");
            Pending pending = scene.World.Charge(member, 10);
            Assert.True(pending.Sleeps);
            scene.Hog.Uncharge(10);
            scene.World.Run();
            Assert.True(pending.Granted);
            object[] ended = Ended(member, member.Books);
            scene.Hog.Charge(10);
            return ended;
        },
        ["member that gave up"] = static scene =>
        {
            MemoryMember member = scene.Full.CreateMember("query");
            using var cancel = new CancellationTokenSource();
            Pending pending = scene.World.Charge(member, 10, cancel: cancel.Token);
            cancel.Cancel();
            scene.World.Run();
            pending.Failed<OperationCanceledException>();
            return Ended(member, member.Books);
        },
        ["member that gave up by the caller's token"] = static scene =>
        {
            MemoryMember member = scene.Full.CreateMember("query");
            Pending pending = scene.World.Charge(member, 10, cancel: scene.Callers.Token);
            Assert.True(pending.Sleeps);
            object[] ended = Ended(member, member.Books);
            scene.World.Run();
            pending.Failed<ObjectDisposedException>();
            return ended;
        },
        ["member that timed out"] = static scene =>
        {
            MemoryMember member = scene.Full.CreateMember("query");
            Pending pending = scene.World.Charge(member, 10);
            scene.World.Advance(TimeSpan.FromHours(1));
            pending.Failed<MemoryLimitExceededException>();
            return Ended(member, member.Books);
        },
        ["member that was slowed down"] = static scene =>
        {
            MemoryMember member = scene.High.CreateMember("query");
            Pending pending = scene.World.Charge(member, 200_000);
            Assert.True(pending.Sleeps);
            scene.World.Advance(TimeSpan.FromHours(1));
            Assert.True(pending.Granted);
            return Ended(member, member.Books);
        },
        ["member that was killed"] = static scene =>
        {
            MemoryMember member = scene.Small.CreateMember("victim");
            MemoryMember asker = scene.Small.CreateMember("asker");
            CancellationTokenRegistration registration = member.Killed.Register(static () => { });
            Assert.True(scene.World.Charge(member, 900).Granted);
            Pending pending = scene.World.Charge(asker, 500);
            Assert.True(member.IsKilled);
            object[] ended = Ended(member, member.Books, member.Space);

            // For so long the reaper would come to look after it.
            scene.World.Advance(scene.World.Root.ReapDelay);
            registration.Dispose();
            Assert.True(pending.Granted);
            return [.. ended, .. Ended(asker)];
        },
        ["member that was killed and reaped"] = static scene =>
        {
            MemoryMember member = scene.Small.CreateMember("victim");
            MemoryMember asker = scene.Small.CreateMember("asker");
            MemoryBuffer buffer = member.Allocate(800);
            Pending pending = scene.World.Charge(asker, 500);
            scene.World.Advance(TimeSpan.FromHours(1));
            Assert.True(member.Space.IsHidden && pending.Granted);
            buffer.Dispose();
            return [.. Ended(member, member.Books, member.Space, buffer), .. Ended(asker)];
        },
        ["member that shares its space with one that stays"] = static scene =>
        {
            MemoryMember member = scene.Group.CreateMember(
                "thread", new MemoryMemberOptions { Space = scene.Resident.Space });
            member.Charge(100);
            return Ended(member);
        },
        ["member that moved"] = static scene =>
        {
            MemoryMember member = scene.Group.CreateMember("mover");
            member.Charge(100);
            member.MoveTo(scene.Other);
            member.Charge(100);
            member.MoveTo(scene.Group);
            return Ended(member, member.Books);
        },
        ["group where a lease was before its member moved on"] = static scene =>
        {
            MemoryGroup group = scene.Other.CreateGroup("tenant");
            scene.Lease.Member.MoveTo(group);
            Assert.True(scene.Lease.TryGrow(100));
            scene.Lease.Shrink(100);
            MemberBooks books = scene.Lease.Member.Books;
            scene.Lease.Member.MoveTo(scene.Group);
            return Ended(group, books);
        },
        ["member that was metered and frozen"] = static scene =>
        {
            MemoryMember member = scene.Group.CreateMember("query");
            member.AllocationBudget = 1 << 30;
            using (member.Enter())
            {
                member.Freeze();
                Assert.True(member.WaitWhileFrozenAsync().AsTask() is { IsCompleted: false });
            }

            return Ended(member, member.Meter);
        },
        ["group"] = static scene =>
        {
            MemoryGroup group = scene.Group.CreateGroup("session", new MemoryGroupOptions { Max = 1 << 20, Low = 10 });
            MemoryGroup below = group.CreateGroup("request");
            MemoryMember member = below.CreateMember("query");
            Assert.True(scene.World.Charge(member, 5000).Granted);
            return Ended(group, below, member, group.Counter);
        },
        ["group in which somebody waited"] = static scene =>
        {
            MemoryGroup group = scene.Group.CreateGroup("session").CreateGroup("request", FullGroup.Sleepy);
            MemoryMember hog = FullGroup.Fill(scene.World, group);
            Pending granted = FullGroup.Ask(scene.World, group, 10);
            Pending closed = FullGroup.Ask(scene.World, group, 20);
            hog.Uncharge(10);
            scene.World.Run();
            Assert.True(granted.Granted && closed.Sleeps);
            object[] ended = Ended(group.Parent!, group, hog);
            scene.World.Run();
            closed.Failed<ObjectDisposedException>();
            return ended;
        },
        ["group that is watched"] = static scene =>
        {
            MemoryGroup group = scene.Group.CreateGroup("session", new MemoryGroupOptions { Max = 1000 });
            MemoryMember member = group.CreateMember("query");
            group.Oom.Register(scene.Signal);
            group.Thresholds.Register(500, scene.Signal);
            group.Pressure.Register(PressureLevel.Low, scene.Signal);
            MemoryPeak peak = group.OpenPeak();
            group.AddReclaimer(new ScriptedReclaimer("cache", static _ => 0));
            Assert.True(scene.World.Charge(member, 700).Granted);
            scene.World.Charge(member, 700, ChargeFlags.NoRetry).Failed<MemoryLimitExceededException>();
            return Ended(group, member, group.Events, peak);
        },
        ["lease"] = static scene =>
        {
            MemoryCharge lease = scene.Resident.Lease(100);
            MemoryCharge part = lease.Split(10);
            part.Dispose();
            return Ended(lease, part);
        },
        ["account"] = static scene =>
        {
            MemoryAccount account = scene.Resident.OpenAccount();
            Assert.True(account.TryGrow(100));
            return Ended(account);
        },
        ["buffer"] = static scene => Ended(scene.Resident.Allocate(100)),
        ["large buffer"] = static scene => Ended(scene.Resident.Allocate(100_000)),
        ["pool"] = static scene =>
        {
            var pool = new ChargedArrayPool<byte>(scene.Resident);
            byte[] kept = Keeping.Array(pool, 4096);
            byte[] rented = pool.Rent(1000);
            Assert.True(pool.KeptBytes > 4096);
            return Ended(pool, kept, rented);
        },
        ["memory pool, stream and writer"] = static scene =>
        {
            var stream = new ChargedStream(scene.Resident);
            stream.Write(new byte[10_000]);
            var writer = new ChargedBufferWriter(scene.Resident);
            writer.GetSpan(5000)[0] = 1;
            writer.Advance(5000);
            var pool = new ChargedMemoryPool(scene.Resident);
            pool.Rent(100).Dispose();
            writer.Dispose();
            stream.Dispose();
            return Ended(pool, stream, writer);
        },
        ["reclaimer"] = static scene =>
        {
            var reclaimer = new ScriptedReclaimer("cache", static _ => 0);
            IDisposable registration = scene.Group.AddReclaimer(reclaimer);
            scene.Resident.Charge(1000);
            scene.World.Await(scene.Group.ReclaimAsync(10));
            Assert.Throws<MemoryLimitExceededException>(() => scene.Resident.Charge(scene.Group.Max));
            scene.Resident.Uncharge(1000);
            Assert.True(reclaimer.Calls.Count >= 2);
            registration.Dispose();
            return [reclaimer, registration];
        },
        ["last-resort reclaimer"] = static scene =>
        {
            var reclaimer = new ScriptedReclaimer("cache", static _ => 0);
            scene.World.Root.AddLastResortReclaimer(reclaimer).Dispose();
            return [reclaimer];
        },
        ["signal"] = static scene =>
        {
            var signal = new MemorySignal();
            IDisposable[] registrations =
            [
                scene.Group.Oom.Register(signal),
                scene.Group.Thresholds.Register(scene.Group.Usage + 500, signal),
                scene.Group.Pressure.Register(PressureLevel.Low, signal),
            ];
            scene.Resident.Charge(1000);
            scene.Resident.Uncharge(1000);
            scene.World.Root.Stocks.Drain(scene.World.Root);
            scene.World.Run();
            Assert.True(signal.Total >= 2);
            Array.ForEach(registrations, static one => one.Dispose());
            return [signal, .. registrations];
        },
        ["watcher"] = static scene =>
        [
            Watched(token => scene.Group.Events.WatchAsync(token), items: 1),
            Watched(token => scene.Group.Oom.WatchAsync(token), items: 0),
            Watched(token => scene.World.Root.Reports.WatchAsync(token), items: 0),
        ],
        ["peak"] = static scene => Ended(scene.Group.OpenPeak()),
    };

    public static TheoryData<string> Names => [.. Kinds.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Thing_that_is_over_is_collected_while_its_group_lives(string kind)
    {
        using var scene = new Scene();
        Func<Scene, object[]> makeAndEnd = Kinds[kind];

        List<WeakReference[]> made = [.. Enumerable.Range(0, Made).Select(_ => Weakly(makeAndEnd, scene))];

        Assert.All(Survivors.Count(made, MostAlive, Deadline), static count => Assert.InRange(count, 0, MostAlive));
    }

    // All at the same time: what served them waits in pools by the thousand, and refers to nobody.
    [Fact]
    public void Members_that_waited_at_once_are_collected_although_what_served_them_is_kept()
    {
        using var scene = new Scene();

        List<WeakReference[]> made = WaitAtOnce(scene);

        Assert.All(Survivors.Count(made, MostAlive, Deadline), static count => Assert.InRange(count, 0, MostAlive));
        Assert.NotNull(scene.World.Root.SpareAttempts.TryTake());
    }

    // A group, a member and a token for each.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static List<WeakReference[]> WaitAtOnce(Scene scene)
    {
        List<(MemoryMember Hog, MemoryMember Member, CancellationTokenSource Cancel, Pending Charge)> waiting = [];
        for (int i = 0; i < Made; i++)
        {
            MemoryGroup group = scene.Group.CreateGroup("request", FullGroup.Sleepy);
            MemoryMember hog = FullGroup.Fill(scene.World, group);
            MemoryMember member = group.CreateMember("query");
            var cancel = new CancellationTokenSource();
            waiting.Add((hog, member, cancel, scene.World.Charge(member, 10, cancel: cancel.Token)));
        }

        Assert.All(waiting, static one => Assert.True(one.Charge.Sleeps));
        waiting.ForEach(static one => one.Hog.Uncharge(10));
        scene.World.Run();
        Assert.All(waiting, static one => Assert.True(one.Charge.Granted));
        waiting.ForEach(static one => one.Member.Group.Dispose());
        return [.. waiting.Select(static one => new WeakReference[]
        {
            new(one.Member), new(one.Member.Group), new(one.Cancel), new(one.Charge.Task),
        })];
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference[] Weakly(Func<Scene, object[]> makeAndEnd, Scene scene) =>
        [.. makeAndEnd(scene).Select(static thing => new WeakReference(thing))];

    private static object[] Ended(IDisposable thing, params object[] others)
    {
        thing.Dispose();
        return [thing, .. others];
    }

    // Reads so many items, then waits for the next and gives up.
    private static object Watched<T>(Func<CancellationToken, IAsyncEnumerable<T>> watch, int items)
    {
        using var cancel = new CancellationTokenSource();
        IAsyncEnumerator<T> reader = watch(cancel.Token).GetAsyncEnumerator(CancellationToken.None);
        for (int i = 0; i < items; i++)
        {
            Assert.True(reader.MoveNextAsync().AsTask() is { IsCompletedSuccessfully: true, Result: true });
        }

        Task<bool> next = reader.MoveNextAsync().AsTask();
        Assert.False(next.IsCompleted);
        cancel.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => next.WaitAsync(Deadline).GetAwaiter().GetResult());
        return reader;
    }

    private sealed class Scene : IDisposable
    {
        internal World World { get; } = new();
        internal MemoryGroup Group { get; }
        internal MemoryGroup Other { get; }
        internal MemoryGroup Full { get; }
        internal MemoryGroup Small { get; }
        internal MemoryGroup High { get; }
        internal MemoryMember Hog { get; }
        internal MemoryMember Resident { get; }
        internal MemoryCharge Lease { get; }
        internal MemorySignal Signal { get; } = new();
        internal CancellationTokenSource Callers { get; } = new();

        internal Scene()
        {
            Group = World.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
            Other = World.Root.CreateGroup("other");
            Full = World.Root.CreateGroup("full", FullGroup.Sleepy);
            Small = World.Root.CreateGroup("small", new MemoryGroupOptions { Max = 1000 });
            High = World.Root.CreateGroup("high", new MemoryGroupOptions { High = 100_000 });
            Hog = FullGroup.Fill(World, Full);
            Resident = Group.CreateMember("resident");
            Lease = Group.CreateMember("traveller").Lease(0);
        }

        public void Dispose()
        {
            Callers.Dispose();
            World.Dispose();
        }
    }
}
