// What a refused or killed caller reads: word for word, because it is all that many of them will ever see.
namespace MemoryGroups.Tests;

public sealed class ExceptionTextTests
{
    [Theory]
    [InlineData(ChargeRefusal.DoesNotFit, "it does not fit", "Raise Max of 'root/g', use less, or register a "
        + "MemoryReclaimer.")]
    [InlineData(ChargeRefusal.Impossible, "it is larger than the limit and can never fit", "Ask for less at once, or "
        + "raise Max of 'root/g'.")]
    [InlineData(ChargeRefusal.Costly, "nobody is killed for more than 1.0K at once", "Ask in smaller steps, or raise "
        + "MemoryRoot.CostlyChargeBytes.")]
    [InlineData(ChargeRefusal.Gate, "the root kills nobody for a charge with flags None", "Raise Max of 'root/g', "
        + "use less, or register a MemoryReclaimer.")]
    [InlineData(ChargeRefusal.NoVictim, "nothing to reclaim and nobody who may be killed", "Raise Max of 'root/g', "
        + "use less, or register a MemoryReclaimer.")]
    [InlineData(ChargeRefusal.KillerDisabled, "the OOM killer is disabled", "Enable the killer, raise Max of 'root/g', "
        + "or free memory.")]
    [InlineData(ChargeRefusal.TimedOut, "the wait reached its deadline", "Raise Max of 'root/g', raise WaitTimeout, or "
        + "run less at the same time.")]
    [InlineData(ChargeRefusal.Reentrant, "the charge came from inside a reclaimer or handler for this memory", "Use "
        + "ChargeFlags.FromReclaim for memory that is needed to free more.")]
    public void Refusal_says_who_asked_who_refused_why_and_what_to_do(ChargeRefusal reason, string why, string remedy)
    {
        using var world = new World();
        world.Root.CostlyChargeBytes = 1024;
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 10_000 });
        MemoryMember member = group.CreateMember("m");
        member.Charge(9000);

        var error = MemoryLimitExceededException.For(member, group, 2048, ChargeFlags.None, reason, null);

        Assert.Equal(
            $"'root/g/m' asked for 2.0K; 'root/g' refused: 8.7K of 9.7K in use ({why}). Largest here: m 8.7K. "
            + $"Tried: returned all idle stock. {remedy}",
            error.Message);
        Assert.Equal(
            (reason, "root/g/m", "root/g", 2048L, 10_000L, 9000L),
            (error.Reason, error.MemberPath, error.GroupPath, error.RequestedBytes, error.LimitBytes,
                error.UsageBytes));
    }

    [Fact]
    public void Refusal_by_the_root_names_its_capacity_its_flags_and_the_three_largest()
    {
        using var world = new World(capacity: 100);
        foreach (int bytes in (int[])[1, 2, 3])
        {
            world.Root.CreateGroup($"g{bytes}").CreateMember("m").Charge(bytes);
            world.Root.CreateMember($"m{bytes}").Charge(10 * bytes);
        }

        var error = Assert.Throws<MemoryLimitExceededException>(
            () => world.Root.CreateMember("asker").Charge(60, ChargeFlags.NoReclaim));

        Assert.Equal(
            "'root/asker' asked for 60; 'root' refused: 66 of 100 in use (it does not fit, flags NoReclaim). "
            + "Largest here: m3 30, m2 20, m1 10. Tried: returned all idle stock. "
            + "Raise MemoryRoot.Capacity, use less, or register a MemoryReclaimer.",
            error.Message);
    }

    [Fact]
    public void Refusal_at_the_gate_says_what_kept_the_killer_away()
    {
        using var world = new World(capacity: 100);
        MemoryMember member = world.Root.CreateMember("m");
        member.Charge(60);
        string Refusal(ChargeFlags flags) =>
            world.Charge(member, 50, flags).Failed<MemoryLimitExceededException>().Message;

        Assert.Contains(
            "(the root kills nobody for a charge with flags Confined)", Refusal(ChargeFlags.Confined),
            StringComparison.Ordinal);
        using (member.BeginDump())
        {
            Assert.Contains(
                "(nobody is killed for a member that is being dumped)", Refusal(ChargeFlags.None),
                StringComparison.Ordinal);
        }

        world.Root.StorageSuspended = true;
        Assert.Contains(
            "(nobody is killed while MemoryRoot.StorageSuspended is set)", Refusal(ChargeFlags.None),
            StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_gone_is_called_by_its_name()
    {
        using var world = new World();
        MemoryGroup closed = world.Root.CreateGroup("closed");
        closed.Dispose();
        MemoryMember exited = world.Root.CreateMember("exited");
        exited.Dispose();
        MemoryMember member = world.Root.CreateMember("m");
        MemoryCharge lease = member.Lease(1);
        lease.Dispose();
        MemoryAccount account = member.OpenAccount();
        account.Dispose();

        foreach ((Action call, string name, string said) in ((Action, string, string)[])[
            (() => closed.CreateMember("m"), "root/closed", "The group 'root/closed' is closed."),
            (() => closed.Oom.Register(new MemorySignal()), "root/closed", "The group 'root/closed' is closed."),
            (() => member.MoveTo(closed), "root/closed", "The group 'root/closed' is closed."),
            (() => exited.TryCharge(1), "root/exited", "The member 'root/exited' has exited."),
            (() => exited.TryAllocate(1), "root/exited", "The member 'root/exited' has exited."),
            (() => exited.Enter(), "root/exited", "The member 'root/exited' has exited."),
            (() => lease.Grow(1), "root/m", "This lease of 'root/m' was disposed."),
            (() => account.TryGrow(1), "root/m", "This account of 'root/m' was disposed.")])
        {
            var error = Assert.Throws<ObjectDisposedException>(call);
            Assert.Equal(name, error.ObjectName);
            Assert.StartsWith(said, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Charge_whose_group_is_closed_while_it_waits_hears_which_group()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 100, KillDisabled = true });
        group.CreateMember("hog").Charge(100);
        Pending waits = world.Charge(group.CreateMember("m"), 50);

        group.Dispose();
        world.Run();

        Assert.StartsWith(
            "The group 'root/g' is closed, and 'root/g/m' has exited with it.",
            waits.Failed<ObjectDisposedException>().Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Refusal_where_nobody_is_says_so()
    {
        using var world = new World();
        MemoryGroup empty = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 0 });
        MemoryMember member = world.Root.CreateMember("m");

        var error = MemoryLimitExceededException.For(
            member, empty, 1, ChargeFlags.None, ChargeRefusal.DoesNotFit, null);

        Assert.Contains("Largest here: nobody. ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refusal_lists_the_last_four_things_that_were_tried()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 100 });
        MemoryMember hog = group.CreateMember("hog", new MemoryMemberOptions { OomScoreAdjustment = -1000 });
        hog.Charge(100);
        foreach (string name in (string[])["a", "b", "c", "d", "e"])
        {
            group.AddReclaimer(new ScriptedReclaimer(name, static _ => 0));
        }

        var error = world.Charge(group.CreateMember("m"), 50).Failed<MemoryLimitExceededException>();

        Assert.Matches(
            @"Tried: returned all idle stock(, [a-e] gave 0 \([^)]+\)){4}\. ", error.Message);
        Assert.Equal(ChargeRefusal.NoVictim, error.Reason);
    }

    [Fact]
    public void Exceptions_made_by_hand_carry_their_text_and_no_facts()
    {
        var cause = new IOException("disk");
        var refused = new MemoryLimitExceededException();
        var killed = new OomKilledException();

        Assert.Equal(
            ("A memory limit was exceeded.", "", ""), (refused.Message, refused.MemberPath, refused.GroupPath));
        Assert.Equal(("The member was killed.", "", null), (killed.Message, killed.MemberPath, killed.Report));
        Assert.Same(cause, new MemoryLimitExceededException("x", cause).InnerException);
        Assert.Same(cause, new OomKilledException("x", cause).InnerException);
        Assert.Equal("x", new OomKilledException("x").Message);
    }

    [Fact]
    public void Facts_are_kept_around_the_error_of_an_engine()
    {
        using var world = new World(capacity: 100);
        MemoryMember member = world.Root.CreateMember("m");
        var cause = new IOException("disk");
        var refused = MemoryLimitExceededException.For(
            member, world.Root, 1, ChargeFlags.None, ChargeRefusal.Gate, null);
        member.Kill("for a test");
        var killed = OomKilledException.For(member);

        MemoryLimitExceededException again = refused.WithInner(cause);
        OomKilledException killedAgain = killed.WithInner(cause);

        Assert.Equal(
            (refused.Message, refused.Reason, refused.MemberPath, refused.GroupPath, 1L, 100L, 0L, cause),
            (again.Message, again.Reason, again.MemberPath, again.GroupPath, again.RequestedBytes, again.LimitBytes,
                again.UsageBytes, again.InnerException));
        Assert.Equal("'root/m' was killed: for a test.", killedAgain.Message);
        Assert.Equal(("root/m", cause), (killedAgain.MemberPath, killedAgain.InnerException));
    }

    [Fact]
    public void Member_that_leaves_by_itself_is_said_to_be_on_its_way_out()
    {
        using var world = new World();

        Assert.Equal(
            "'root/m' was killed: it is on its way out.", OomKilledException.For(world.Root.CreateMember("m")).Message);
    }

    [Theory]
    [InlineData(40, "")]
    [InlineData(41, "...")]
    public void Size_that_cannot_be_read_is_shown_on_one_line_and_not_too_long(int length, string end)
    {
        string text = new('x', length - 1);

        var error = Assert.Throws<FormatException>(() => ByteSize.Parse("\n" + text));

        Assert.Contains("'?" + text[..39] + end + "'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Timeout_out_of_range_says_the_range()
    {
        using var world = new World();
        MemoryGroup group = world.Root.CreateGroup("g");

        var error = Assert.Throws<ArgumentOutOfRangeException>(() => group.WaitTimeout = TimeSpan.MaxValue);

        Assert.StartsWith(
            "WaitTimeout must be zero to 49 days, or Timeout.InfiniteTimeSpan to wait for ever.",
            error.Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Arguments_that_are_refused_are_told_with_the_way_out()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("g").CreateMember("m");
        MemoryMember other = world.Root.CreateMember("other");

        foreach ((Action call, string said) in ((Action, string)[])[
            (() => world.Root.CreateGroup("a/b"), "The name 'a/b' contains '/', which separates a path."),
            (() => world.Root.CreateGroup("a\n"), "The name contains a line break or another control character; "
                + "it must be one piece of one line."),
            (() => member.TryMoveTo(other, 1), "'root/other' is in another group than 'root/g/m'; bytes move only "
                + "within a group. Charge the other member and uncharge this one instead."),
            (() => world.Root.Pressure.Register((PressureLevel)9, new MemorySignal()), "9 is none of the values of "
                + "PressureLevel."),
            (() => member.TryCharge(-1), $"A charge must be between 0 and {1L << 60} bytes."),
            (() => member.OomScoreAdjustment = 1001, "OomScoreAdjustment must be -1000 (never killed) to 1000 (killed "
                + "first)."),
            (() => member.OpenAccount().Shrink(2), "This account of 'root/g/m' uses 0 bytes; no more can be "
                + "returned.")])
        {
            ArgumentException error = Assert.ThrowsAny<ArgumentException>(call);
            Assert.StartsWith(said, error.Message, StringComparison.Ordinal);
        }

        var root = Assert.Throws<InvalidOperationException>(() => world.Root.Oom.KillDisabled = true);
        Assert.Equal(
            "KillDisabled cannot be set on the root 'root': the root has no limit of its own; "
            + "use MemoryRoot.OomKiller.DisableAsync.",
            root.Message);
    }

    [Fact]
    public void Error_in_the_books_names_the_member_and_the_bytes()
    {
        var root = new MemoryRoot();
        root.Books.AssertInDebug = false;
        MemoryMember member = root.CreateMember("m");

        member.Uncharge(-1);
        member.Uncharge(5);

        Assert.Equal(2, root.BooksErrorCount);
        Assert.Equal("member 'root/m' was to uncharge -1 bytes, which nobody can have charged", root.FirstBooksError);
    }

    [Fact]
    public void Undeclared_bytes_are_named_by_a_refusal_of_the_root_and_of_no_other_group()
    {
        var process = new ScriptedProcess { Measured = 400 };
        using World world = process.NewWorld();
        MemoryGroup group = world.Root.CreateGroup("g", new MemoryGroupOptions { Max = 100 });
        string Refusal(long bytes) => Assert.Throws<MemoryLimitExceededException>(
            () => group.CreateMember("m").Charge(bytes)).Message;
        Assert.Equal(400, world.Root.Unattributed.CountedBytes);

        Assert.DoesNotContain("nobody declared", Refusal(101), StringComparison.Ordinal);
        group.Max = 5000;
        Assert.Contains("and 400 that nobody declared", Refusal(601), StringComparison.Ordinal);
    }
}
