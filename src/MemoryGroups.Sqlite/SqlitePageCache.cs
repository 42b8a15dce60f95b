// A session's page cache as a reclaimer: clean pages are read from the file again when they are needed.
//
// Everything or nothing, because SQLite has no call for a part of it; a session's cache is two megabytes at most. Only
// an idle session's: a running query would be waited for, and uses its pages.
namespace MemoryGroups.Sqlite;

internal sealed class SqlitePageCache(SqliteSession session, string name) : MemoryReclaimer($"page cache of {name}")
{
    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken cancellationToken) =>
        new(session.ReleasePages());
}
