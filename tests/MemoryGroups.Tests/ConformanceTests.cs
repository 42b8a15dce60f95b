// Every number is shown by a test or excused with a reason, and the page that says so is up to date.
namespace MemoryGroups.Tests;

public sealed class ConformanceTests
{
    [Theory]
    [InlineData("S000-", 25)]
    [InlineData("S001-", 18)]
    [InlineData("S003-", 12)]
    [InlineData("S004-", 14)]
    [InlineData("M", 51)]
    [InlineData("D", 9)]
    [InlineData("T", 78)]
    [InlineData("B", 38)]
    [InlineData("C", 20)]
    [InlineData("N", 16)]
    [InlineData("I", 14)]
    public void Every_number_is_listed_once(string kind, int count)
    {
        string format = kind is "T" or "B" or "C" or "N" ? "00" : "0";

        Assert.Equal(
            Enumerable.Range(1, count).Select(number => kind + number.ToString(format)),
            new ConformancePage().Items.Select(static item => item.Number)
                .Where(number => number.StartsWith(kind, StringComparison.Ordinal)));
    }

    [Fact]
    public void Every_number_has_a_test_or_a_reason()
    {
        var page = new ConformancePage();

        Assert.Empty(page.Items.Where(item => !item.IsExcused && page.TestsOf(item.Number).Count == 0)
            .Select(static item => item.Number));
    }

    [Fact]
    public void Excused_number_has_no_test_and_says_why()
    {
        var page = new ConformancePage();

        Assert.All(page.Items.Where(static item => item.IsExcused), item =>
        {
            Assert.Empty(page.TestsOf(item.Number));
            Assert.Contains("because", item.Text, StringComparison.Ordinal);
        });
    }

    [Fact]
    public void Test_cites_only_numbers_that_exist()
    {
        var page = new ConformancePage();

        Assert.Empty(page.Cited.Except(page.Items.Select(static item => item.Number)));
    }

    // MEMORYGROUPS_WRITE_DOCS=1 writes the page instead: that is ./test --docs.
    [Fact]
    public void Page_is_up_to_date()
    {
        string page = new ConformancePage().ToString();
        if (Environment.GetEnvironmentVariable("MEMORYGROUPS_WRITE_DOCS") == "1")
        {
            File.WriteAllText(ConformancePage.PagePath, page);
        }

        Assert.True(
            File.Exists(ConformancePage.PagePath) && File.ReadAllText(ConformancePage.PagePath) == page,
            "docs/conformance.md is stale: run ./test --docs and commit it");
    }
}
