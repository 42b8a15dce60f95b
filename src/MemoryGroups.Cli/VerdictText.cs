// The end of the demo for people: one table with a row per tenant and phase, what the phases took, who was killed and
// why, the first kill's report, and the rules with what was found.

using Spectre.Console;

namespace MemoryGroups.Cli;

internal static class VerdictText
{
    private const int MostKills = 8;

    // What the widest table takes.
    private const int FullWidth = 80;

    internal static void Write(IAnsiConsole console, DemoScreen screen, DemoVerdict verdict)
    {
        Action<string> say = screen.Say;
        bool isNarrow = console.Profile.Width < FullWidth;
        console.Write(Counts(verdict, isNarrow));
        console.Write(Phases(verdict));
        if (verdict.Governed.End?.Memory is { } memory) console.Write(Shares(memory));
        foreach (PhaseOutcome outcome in Outcomes(verdict)) say($"{outcome.Name + ":",-11}  {outcome.Exit}");
        say(string.Empty);
        say("RSS includes program files that other processes share; the cap counts them for whoever read them first.");
        WriteKills(say, verdict.Governed);
        if (verdict.Governed.End is { } end)
        {
            say($"Before anybody was killed, the query cache gave back {Shown.Bytes(end.CacheGaveBackBytes)} in all, "
                + $"and the parachute (last resort) was given up {Times(end.ParachuteOpenings)}.");
            say(string.Empty);
        }

        if (verdict.Governed.End?.FirstReport is { } report)
        {
            say("The first kill's report:");
            foreach (string line in report.TrimEnd().Split('\n')) say(line.TrimEnd());
            say(string.Empty);
        }

        foreach (DemoRule rule in verdict.Rules)
        {
            string mark = rule.Held ? "ok" : "FAILED";
            screen.Say($"  {mark,-6}  {rule.Name}: {rule.Found}", mark, rule.Held ? "green" : "red bold");
        }

        string word = verdict.Pass ? "PASS" : "FAIL";
        screen.Say(word, word, verdict.Pass ? "green bold" : "red bold");
    }

    // A narrow terminal gets no latencies: what the verdict is about are counts.
    private static Table Counts(DemoVerdict verdict, bool isNarrow)
    {
        Table table = Columns(
            isNarrow
                ? ["queries", "due", "tried", "ok", "refused", "killed", "other"]
                : ["queries", "due", "tried", "succeeded", "refused", "killed", "other", "p50 ms", "p99 ms"]);
        foreach (PhaseOutcome outcome in Outcomes(verdict))
        {
            table.AddRow($"[bold]{outcome.Name}[/]");
            foreach (TenantCounts tenant in outcome.Tenants)
            {
                DueCounts due = LoadSchedule.Due(tenant.Name, verdict.Options);
                bool isGreedy = due.Big + due.Export > 0;
                AddRow(isGreedy ? $"{tenant.Name} small" : tenant.Name, due.Small, tenant.Small);
                if (!isGreedy) continue;
                AddRow($"{tenant.Name} export", due.Export, tenant.Export);
                AddRow($"{tenant.Name} big", due.Big, tenant.Big);
            }
        }

        return table;

        // "due" is the whole schedule; a phase that dies has not tried the rest of it. "other" is what did not end by
        // itself (cut off, in flight when the phase died) and any error but a refusal.
        void AddRow(string name, int due, QueryCounts counts)
        {
            int other = counts.Tried - counts.Succeeded - counts.Refused - counts.Killed;
            List<string> cells =
            [
                "  " + name, $"{due}", $"{counts.Tried}", $"{counts.Succeeded}", $"{counts.Refused}",
                $"{counts.Killed}", $"{other}",
            ];
            if (!isNarrow) cells.AddRange([Shown.Milliseconds(counts.P50Ms), Shown.Milliseconds(counts.P99Ms)]);
            table.AddRow([.. cells]);
        }
    }

    // How each ended is said below: it is a sentence, and would be broken in a column.
    private static Table Phases(DemoVerdict verdict)
    {
        Table table = Columns(["phase", "peak charged", "peak RSS", "cap", "seconds"]);
        foreach (PhaseOutcome outcome in Outcomes(verdict))
        {
            table.AddRow(
                outcome.Name,
                outcome.Name == DemoPhase.Governed ? Shown.Bytes(outcome.PeakChargedBytes) : "nothing is",
                Shown.Bytes(outcome.PeakRssBytes),
                Shown.Bytes(outcome.CapBytes),
                $"{outcome.Seconds:0.0}");
        }

        return table;
    }

    // When the most was measured. Metered is of another kind: allocated since the start, and mostly collected again.
    private static Table Shares(MemoryShares memory)
    {
        Table table = Columns(["governed, at its peak", "declared", "unattributed", "metered"]);
        table.AddRow(
            Shown.Bytes(memory.MeasuredBytes), Shown.Bytes(memory.DeclaredBytes), Shown.Bytes(memory.UnattributedBytes),
            Shown.Bytes(memory.MeteredBytes));
        return table;
    }

    // The first to the left, the others, which are numbers, to the right.
    private static Table Columns(string[] names)
    {
        Table table = new Table().Border(TableBorder.Simple)
            .AddColumn(new TableColumn(names[0]).NoWrap().Padding(0, 0, 0, 0));
        foreach (string name in names[1..])
            table.AddColumn(new TableColumn(name).RightAligned().NoWrap().Padding(1, 0, 0, 0));
        return table;
    }

    private static IEnumerable<PhaseOutcome> Outcomes(DemoVerdict verdict) =>
        verdict.Ungoverned is { } ungoverned ? [ungoverned, verdict.Governed] : [verdict.Governed];

    private static string Times(int count) => count == 1 ? "once" : $"{count} times";

    // One line per kill below its reason, since many share one.
    private static void WriteKills(Action<string> say, PhaseOutcome governed)
    {
        say(string.Empty);
        if (governed.Kills.Count == 0) say("Nobody was killed.");
        foreach (IGrouping<(string, string), KillRow> kills in governed.Kills.GroupBy(k => (k.RefusingGroup, k.Reason)))
        {
            (string full, string reason) = kills.Key;
            say($"Killed ({kills.Count()}) because {full} was full: {reason}");
            foreach (KillRow kill in kills.Take(MostKills))
            {
                string asked = kill.Asker == kill.Victim ? "it asked for" : $"{Shown.PathTail(kill.Asker)} needed";
                say($"  {kill.AtSeconds,5:0.0} s  {Shown.PathTail(kill.Victim),-23} {Shown.Bytes(kill.Score),9}  "
                    + $"{asked} {Shown.Bytes(kill.RequestedBytes)}");
            }

            if (kills.Count() > MostKills) say($"  and {kills.Count() - MostKills} more (--json FILE has all)");
        }

        say(string.Empty);
    }
}
