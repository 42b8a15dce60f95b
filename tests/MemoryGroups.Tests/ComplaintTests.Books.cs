// What users of other memory governors complained about in public, shown not to happen here: counting and showing.
// Each test names the report that it answers.
namespace MemoryGroups.Tests;

public sealed partial class ComplaintTests
{
    // ClickHouse/ClickHouse#117681: the number that refused stood still at an old peak, long after the memory was free.
    [Fact]
    [Requirement("C01")]
    public void C01_refusals_stop_with_the_return_that_makes_room_whatever_the_peak_was()
    {
        using var world = new World(38_450);
        MemoryGroup server = world.Root.CreateGroup("server", new MemoryGroupOptions { Max = 38_450 });
        MemoryMember large = server.CreateMember("large");
        Assert.True(large.TryCharge(38_450));
        Assert.False(server.CreateMember("early").TryCharge(1));

        // The process really holds far more than the capacity: nobody measures that to refuse somebody.
        byte[] real = new byte[8 << 20];
        large.Uncharge(31_000);

        // No clock moves and nothing is refreshed: the counter that refuses is the one that was just lowered.
        for (int query = 0; query < 378; query++)
        {
            using MemoryMember trivial = server.CreateMember($"query{query}");
            Assert.True(trivial.TryCharge(31_000), $"query {query}");
        }

        Assert.Equal((38_450, 7450), (server.PeakUsage, server.Usage));
        Assert.Equal(0, server.Events.Current.Max);
        GC.KeepAlive(real);
    }

    // ClickHouse#118094, #15932, #11153, #10293: the tracked total drifts, always upwards, and nothing corrects it.
    [Theory]
    [Requirement("C02")]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void C02_tracked_total_after_any_mix_of_operations_is_the_sum_of_what_is_held(int seed)
    {
        var random = new Random(seed);
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup(
            "tenant", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        List<MemoryMember> members = [tenant.CreateMember("first"), tenant.CreateMember("second")];
        var leases = new List<MemoryCharge>();
        for (int step = 0; step < 20_000; step++)
        {
            MemoryMember member = members[random.Next(members.Count)];
            MemoryCharge? lease = leases.Count > 0 ? leases[random.Next(leases.Count)] : null;
            long bytes = 1 + random.Next(20_000);
            switch (random.Next(9))
            {
                case 0 or 1 when member.TryLease(bytes) is { } fresh:
                    leases.Add(fresh);
                    break;
                case 2 when lease is { Member.IsExited: false, Member.IsKilled: false }:
                    lease.TryGrow(bytes);
                    break;
                case 3:
                    lease?.Shrink(bytes);
                    break;
                case 4 when lease?.Bytes > 0:
                    leases.Add(lease.Split(lease.Bytes / 2));
                    break;
                case 5 when lease?.TransferTo(member) is { } moved:
                    leases.Add(moved);
                    break;
                case 6:
                    lease?.Dispose();
                    break;
                case 7 when random.Next(20) == 0:
                    member.Kill("test");
                    break;
                case 8 when random.Next(20) == 0:
                    member.Dispose();
                    members.Remove(member);
                    members.Add(tenant.CreateMember($"m{step}"));
                    break;
            }

            if (step % 50 == 0)
            {
                leases.RemoveAll(static one => one.Bytes == 0);
                long held = leases.Where(static one => !one.Member.IsExited).Sum(static one => one.Bytes);
                Assert.True(
                    tenant.UsageLower <= held && held <= tenant.UsageUpper,
                    $"seed {seed}, step {step}: {tenant.UsageLower} <= {held} <= {tenant.UsageUpper}");
            }
        }

        leases.ForEach(static one => one.Dispose());
        Assert.Equal(0, members.Sum(static one => one.Usage));
        world.AssertQuiet();
    }

    // ClickHouse#98963, #59744, #74962; apache/doris#32573, #32215: memory that nobody uses makes innocents fail.
    [Fact]
    [Requirement("C03")]
    public void C03_idle_stock_of_others_is_shown_apart_and_hurts_no_innocent()
    {
        using var world = new World();
        MemoryGroup shared = world.Root.CreateGroup("shared", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        MemoryGroup busy = shared.CreateGroup("busy");
        MemoryMember holds = Stocked.Member(busy);
        Stocked.FillOwnStock(busy);
        MemoryGroup innocent = shared.CreateGroup("innocent");
        long free = shared.Max - shared.UsageLower;
        MemoryStatistics before = busy.GetStatistics();
        Assert.True(before.UsageBytes > before.UsageLowerBytes);
        Assert.Equal(holds.Usage, before.UsageLowerBytes);
        Assert.True(shared.Max - shared.Usage < free, "without stock in the way this shows nothing");

        Assert.True(world.Charge(innocent.CreateMember("m"), free).Granted);

        Assert.Equal(shared.Max, shared.Usage);
        Assert.Equal((0, 0), (shared.Events.Current.Max, shared.Events.Current.Oom));
        Assert.False(holds.IsKilled);
    }

    // cockroachdb/cockroach#31958, #25443, #21663, #105321, #117980; apache/gluten#8362, #5611: bytes left over at the
    // end brought production down, or filled its logs.
    [Fact]
    [Requirement("C10")]
    public void C10_bytes_left_at_exit_go_back_and_are_counted_and_nothing_throws()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup session = tenant.CreateGroup("session");
        MemoryMember query = session.CreateMember("query");
        MemoryCharge forgotten = query.Lease(300);
        MemoryAccount open = query.OpenAccount();
        Assert.True(open.TryGrow(200));
        query.Charge(100);

        query.Dispose();
        Assert.Equal((600, 0), (world.Root.BytesLeftAtExit, tenant.Usage));
        forgotten.Dispose();
        open.Dispose();
        query.Uncharge(100);
        Assert.Equal(0, tenant.Usage);

        // The same when whole groups go.
        session.CreateMember("another").Charge(50);
        session.Dispose();
        Assert.Equal((650, 0, 0), (world.Root.BytesLeftAtExit, tenant.Usage, world.Root.BooksErrorCount));
        Assert.True(tenant.CreateMember("next").TryCharge(1000));
    }

    // StarRocks/starrocks#25657; doris#32215: bytes were returned to whatever was "current" on the thread.
    [Fact]
    [Requirement("C15")]
    public async Task C15_returned_bytes_reach_their_recorded_owner_from_any_flow_and_after_its_end()
    {
        using var world = new World();
        MemoryGroup one = world.Root.CreateGroup("one", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup two = world.Root.CreateGroup("two", new MemoryGroupOptions { Max = 1000 });
        MemoryMember owner = one.CreateMember("owner");
        MemoryMember other = two.CreateMember("other");
        MemoryCharge first = owner.Lease(400);
        MemoryCharge second = owner.Lease(300);

        // Inside work of the other one, in a reclaim of the other's group, on another thread.
        two.AddReclaimer(new ScriptedReclaimer("returns", _ =>
        {
            first.Dispose();
            return 400;
        }));
        other.Charge(1000);
        await Task.Run(() => Assert.Throws<MemoryLimitExceededException>(() => other.Charge(1)));
        Assert.Equal((300, 1000), (one.Usage, two.Usage));

        one.Dispose();
        Assert.Equal((0, 1000), (one.Usage, two.Usage));
        await Task.Run(second.Dispose);
        first.Dispose();

        Assert.Equal((0, 1000, 1000), (one.Usage, two.Usage, world.Root.Usage));
        Assert.Equal((300, 0), (world.Root.BytesLeftAtExit, world.Root.BooksErrorCount));
    }

    // elastic/elasticsearch#31197; starrocks#27097; trinodb/trino#25685, #25465; ClickHouse#117092: the error blames
    // who asked, or a setting that has nothing to do with it.
    [Fact]
    [Requirement("C18")]
    public void C18_error_names_asker_limit_consumers_attempts_and_remedy()
    {
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("tenant", new MemoryGroupOptions { Max = 1000 });
        MemoryGroup session = tenant.CreateGroup("session", new MemoryGroupOptions { Max = 900 });
        var immortal = new MemoryMemberOptions { OomScoreAdjustment = MemoryMember.NeverKill };
        tenant.CreateMember("cache", immortal).Charge(700);
        session.CreateMember("small", immortal).Charge(100);
        tenant.AddReclaimer(new ScriptedReclaimer("empty cache", static _ => 0));
        MemoryMember asker = session.CreateMember("asker", immortal);

        var full = world.Charge(asker, 250).Failed<MemoryLimitExceededException>();

        Assert.Equal(
            (ChargeRefusal.NoVictim, "root/tenant/session/asker", "root/tenant", 250, 1000, 800),
            (full.Reason, full.MemberPath, full.GroupPath, full.RequestedBytes, full.LimitBytes, full.UsageBytes));
        Assert.Contains("'root/tenant/session/asker' asked for 250;", full.Message, StringComparison.Ordinal);
        Assert.Contains("'root/tenant' refused: 800 of 1000 in use", full.Message, StringComparison.Ordinal);
        Assert.Contains("cache 700, session/ 100", full.Message, StringComparison.Ordinal);
        Assert.Contains("empty cache gave 0 (done)", full.Message, StringComparison.Ordinal);
        Assert.Contains("Raise Max of 'root/tenant'", full.Message, StringComparison.Ordinal);

        // What can never fit is a reason of its own, and says which limit it is.
        var never = world.Charge(asker, 950).Failed<MemoryLimitExceededException>();
        Assert.Equal((ChargeRefusal.Impossible, "root/tenant/session"), (never.Reason, never.GroupPath));
        Assert.Contains("raise Max of 'root/tenant/session'", never.Message, StringComparison.Ordinal);
    }

    // trino#6349, #13212; prestodb/presto#14117; ClickHouse#109283; facebookincubator/velox#4593: the lock of the books
    // is what everybody waits for. Counted, not timed: shared things are touched once for many charges, at any depth.
    [Theory]
    [Requirement("C19")]
    [InlineData(1)]
    [InlineData(20)]
    public void C19_charges_that_fit_touch_no_lock_and_hardly_a_shared_counter(int depth)
    {
        using var world = new World();
        MemoryGroup group = world.Root;
        for (int level = 0; level < depth; level++)
        {
            group = group.CreateGroup("g", new MemoryGroupOptions { Max = Stocked.AmpleLimit });
        }

        MemoryMember[] members = [.. Enumerable.Range(0, 8).Select(_ => Stocked.Member(group))];
        int walks = 0;
        world.Root.ProbeHook = (point, _) => walks += point == ProbePoint.BeforeSwap ? 1 : 0;
        long entries = world.Root.GuardEntries;
        for (int i = 0; i < 100_000; i++)
        {
            MemoryMember member = members[i % members.Length];
            Assert.True(member.TryCharge(64));
            member.Uncharge(64);
        }

        Assert.Equal(entries, world.Root.GuardEntries);
        Assert.InRange(walks, 0, 100 * (depth + 1));
        Assert.True(entries > 0, "entries are not counted");
    }
}
