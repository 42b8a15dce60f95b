// What a query's exception says: SQLite was refused memory, SQLite was interrupted, or something that is none of our
// business.
//
// The query's own code stands between SQLite and us and may have wrapped the exception, so the whole chain is looked
// at.
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Sqlite;

internal static class SqliteFailure
{
    internal static bool IsOutOfMemory(Exception error) =>
        Find(error) is { } found
        && (found.SqliteErrorCode == SqliteNative.NoMemory
            || found.SqliteExtendedErrorCode == SqliteNative.IoErrorNoMemory);

    // What a kill or a cancellation makes of a query: interrupted, not begun, or refused memory on the way out.
    internal static bool IsOfStopping(Exception error) =>
        error is OperationCanceledException
        || Find(error)?.SqliteErrorCode == SqliteNative.Interrupted
        || IsOutOfMemory(error);

    internal static InvalidOperationException Abandoned(string query) => new(
        $"The query '{query}' returned while one of its statements was still running. Read results to their "
        + "end, or dispose the reader, before the query returns: a reader cannot be used after it.");

    internal static InvalidOperationException ConnectionClosed(string query) => new(
        $"The query '{query}' closed the connection of its session, which is closed now as well. The "
        + "connection belongs to the session: leave it open, and dispose the session.");

    private static SqliteException? Find(Exception? error)
    {
        while (error is not null and not SqliteException)
        {
            error = error.InnerException;
        }

        return (SqliteException?)error;
    }
}
