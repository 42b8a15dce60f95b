// Takes back whatever transaction a connection has, with the object that the connection keeps for it.
//
// The two may differ: SQLite takes a transaction back by itself, and a query may end one by a statement. The object
// stays at its connection until it is disposed, and the connection refuses every command meanwhile; disposing it fails
// if there is nothing to roll back, and then it stays for ever, and the connection cannot be closed. So it is given
// something to roll back.
using Microsoft.Data.Sqlite;

namespace MemoryGroups.Sqlite;

internal static class SqliteRollback
{
    internal static void Run(SqliteSession session)
    {
        if (!session.HasItsConnection)
        {
            return;
        }

        SqliteNative native = SqliteMemory.Native;
        SqliteConnection connection = session.Connection;
        nint db = session.Db;
        using (SqliteCommand command = connection.CreateCommand())
        {
            if (command.Transaction is { } left)
            {
                if (!native.IsInTransaction(db))
                {
                    SQLitePCL.raw.sqlite3_exec(connection.Handle, "BEGIN");
                }

                left.Dispose();
            }
        }

        if (native.IsInTransaction(db))
        {
            SQLitePCL.raw.sqlite3_exec(connection.Handle, "ROLLBACK");
        }
    }
}
