// What is broken in each mutant of the protocol. Texts are exact: a change of the core that touches one has to bring
// its mutant along.
namespace MemoryGroups.Tests;

internal sealed record ProtocolMutant(string Name, params Replacement[] Replacements);

internal static class ProtocolMutants
{
    private const string Contest = "OomContest.cs";
    private const string Queue = "OomWaitQueue.cs";
    private const string Counter = "UsageCounter.cs";
    private const string Killer = "OomKiller.cs";

    private const string Trylock =
        "        if (!_root.OomKiller.HasVictimInFlight(_group))\n        {\n            TryLock();\n        }\n\n";

    private const string GiveTurns =
        "                _root.WaitQueue.GiveTurnsLocked(_group, ref next);\n";

    public static IReadOnlyList<ProtocolMutant> All { get; } =
    [
        new(
            "trylock before queueing",
            new Replacement(Contest, Trylock, ""),
            new Replacement(
                Contest,
                "        Probe.At(_root, ProbePoint.ChargeRefused, _request);\n        EnterQueue();\n",
                Trylock + "        Probe.At(_root, ProbePoint.ChargeRefused, _request);\n        EnterQueue();\n")),
        new("no wake after release", new Replacement(Contest, GiveTurns, "")),
        new(
            "wake before release",
            new Replacement(Contest, GiveTurns, ""),
            new Replacement(
                Contest,
                "        WokenWaiters next = default;\n        using (_root.EnterGuard(_group))\n        {\n",
                """
                        WokenWaiters next = default;
                        if (held)
                        {
                            using (_root.EnterGuard(_group))
                            {
                                _root.WaitQueue.GiveTurnsLocked(_group, ref next);
                            }

                            next.Complete();
                            next = default;
                            Probe.At(_root, ProbePoint.Released, _request);
                        }

                        using (_root.EnterGuard(_group))
                        {

                """),
            new Replacement(Queue, "group.OomMarks > 0 && OomLock.MayBeAcquiredLocked(group)", "group.OomMarks > 0")),
        new(
            "turn lost by who does not try",
            new Replacement(Queue, "request.TurnAt is not { } group", "request.TurnAt is not { Depth: > 99 } group")),
        new(
            "no margin re-check",
            new Replacement(
                Contest,
                "        _root.Stocks.DrainAll(_group);\n"
                + "        if (_request.FitsIn(_group) || _request.IsImpossible || _request.HasLostItsGroup)\n",
                "        _root.Stocks.DrainAll(_group);\n        if (false)\n")),
        new(
            "mark after trylock",
            new Replacement(Contest, "        Mark();\n", ""),
            new Replacement(
                Contest,
                "        // Read after the trylock, by winner",
                "        Mark();\n        // Read after the trylock, by winner")),

        // A loser that leaves takes the winner's hold along; the lock itself no longer minds whose it is.
        new(
            "release that clears another's hold",
            new Replacement(
                Contest,
                "            LeaveQueueLocked();\n            if (held)\n",
                "            LeaveQueueLocked();\n            if (!held) { OomLock.ReleaseLocked(_group, this); }\n"
                + "            if (held)\n"),
            new Replacement("OomLock.cs", "group.OomLock._holder != holder", "group.OomLock._holder is null"),
            new Replacement("OomLock.cs", "            Debug.Fail(", "            Debug.WriteLine(")),
        new(
            "uncharge that forgets to wake",
            new Replacement(
                Counter,
                """
                            heard |= level.Subtract(bytes);
                        }

                        if (heard)
                        {
                            Tell();
                        }
                    }

                    // The same without telling
                """,
                """
                            heard |= level.Subtract(bytes);
                        }
                    }

                    // The same without telling
                """)),
        new(
            "uncharge that wakes before the counter falls",
            new Replacement(
                Counter,
                """
                        bool heard = false;
                        for (UsageCounter? level = this; level is not null; level = level.Parent)
                        {
                            heard |= level.Subtract(bytes);
                        }

                        if (heard)
                        {
                            Tell();
                        }

                """,
                """
                        Group.Root.WaitQueue.WakeFitting(Group);
                        for (UsageCounter? level = this; level is not null; level = level.Parent)
                        {
                            level.Subtract(bytes);
                        }

                """)),
        new(
            "no margin re-check under the kill lock",
            new Replacement(Killer, "return request.FitsIn(group) ? OomVerdict.Retry : Choose", "return Choose")),
        new(
            "second victim while one is in flight",
            new Replacement(
                Killer,
                "        if (HasVictimInFlight(kill.Group))\n        {\n            return OomVerdict.Retry;",
                "        if (false)\n        {\n            return OomVerdict.Retry;")),
        new(
            "unmark forgotten on cancel",
            new Replacement(
                Contest,
                "        if (_waiter.IsMarked)\n        {\n            _waiter.IsMarked = false;",
                "        if (_waiter.IsMarked && !_request.Cancel.IsCancellationRequested)\n        {\n"
                + "            _waiter.IsMarked = false;")),
        new(
            "hint lost",
            new Replacement(
                Queue, "if (from is not null && !granted)", "if (from is not null && !granted && from.Depth > 99)")),
        new(
            "killer enabled without a wake",
            new Replacement("OomControl.cs", "            if (!value)\n", "            if (false)\n")),
        new(
            "limit raised without a wake",
            new Replacement("LimitChange.cs", "        if (bytes > before)\n", "        if (bytes < 0)\n")),
        new(
            "victim hidden without a wake",
            new Replacement("OomReaper.cs", "                root.WaitQueue.WakeAll(member.Group);\n", "")),
        new(
            "kill lock given to nobody",
            new Replacement("KillLock.cs", "            _held = next is not null;\n", "            _held = true;\n")),
        new(
            "waiter of a dead member sleeps",
            new Replacement(
                Queue, "        if (death == WakeReason.None)\n", "        if (death != WakeReason.Closed)\n")),
        new(
            "counter learns of its waiter too late",
            new Replacement(Queue, "            waiter.Group.Counter.AddWaiterLocked(1);\n", ""),
            new Replacement(Queue, "        waiter.Group.Counter.AddWaiterLocked(-1);\n", ""),
            new Replacement(
                "Invariants.cs",
                "            group.Counter.Waiters == (group.Waiters?.Count ?? 0), \"the counter",
                "            group.Counter.Waiters == 0, \"the counter"),
            new Replacement("Invariants.cs", "group.OomMarks <= group.Counter.Waiters", "group.OomMarks < 100")),
    ];
}
