// The end of the demo for people: one table with a row per tenant and phase, what the phases took, who was killed and
// why, the first kill's report, and the rules with what was found.

using Spectre.Console;

namespace MemoryGroups.Cli;

internal static class VerdictText
{
    private const int MostKills = 8;

    internal static void Write(IAnsiConsole console, Action<string> say, DemoVerdict verdict)
    {
        console.Write(Counts(verdict));
        console.Write(Phases(verdict));
        if (verdict.Governed.End?.Memory is { } memory) console.Write(Shares(memory));
        say("RSS includes program files that other processes share; the cap counts them for whoever read them first.");
        WriteKills(say, verdict.Governed);
        if (verdict.Governed.End is { } end)
        {
            say($"Before anybody was killed, the query cache gave back {Shown.Bytes(end.CacheGaveBackBytes)} in all, "
                + $"and the parachute (last resort) was given up {end.ParachuteOpenings} times.");
            say(string.Empty);
        }

        if (verdict.Governed.End?.FirstReport is { } report)
        {
            say("The first kill's report:");
            foreach (string line in report.TrimEnd().Split('\n')) say($"  {line.TrimEnd()}");
            say(string.Empty);
        }

        foreach (DemoRule rule in verdict.Rules)
        {
            string mark = rule.Held ? "[green]ok[/]    " : "[red bold]FAILED[/]";
            console.MarkupLine($"  {mark}  {Markup.Escape(rule.Name)}: {Markup.Escape(rule.Found)}");
        }

        console.MarkupLine(verdict.Pass ? "[green bold]PASS[/]" : "[red bold]FAIL[/]");
    }

    private static Table Counts(DemoVerdict verdict)
    {
        Table table = new Table().Border(TableBorder.Simple)
            .AddColumn(new TableColumn("queries").NoWrap().Padding(0, 0, 0, 0));
        string[] counted = ["due", "tried", "succeeded", "refused", "killed", "other", "p50 ms", "p99 ms"];
        foreach (string name in counted)
            table.AddColumn(new TableColumn(name).RightAligned().NoWrap().Padding(1, 0, 0, 0));
        foreach (PhaseOutcome outcome in Outcomes(verdict))
        {
            table.AddRow($"[bold]{outcome.Name}[/]");
            foreach (TenantCounts tenant in outcome.Tenants)
            {
                DueCounts due = LoadSchedule.Due(tenant.Name, verdict.Options);
                bool isGreedy = due.Big + due.Export > 0;
                AddRow(table, isGreedy ? $"{tenant.Name} small" : tenant.Name, due.Small, tenant.Small);
                if (!isGreedy) continue;
                AddRow(table, $"{tenant.Name} export", due.Export, tenant.Export);
                AddRow(table, $"{tenant.Name} big", due.Big, tenant.Big);
            }
        }

        return table;
    }

    // "due" is the whole schedule; a phase that dies has not tried the rest of it. "other" is what did not end by
    // itself (cut off, in flight when the phase died) and any error but a refusal.
    private static void AddRow(Table table, string name, int due, QueryCounts counts) => table.AddRow(
        "  " + name, $"{due}", $"{counts.Tried}", $"{counts.Succeeded}", $"{counts.Refused}", $"{counts.Killed}",
        $"{counts.Tried - counts.Succeeded - counts.Refused - counts.Killed}",
        Shown.Milliseconds(counts.P50Ms), Shown.Milliseconds(counts.P99Ms));

    private static Table Phases(DemoVerdict verdict)
    {
        Table table = new Table().Border(TableBorder.Simple);
        foreach (string name in (string[])["phase", "peak charged", "peak RSS", "cap", "seconds", "how it ended"])
            table.AddColumn(name);
        foreach (PhaseOutcome outcome in Outcomes(verdict))
        {
            table.AddRow(
                outcome.Name,
                outcome.Name == DemoPhase.Governed ? Shown.Bytes(outcome.PeakChargedBytes) : "nothing is",
                Shown.Bytes(outcome.PeakRssBytes),
                Shown.Bytes(outcome.CapBytes),
                $"{outcome.Seconds:0.0}",
                Markup.Escape(outcome.Exit));
        }

        return table;
    }

    // When the most was measured. Metered is of another kind: allocated since the start, and mostly collected again.
    private static Table Shares(MemoryShares memory)
    {
        Table table = new Table().Border(TableBorder.Simple);
        foreach (string name in (string[])["governed, at its peak", "declared", "unattributed", "metered allocation"])
            table.AddColumn(name);
        table.AddRow(
            Shown.Bytes(memory.MeasuredBytes), Shown.Bytes(memory.DeclaredBytes), Shown.Bytes(memory.UnattributedBytes),
            Shown.Bytes(memory.MeteredBytes));
        return table;
    }

    private static IEnumerable<PhaseOutcome> Outcomes(DemoVerdict verdict) =>
        verdict.Ungoverned is { } ungoverned ? [ungoverned, verdict.Governed] : [verdict.Governed];

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
                say($"  {kill.AtSeconds,5:0.0} s  {Shown.PathTail(kill.Victim),-22} {Shown.Bytes(kill.Score),9}  "
                    + $"{asked} {Shown.Bytes(kill.RequestedBytes)}");
            }

            if (kills.Count() > MostKills) say($"  and {kills.Count() - MostKills} more (--json FILE has all)");
        }

        say(string.Empty);
    }
}
