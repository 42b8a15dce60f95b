// The fields that scripts read from --json, by name and type.

using System.Text.Json;

namespace MemoryGroups.Cli.Tests;

public sealed class DemoJsonTests
{
    [Fact]
    public void Verdict_has_every_promised_field()
    {
        JsonElement root = Parse(Outcomes.Died);

        Assert.True(root.GetProperty("pass").GetBoolean());
        Assert.Equal(1, root.GetProperty("seed").GetInt32());
        Assert.Equal(Outcomes.Budget, root.GetProperty("budget_bytes").GetInt64());
        foreach (string phase in (string[])["ungoverned", "governed"])
        {
            JsonElement found = root.GetProperty("phases").GetProperty(phase);
            Assert.False(string.IsNullOrEmpty(found.GetProperty("exit").GetString()));
            Assert.True(found.GetProperty("peak_charged_bytes").GetInt64() >= 0);
            Assert.Equal(150L << 20, found.GetProperty("peak_rss_bytes").GetInt64());
            Assert.Equal(JsonValueKind.Array, found.GetProperty("kills").ValueKind);
            Assert.Equal(
                ["alpha", "beta", "greedy"],
                found.GetProperty("tenants").EnumerateArray().Select(t => t.GetProperty("name").GetString()));
        }
    }

    [Fact]
    public void Tenant_row_adds_up_all_its_queries()
    {
        JsonElement greedy = Parse(null).GetProperty("phases").GetProperty("governed").GetProperty("tenants")[2];

        Assert.Equal(114, greedy.GetProperty("tried").GetInt32());
        Assert.Equal(96, greedy.GetProperty("succeeded").GetInt32());
        Assert.Equal(12, greedy.GetProperty("refused").GetInt32());
        Assert.Equal(6, greedy.GetProperty("killed").GetInt32());
        Assert.Equal(2.5, greedy.GetProperty("p50_ms").GetDouble());
        Assert.Equal(20, greedy.GetProperty("p99_ms").GetDouble());
    }

    [Fact]
    public void Kill_says_victim_group_reason_and_score()
    {
        JsonElement kill = Parse(null).GetProperty("phases").GetProperty("governed").GetProperty("kills")[0];

        Assert.Equal("service/tenants/greedy/BigExport-9", kill.GetProperty("victim").GetString());
        Assert.Equal("service/tenants/greedy", kill.GetProperty("group").GetString());
        Assert.Equal("highest score", kill.GetProperty("reason").GetString());
        Assert.Equal(40L << 20, kill.GetProperty("score").GetInt64());
    }

    [Fact]
    public void Books_are_null_where_there_were_none()
    {
        JsonElement phases = Parse(Outcomes.Died).GetProperty("phases");

        Assert.Equal(JsonValueKind.Null, phases.GetProperty("ungoverned").GetProperty("books_zero").ValueKind);
        Assert.True(phases.GetProperty("governed").GetProperty("books_zero").GetBoolean());
    }

    [Fact]
    public void Phase_that_was_left_out_is_null() =>
        Assert.Equal(JsonValueKind.Null, Parse(null).GetProperty("phases").GetProperty("ungoverned").ValueKind);

    [Fact]
    public void Written_file_replaces_the_old_one_and_leaves_nothing_else()
    {
        using var folder = new TemporaryFolder();
        string file = folder.Combine("verdict.json");
        File.WriteAllText(file, "old");

        DemoJson.CheckWritable(file);
        DemoJson.Write(file, DemoVerdict.Judge(Outcomes.Options, null, Outcomes.Good));

        Assert.Equal([file], Directory.EnumerateFileSystemEntries(folder.Path));
        Assert.True(JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("pass").GetBoolean());
    }

    private static JsonElement Parse(PhaseOutcome? ungoverned) =>
        JsonDocument.Parse(DemoJson.ToJson(DemoVerdict.Judge(Outcomes.Options, ungoverned, Outcomes.Good))).RootElement;
}
