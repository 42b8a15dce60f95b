// Seed 004: who is told of an OOM, how often, and who is not. Registering and unregistering around its edges.
namespace MemoryGroups.Tests;

public sealed class S004NotificationTests
{
    public static TheoryData<string> PointsBeforeTheNotification =>
        [.. new[] { ProbePoint.ChargeRefused, ProbePoint.Queued, ProbePoint.Marked, ProbePoint.BeforeNotify }
            .Select(static point => point.ToString())];

    [Fact]
    [Requirement("S004-1")]
    public void Registration_alone_raises_nothing_and_changes_no_books()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember member = tenant.CreateMember("member");
        Assert.True(world.Charge(member, 1000).Granted);
        var signal = new MemorySignal();

        tenant.Oom.Register(signal);
        member.Uncharge(500);
        Assert.True(world.Charge(member, 500).Granted);

        Assert.Equal(0, signal.Total);
        Assert.Equal(1000, tenant.Usage);
        Assert.Equal(default, tenant.Events.Current);
    }

    [Fact]
    [Requirement("S004-2")]
    [Requirement("T62")]
    public void Signal_registered_twice_is_raised_twice_and_unregistered_at_once()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        MemorySignal twice = new(), once = new();
        tenant.Oom.Register(twice);
        tenant.Oom.Register(once);
        tenant.Oom.Register(twice);

        OneOom(world, tenant, hog);
        Assert.Equal((2, 1), (twice.Take(), once.Take()));

        tenant.Oom.Unregister(twice);
        tenant.Oom.Unregister(twice);
        OneOom(world, tenant, hog);
        Assert.Equal((0, 1), (twice.Take(), once.Take()));

        tenant.Dispose();
        Assert.Equal((0, 1), (twice.Take(), once.Take()));
    }

    [Fact]
    [Requirement("S004-3")]
    [Requirement("S004-4")]
    [Requirement("T60")]
    public void Oom_tells_the_group_and_those_below_it_once_however_many_contend()
    {
        using var world = new World();
        MemoryGroup a = world.Root.CreateGroup("a");
        MemoryGroup b = a.CreateGroup("b", FullGroup.Sleepy);
        MemoryGroup c = b.CreateGroup("c");
        MemoryGroup sibling = a.CreateGroup("sibling");
        MemorySignal[] signals = [.. new MemoryGroup[] { world.Root, a, b, c, sibling }.Select(static group =>
        {
            var signal = new MemorySignal();
            group.Oom.Register(signal);
            return signal;
        })];
        FullGroup.Fill(world, b);

        Pending[] asking = [.. Enumerable.Range(0, 10).Select(_ => FullGroup.Ask(world, c, 10))];

        Assert.All(asking, static one => Assert.True(one.Sleeps));
        Assert.Equal(1, b.Events.Current.Oom);
        Assert.Equal([0, 0, 1, 1, 0], signals.Select(static signal => signal.Total));
    }

    [Fact]
    [Requirement("S004-4")]
    [Requirement("S000-11")]
    public void Each_acquire_of_the_lock_notifies_once_and_a_loser_never()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryMember hog = FullGroup.Fill(world, tenant);
        var signal = new MemorySignal();
        tenant.Oom.Register(signal);
        Pending? loser = null;
        world.Once(ProbePoint.KillReturned, () => loser = world.Begin(tenant.CreateMember("loser"), 10));

        Pending winner = FullGroup.Ask(world, tenant, 10);
        Assert.Equal(1, signal.Total);
        Assert.True(loser!.Sleeps);

        hog.Dispose();
        world.Run();
        Assert.True(winner.Granted && loser.Granted);
        Assert.Equal(1, signal.Total);
        Assert.Equal(1, tenant.Events.Current.Oom);
    }

    [Fact]
    [Requirement("S004-5")]
    [Requirement("T61")]
    public void Registration_under_oom_raises_that_signal_at_once_and_no_other()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        MemoryGroup tenant = parent.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryGroup child = tenant.CreateGroup("child");
        FullGroup.Fill(world, tenant);
        var old = new MemorySignal();
        tenant.Oom.Register(old);
        FullGroup.Ask(world, tenant, 10);
        Assert.Equal(1, old.Take());
        MemorySignal onTenant = new(), onChild = new(), onParent = new();

        tenant.Oom.Register(onTenant);
        child.Oom.Register(onChild);
        parent.Oom.Register(onParent);

        Assert.Equal((1, 1, 0, 0), (onTenant.Total, onChild.Total, onParent.Total, old.Take()));
    }

    [Theory]
    [Requirement("S004-6")]
    [MemberData(nameof(PointsBeforeTheNotification))]
    public void Registration_around_the_start_of_an_oom_gets_a_signal(string point)
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        FullGroup.Fill(world, tenant);
        var signal = new MemorySignal();
        world.Once(Enum.Parse<ProbePoint>(point), () => tenant.Oom.Register(signal));

        FullGroup.Ask(world, tenant, 10);

        Assert.InRange(signal.Total, 1, 2);
    }

    [Fact]
    [Requirement("S004-7")]
    [Requirement("S004-12")]
    public void Registration_that_fails_has_no_effect()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", FullGroup.Sleepy);
        MemoryGroup closed = parent.CreateGroup("closed");
        closed.Dispose();
        var signal = new MemorySignal();

        Assert.Throws<ObjectDisposedException>(() => closed.Oom.Register(signal));
        Assert.Throws<ArgumentNullException>(() => parent.Oom.Register(null!));
        Assert.Throws<ArgumentNullException>(() => parent.Oom.Unregister(null!));

        Assert.Equal((0, 0), (closed.RegistrationsInSubtree, world.Root.RegistrationsInSubtree));
        FullGroup.Fill(world, parent);
        FullGroup.Ask(world, parent, 10);
        Assert.Equal(0, signal.Total);
    }

    [Fact]
    [Requirement("S004-8")]
    public void Disposed_registration_ends_alone_and_disposing_again_is_harmless()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", FullGroup.Sleepy);
        MemoryGroup other = world.Root.CreateGroup("other", FullGroup.Sleepy);
        MemoryMember hog = FullGroup.Fill(world, tenant);
        MemoryMember otherHog = FullGroup.Fill(world, other);
        var signal = new MemorySignal();
        IDisposable first = tenant.Oom.Register(signal);
        tenant.Oom.Register(signal);
        other.Oom.Register(signal);

        first.Dispose();
        first.Dispose();
        OneOom(world, tenant, hog);
        Assert.Equal(1, signal.Take());

        tenant.Oom.Unregister(signal);
        tenant.Oom.Unregister(new MemorySignal());
        OneOom(world, tenant, hog);
        Assert.Equal(0, signal.Take());
        OneOom(world, other, otherHog);
        Assert.Equal(1, signal.Take());
        Assert.Equal(1, world.Root.RegistrationsInSubtree);
    }

    [Fact]
    [Requirement("S004-10")]
    [Requirement("D9")]
    public void Root_takes_registrations_and_never_tells_them()
    {
        using var world = new World(capacity: 1000);
        MemoryGroup tenant = world.Root.CreateGroup("tenant");
        MemoryMember hog = tenant.CreateMember("hog");
        MemorySignal onRoot = new(), onTenant = new();
        world.Root.Oom.Register(onRoot);
        tenant.Oom.Register(onTenant);
        Assert.True(world.Charge(hog, 1000).Granted);

        FullGroup.Ask(world, tenant, 10);

        Assert.True(hog.IsKilled);
        Assert.Equal((0, 0), (onRoot.Total, onTenant.Total));
    }

    [Fact]
    [Requirement("S004-11")]
    public void New_group_inherits_no_registration()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent");
        var signal = new MemorySignal();
        parent.Oom.Register(signal);

        MemoryGroup child = parent.CreateGroup("child", FullGroup.Sleepy);
        FullGroup.Fill(world, child);
        FullGroup.Ask(world, child, 10);

        Assert.Equal(0, child.RegistrationsInSubtree);
        Assert.Equal(0, signal.Total);
    }

    [Fact]
    [Requirement("S004-13")]
    public void Signal_is_raised_before_the_system_is_stopped()
    {
        using var world = new World(configure: static options => options with { PanicOnOom = OomPanic.Always });
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        FullGroup.Fill(world, tenant);
        var signal = new MemorySignal();
        tenant.Oom.Register(signal);
        long raisedBefore = -1;
        world.Root.Panicking = _ => raisedBefore = signal.Total;

        FullGroup.Ask(world, tenant, 10);

        Assert.Equal(1, raisedBefore);
    }

    [Fact]
    [Requirement("S004-14")]
    public void Already_in_oom_is_the_mark_and_not_the_lock()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        FullGroup.Fill(world, tenant);
        var signal = new MemorySignal();
        world.Once(ProbePoint.KillReturned, () =>
        {
            Assert.NotNull(tenant.OomLock.Holder);
            Assert.False(tenant.Oom.UnderOom);
            tenant.Oom.Register(signal);
        });

        FullGroup.Ask(world, tenant, 10);

        Assert.Equal(0, signal.Total);
    }

    [Fact]
    [Requirement("T67")]
    [Requirement("M18")]
    public void Killer_switch_is_copied_at_creation_and_not_followed()
    {
        using var world = new World();
        MemoryGroup parent = world.Root.CreateGroup("parent", new MemoryGroupOptions { KillDisabled = true });

        MemoryGroup first = parent.CreateGroup("first");
        parent.Oom.KillDisabled = false;
        MemoryGroup second = parent.CreateGroup("second");

        Assert.True(first.Oom.KillDisabled);
        Assert.False(second.Oom.KillDisabled);
        Assert.False(parent.CreateGroup("told", new MemoryGroupOptions { KillDisabled = false }).Oom.KillDisabled);
        Assert.Throws<InvalidOperationException>(() => world.Root.Oom.KillDisabled = true);
    }

    // A request that finds the group full, and the memory that ends its sleep.
    private static void OneOom(World world, MemoryGroup group, MemoryMember hog)
    {
        MemoryMember asker = group.CreateMember("asker");
        Pending asking = world.Charge(asker, 10);
        Assert.True(asking.Sleeps);
        hog.Uncharge(10);
        world.Run();
        Assert.True(asking.Granted);
        asker.Dispose();
        Assert.True(world.Charge(hog, 10).Granted);
    }
}
