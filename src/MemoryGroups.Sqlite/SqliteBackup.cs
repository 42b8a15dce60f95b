// SQLite's online backup, as a query of the destination: copying writes the destination's pages, so the destination
// pays, and a refusal or a kill ends the copy and leaves the source as it was.
//
// Pages of the source that the copy reads into the source's cache are charged to the copy like all that it allocates;
// they are given up when it ends. A backup is no statement, so no interrupt reaches it: the order to stop is looked at
// between parts of a few hundred kilobytes. What was copied until then is taken back.
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Sqlite;

internal static class SqliteBackup
{
    private const int PagesAtOnce = 64;
    private const int Done = 101;

    // `between` is called before each part.
    internal static bool Copy(SqliteSession source, SqliteSession destination, Action? between)
    {
        SQLitePCL.sqlite3_backup backup = SQLitePCL.raw.sqlite3_backup_init(
            destination.Connection.Handle, "main", source.Connection.Handle, "main");
        if (backup is null || backup.IsInvalid)
        {
            throw Error(SQLitePCL.raw.sqlite3_errcode(destination.Connection.Handle), destination);
        }

        int result;
        try
        {
            do
            {
                between?.Invoke();
                result = destination.Interrupt.IsOrdered
                    ? SqliteNative.Interrupted
                    : SQLitePCL.raw.sqlite3_backup_step(backup, PagesAtOnce);
            }
            while (result == SqliteNative.Ok);
        }
        finally
        {
            SQLitePCL.raw.sqlite3_backup_finish(backup);
            SqliteMemory.Native.ReleaseMemory(source.Db);
        }

        return result == Done ? true : throw Error(result, destination);
    }

    private static SqliteException Error(int result, SqliteSession destination) => new(
        $"The backup to '{destination.Account.Member.Path}' failed: "
        + $"{SQLitePCL.raw.sqlite3_errstr(result).utf8_to_string()}.",
        result);
}
