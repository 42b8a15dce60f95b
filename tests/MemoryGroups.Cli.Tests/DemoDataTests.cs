// The data: the same bytes for a seed, made once, and made again when what is cached is not whole.

using System.Security.Cryptography;
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Cli.Tests;

public sealed class DemoDataTests
{
    private static readonly DemoDataSize Few = new(Customers: 20, Orders: 200);

    [Fact]
    public void Same_seed_gives_the_same_files_and_another_seed_others()
    {
        using var folder = new TemporaryFolder();
        string[] hashes = [.. ((int[])[1, 1, 2]).Select((seed, n) => HashOfDataMade(folder.Combine($"{n}"), seed))];

        Assert.Equal(hashes[0], hashes[1]);
        Assert.NotEqual(hashes[0], hashes[2]);
    }

    [Fact]
    public void Tenants_have_different_data_of_the_asked_size()
    {
        using var folder = new TemporaryFolder();
        DemoData.Make(folder.Path, DemoEngine.Sqlite, 1, Few, TestContext.Current.CancellationToken);

        const string WrongTotals = """
            SELECT count(*) FROM orders o
            WHERE total_cents <> (SELECT sum(quantity * cents) FROM lines l WHERE l.order_id = o.id)
            """;
        Assert.All(DemoData.Tenants, tenant =>
        {
            Assert.Equal(200L, Ask(folder.Path, tenant, "SELECT count(*) FROM orders"));
            Assert.Equal(20L, Ask(folder.Path, tenant, "SELECT count(*) FROM customers"));
            Assert.Equal(0L, Ask(folder.Path, tenant, WrongTotals));
        });
        const string Sum = "SELECT sum(total_cents) FROM orders";
        Assert.Equal(3, DemoData.Tenants.Select(tenant => Ask(folder.Path, tenant, Sum)).Distinct().Count());
    }

    [Fact]
    public void Second_open_finds_the_cached_data()
    {
        using var folder = new TemporaryFolder();
        var told = new List<string>();

        string first = Open(folder.Path, told).Folder;
        string second = Open(folder.Path, told).Folder;

        Assert.Equal(first, second);
        Assert.Single(told);
    }

    [Fact]
    public void File_cut_short_is_made_again()
    {
        using var folder = new TemporaryFolder();
        var told = new List<string>();
        string made = Open(folder.Path, told).Folder;
        using (FileStream file = File.OpenWrite(DemoData.PathOf(made, "beta", DemoEngine.Sqlite)))
            file.SetLength(file.Length / 2);

        Open(folder.Path, told);

        Assert.Equal(2, told.Count);
        Assert.Equal(200L, Ask(made, "beta", "SELECT count(*) FROM orders"));
    }

    [Fact]
    public void Cancelled_making_leaves_nothing_behind()
    {
        using var folder = new TemporaryFolder();
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();

        Assert.ThrowsAny<OperationCanceledException>(
            () => DemoData.Open(folder.Path, DemoEngine.Sqlite, Few, _ => { }, cancelled.Token));

        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    private static DemoData Open(string cache, List<string> told) =>
        DemoData.Open(cache, DemoEngine.Sqlite, Few, told.Add, TestContext.Current.CancellationToken);

    private static string HashOfDataMade(string folder, int seed)
    {
        Directory.CreateDirectory(folder);
        DemoData.Make(folder, DemoEngine.Sqlite, seed, Few, TestContext.Current.CancellationToken);
        return string.Concat(DemoData.Tenants.Select(t =>
            Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(DemoData.PathOf(folder, t, DemoEngine.Sqlite))))));
    }

    private static object? Ask(string folder, string tenant, string sql)
    {
        string file = DemoData.PathOf(folder, tenant, DemoEngine.Sqlite);
        using var connection = new SqliteConnection($"Data Source={file};Mode=ReadOnly;Pooling=False");
        connection.Open();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }
}
