// What can only be tried in a fresh process, because the hook is installed once. The child prints what it found on one
// line, or what it died of.

using System.Diagnostics;
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Sqlite.Tests;

internal static class ChildScenario
{
    private const string Variable = "MEMORYGROUPS_SQLITE_SCENARIO";

    internal static string? Requested => Environment.GetEnvironmentVariable(Variable);

    internal static int Play(string scenario)
    {
        try
        {
            Console.WriteLine(scenario switch
            {
                nameof(InstallAfterUse) => InstallAfterUse(),
                nameof(OpenWithoutInstall) => OpenWithoutInstall(),
                nameof(NativeStatistics) => NativeStatistics(),
                nameof(AttributeWithoutInstall) => AttributeWithoutInstall(),
                nameof(FreeTwice) => FreeTwice(),
                nameof(FreeForeignBlock) => FreeForeignBlock(),
                nameof(FreeBlockOfNobody) => FreeBlockOfNobody(),
                _ => throw new ArgumentException(scenario),
            });
            return 0;
        }
        catch (Exception error)
        {
            Console.WriteLine($"{error.GetType().Name}: {error.Message}");
            return 1;
        }
    }

    internal static async Task<string> RunAsync(string scenario)
    {
        string program = Path.Combine(AppContext.BaseDirectory, typeof(ChildScenario).Assembly.GetName().Name!);
        var start = new ProcessStartInfo(program + (OperatingSystem.IsWindows() ? ".exe" : ""))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { [Variable] = scenario },
        };
        using Process child = Process.Start(start)!;
        Task<string> errors = child.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = await child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await child.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (output + await errors).Trim();
    }

    internal static string InstallAfterUse()
    {
        using (var connection = new SqliteConnection("Data Source=:memory:"))
        {
            connection.Open();
        }

        // A refused call leaves nothing behind: the next one is refused in the same way.
        try
        {
            SqliteMemory.Install(ModuleStart.Unattributed);
        }
        catch (InvalidOperationException) when (SqliteAccountTable.Count == 0 && !SqliteMemory.IsInstalled)
        {
            SqliteMemory.Install(ModuleStart.Unattributed);
        }

        return "installed";
    }

    internal static string OpenWithoutInstall()
    {
        using SqliteSession session = SqliteSession.Open("Data Source=:memory:", ModuleStart.Root, "s");
        return "opened";
    }

    internal static string AttributeWithoutInstall()
    {
        SqliteMemory.Attribute(ModuleStart.Unattributed);
        return "attributed";
    }

    internal static unsafe string FreeTwice()
    {
        void* block = Block();
        SqliteBlocks.Release(block);
        SqliteBlocks.Release(block);
        return "went on";
    }

    internal static unsafe string FreeForeignBlock()
    {
        // The right number of the account, and no guard.
        var block = (int*)Block();
        block[-4]++;
        SqliteBlocks.Release(block);
        return "went on";
    }

    internal static unsafe string FreeBlockOfNobody()
    {
        var block = (int*)Block();
        block[-2] = 0;
        SqliteBlocks.Release(block);
        return "went on";
    }

    private static unsafe void* Block()
    {
        SqliteBlocks.Unattributed = new SqliteAccount(ModuleStart.Unattributed, neverRefuses: true);
        return SqliteBlocks.Allocate(100);
    }

    // SQLite counts its bytes and its blocks itself when it is told to. Small blocks only: ours cost 24 bytes more
    // each.
    internal static string NativeStatistics()
    {
        SqliteMemory.InstallOnce(ModuleStart.Unattributed, keepNativeStatistics: true);
        using var connection = new SqliteConnection("Data Source=:memory:;Pooling=False");
        connection.Open();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText =
            "CREATE TABLE t(a, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
            + " INSERT INTO t SELECT i, hex(zeroblob(i % 97)) FROM n; CREATE INDEX x ON t(b);";
        command.ExecuteNonQuery();
        const int mallocCount = 9;
        SQLitePCL.raw.sqlite3_status(mallocCount, out int blocks, out _, 0);
        long native = SQLitePCL.raw.sqlite3_memory_used() + (24L * blocks);
        return $"{native} {SqliteMemory.BytesInUse} {ModuleStart.Unattributed.Usage}";
    }
}
