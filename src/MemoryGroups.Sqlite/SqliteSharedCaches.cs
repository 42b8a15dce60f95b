// Sessions that share one page cache (Cache=Shared), and who inherits what outlives one of them.
//
// Whoever allocates pays, for as long as the block lives: a page that one session has read stays its own when another
// one uses it. When the payer closes, the pages stay, because the others keep the cache alive; so they pass to one of
// those, of the closing session's own group if there is one, else to the one that has been open longest. It is charged
// for them whether they fit or not: the memory is there, and its own next query makes room. Nobody left: what is still
// there is nobody's query's, and goes where such memory goes.
//
// Must stay true: an heir is still open when it inherits, and its own heir is chosen after that: joining, leaving and
// the handover of the account are one step under the gate. Nothing under it waits, reclaims or calls user code.
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Sqlite;

internal static class SqliteSharedCaches
{
    private static readonly Lock Gate = new();

    // In the order in which they were opened.
    private static readonly List<SqliteSession> Sharers = [];

    // Null: the connection has a cache of its own.
    internal static string? KeyOf(SqliteConnectionStringBuilder settings)
    {
        // A temporary database without a name is its connection's alone.
        string source = settings.DataSource;
        bool isUri = source.StartsWith("file:", StringComparison.Ordinal);
        bool isShared = (isUri ? OfUri(source) : null) ?? settings.Cache == SqliteCacheMode.Shared;
        if (!isShared || source.Length == 0)
        {
            return null;
        }

        bool isName = isUri || settings.Mode == SqliteOpenMode.Memory || source == ":memory:";
        return isName ? $"memory {source}" : Path.GetFullPath(source);
    }

    internal static void Join(SqliteSession session)
    {
        if (session.CacheKey is not null)
        {
            lock (Gate)
            {
                Sharers.Add(session);
            }
        }
    }

    // The session's connection is closed: what is left of its memory passes on.
    internal static void Leave(SqliteSession session)
    {
        lock (Gate)
        {
            Sharers.Remove(session);
            SqliteSession? heir = session.CacheKey is null ? null : HeirOfLocked(session);
            session.Account.HandOverTo(heir?.Account ?? SqliteBlocks.Unattributed!);
            heir?.SettleKillability();
        }
    }

    // A query holds the lock of the cache while it runs, and whoever releases pages would wait for it.
    internal static bool IsInUse(string key)
    {
        lock (Gate)
        {
            return Sharers.Exists(other => other.CacheKey == key && other.IsRunning);
        }
    }

    // What the name itself says about its cache, for which SQLite takes no other word; the last one counts.
    private static bool? OfUri(string uri)
    {
        bool? isShared = null;
        string[] parts = uri.Split('#')[0].Split('?', 2);
        foreach (string parameter in parts[^1].Split('&'))
        {
            isShared = parameter switch
            {
                "cache=shared" => true,
                "cache=private" => false,
                _ => isShared,
            };
        }

        return isShared;
    }

    private static SqliteSession? HeirOfLocked(SqliteSession session) =>
        Sharers.Find(other => other.CacheKey == session.CacheKey && other.Account.Member.Group
            == session.Account.Member.Group)
        ?? Sharers.Find(other => other.CacheKey == session.CacheKey);
}
