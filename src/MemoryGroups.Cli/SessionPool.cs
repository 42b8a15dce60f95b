// The connections of one tenant, and the only difference between the two phases: the same SQL on the same files runs
// either on plain connections or on sessions whose memory is charged to the tenant's group. Everything around it
// (schedule, cache, counting) is shared, so what the verdict compares is the governing and nothing else.
//
// What must stay true: a connection is used by one query at a time; a query that waits for one waits in the open loop's
// time, which is part of its latency.

using System.Threading.Channels;
using MemoryGroups.Sqlite;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace MemoryGroups.Cli;

internal abstract class SessionPool : IDisposable
{
    // Sorters and temporary tables in memory is what services choose for speed, and what a tenant can hurt others with.
    protected const string Setup = "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-1024;";

    internal abstract Task<byte[]> RunAsync(string name, DemoQuery query, CancellationToken stop);

    public abstract void Dispose();

    // Pooling off: a pooled connection outlives its Dispose, and with it the memory that is to be gone at the end.
    protected static string ConnectionString(string file) => $"Data Source={file};Mode=ReadOnly;Pooling=False";

    protected static int Configure(SqliteConnection connection)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = Setup;
        return command.ExecuteNonQuery();
    }
}

// Plain SQLite: no hook, no group; at the end of its patience the phase interrupts the statement itself.
internal sealed class PlainSessionPool : SessionPool
{
    private readonly Channel<SqliteConnection> _idle = Channel.CreateUnbounded<SqliteConnection>();
    private readonly SqliteConnection[] _all;

    internal PlainSessionPool(string file, int connections)
    {
        _all = new SqliteConnection[connections];
        for (int n = 0; n < connections; n++)
        {
            _all[n] = new SqliteConnection(ConnectionString(file));
            _all[n].Open();
            Configure(_all[n]);
            _idle.Writer.TryWrite(_all[n]);
        }
    }

    internal override async Task<byte[]> RunAsync(string name, DemoQuery query, CancellationToken stop)
    {
        SqliteConnection connection = await _idle.Reader.ReadAsync(stop);
        try
        {
            await using CancellationTokenRegistration interrupt =
                stop.Register(() => raw.sqlite3_interrupt(connection.Handle));
            return await Task.Run(() => query.Read(connection, stop), stop);
        }
        finally
        {
            _idle.Writer.TryWrite(connection);
        }
    }

    public override void Dispose()
    {
        foreach (SqliteConnection connection in _all) connection.Dispose();
    }
}

// The same, governed: each query is a member of the tenant's group while it runs, and can be refused or killed.
internal sealed class GovernedSessionPool : SessionPool
{
    private readonly Channel<SqliteSession> _idle = Channel.CreateUnbounded<SqliteSession>();
    private readonly List<SqliteSession> _all = [];

    private GovernedSessionPool()
    {
    }

    internal static async Task<GovernedSessionPool> OpenAsync(
        string file, MemoryGroup group, string name, int connections)
    {
        var pool = new GovernedSessionPool();
        try
        {
            for (int n = 1; n <= connections; n++)
            {
                SqliteSession session = SqliteSession.Open(ConnectionString(file), group, $"{name}-{n}");
                pool._all.Add(session);
                await session.RunAsync("setup", Configure);
                pool._idle.Writer.TryWrite(session);
            }
        }
        catch
        {
            pool.Dispose();
            throw;
        }

        return pool;
    }

    internal override async Task<byte[]> RunAsync(string name, DemoQuery query, CancellationToken stop)
    {
        SqliteSession session = await _idle.Reader.ReadAsync(stop);
        try
        {
            return await session.RunAsync(name, connection => query.Read(connection, stop), stop);
        }
        finally
        {
            _idle.Writer.TryWrite(session);
        }
    }

    public override void Dispose()
    {
        foreach (SqliteSession session in _all) session.Dispose();
    }
}
