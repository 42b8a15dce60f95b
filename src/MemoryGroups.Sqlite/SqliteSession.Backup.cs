// Copying one session's database over another's: the destination runs the copy as a query of its own, and the source is
// held meanwhile under the same name, so that nothing else uses either connection.
//
// Neither waits for the other: a session that is busy is an error at once, so two copies that cross cannot lock up.
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Sqlite;

public sealed partial class SqliteSession
{
    /// <summary>
    /// Copies the whole database over another one, as a query of the other session: it pays for the copy and can be
    /// killed for it, and its database is then as it was. Both sessions are busy until it ends.
    /// </summary>
    /// <param name="destination">Whose database is overwritten.</param>
    /// <param name="queryName">The name of the query's member in the destination's group.</param>
    /// <param name="cancellationToken">Ends the copy and the wait for memory.</param>
    /// <returns>A task that ends when the copy is complete.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="destination"/> is null.</exception>
    /// <exception cref="ArgumentException">It is this session, or <paramref name="queryName"/> is not
    /// allowed.</exception>
    /// <exception cref="ObjectDisposedException">One of the two is closed, or was while it copied.</exception>
    /// <exception cref="InvalidOperationException">One of the two is running a query.</exception>
    /// <exception cref="OomKilledException">The query or one of the two sessions was killed.</exception>
    /// <exception cref="MemoryLimitExceededException">The query was refused memory.</exception>
    /// <exception cref="SqliteException">SQLite cannot copy: a file is locked by others, or not writable.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task BackupToAsync(
        SqliteSession destination, string queryName, CancellationToken cancellationToken = default) =>
        BackupToAsync(destination, queryName, between: null, cancellationToken);

    internal Task<bool> BackupToAsync(
        SqliteSession destination, string queryName, Action? between, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(destination);
        ArgumentNullException.ThrowIfNull(queryName);
        if (destination == this)
        {
            throw new ArgumentException("A session cannot be copied over itself.", nameof(destination));
        }

        return HoldAsync(
            queryName,
            async stop =>
            {
                try
                {
                    return await destination.RunAloneAsync(
                        queryName, _ => SqliteBackup.Copy(this, destination, between), stop).ConfigureAwait(false);
                }
                catch (OperationCanceledException stopped)
                {
                    ThrowIfClosed(stopped);
                    throw new OperationCanceledException(stopped.Message, stopped, cancellationToken);
                }
            },
            cancellationToken);
    }
}
